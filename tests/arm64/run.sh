#!/usr/bin/env bash
# The card, the wheelhouse and the install script on an arm64 Debian without a network, by emulation.
#
#   run.sh [SUITE]        bookworm (Python 3.11, default) or trixie (3.13)
#
#   ARM64_WORK     folder for downloads and roots (default .arm64 in the clone; about 1.5 GB)
#   ARM64_DEMO_S   length of the demo in seconds of its virtual time (default 5: half an hour by emulation; 0: leave it out)
#   ARM64_WHEELS   a wheelhouse made before (default: make one)
#   ARM64_COMPILE  0: leave byte code out of the install, which takes most of its time by emulation
#   PYTHON         interpreter with the packages of this clone (default .venv/bin/python)
#
# Exit status: 0 all held, 77 it cannot run here, anything else: something did not hold.
set -euo pipefail
SUITE=${1:-bookworm}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLONE=$(cd "$HERE/../.." && pwd)
WORK=${ARM64_WORK:-$CLONE/.arm64}
DEMO_S=${ARM64_DEMO_S:-5}
PYTHON=${PYTHON:-$CLONE/.venv/bin/python}
ROOT=$WORK/$SUITE/root RESULTS=$WORK/$SUITE/results
export PYTHONPATH=$CLONE PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

cannot() { echo "test-arm64 CANNOT RUN: $*" >&2; exit 77; }
say() { printf '%(%H:%M:%S)T  %s\n' -1 "$*"; }
inside() { "$HERE/enter.sh" "$ROOT" "$@"; }
# timed WHAT COMMAND...
timed() {
    local what=$1 begin=$SECONDS
    shift
    "$@"
    say "$what: $((SECONDS - begin)) s"
}

for tool in apt-get dpkg tar unshare; do
    command -v "$tool" >/dev/null || cannot "no $tool; this needs Debian or a relative of it"
done
[ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || cannot "no Debian keys; apt install debian-archive-keyring"
command -v qemu-aarch64-static >/dev/null || command -v qemu-aarch64 >/dev/null || [ "$(uname -m)" = aarch64 ] \
    || cannot "no emulator; apt install qemu-user-static"
[ "$(id -u)" = 0 ] || cannot "this needs root, for users within the arm64 system; use sudo"
"$PYTHON" -c 'import edge.bundle' 2>/dev/null || cannot "$PYTHON lacks the packages of this clone; make demo, or PYTHON=..."

mkdir -p "$RESULTS"
timed "userland of $SUITE" "$HERE/userland.sh" "$SUITE" "$WORK/$SUITE/packages" "$ROOT"
inside /bin/true
say "it runs: $(inside python3 -c 'import platform, sys; print(platform.machine(), sys.version.split()[0])')"
if inside python3 -c 'import socket; socket.create_connection(("192.0.2.1", 80), 2)' 2>"$RESULTS/network.txt"; then
    say "there is a network inside, and there must be none"
    exit 1
fi
say "network inside: $(tail -1 "$RESULTS/network.txt")"

WHEELS=${ARM64_WHEELS:-$WORK/wheelhouse}
if [ -z "${ARM64_WHEELS:-}" ]; then
    rm -rf "$WHEELS"
    timed wheelhouse "$PYTHON" -m hw.flash.wheelhouse --out "$WHEELS" --source "$CLONE"
fi
touch "$ROOT/boot/firmware/config.txt" "$ROOT/boot/firmware/cmdline.txt"
echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA test" >"$WORK/key.pub"
timed card "$PYTHON" -m hw.flash.card --boot "$ROOT/boot/firmware" --wheelhouse "$WHEELS" \
    --hostname worm1 --user lab --ssh-key "$WORK/key.pub" --rig worm_tracker

# As cloud-init would: the user first, then the very command that user-data holds.
inside useradd --create-home lab
mapfile -t COMMAND < <("$PYTHON" -c 'import sys, yaml; print(*yaml.safe_load(sys.stdin)["runcmd"][-1], sep="\n")' \
    <"$ROOT/boot/firmware/user-data")
if [ "${ARM64_COMPILE:-1}" = 0 ]; then
    COMMAND=(env PIP_NO_COMPILE=1 "${COMMAND[@]}")
fi
say "first boot: ${COMMAND[*]}"
timed "install, no network" inside "${COMMAND[@]}" | tee "$RESULTS/install.txt"
"$PYTHON" "$HERE/snapshot.py" "$ROOT" >"$RESULTS/before.txt"
timed "install again" inside "${COMMAND[@]}" | tee "$RESULTS/install-again.txt"
"$PYTHON" "$HERE/snapshot.py" "$ROOT" >"$RESULTS/after.txt"
diff "$RESULTS/before.txt" "$RESULTS/after.txt"
grep -q "nothing to do" "$RESULTS/install-again.txt"
say "the second install changed none of $(wc -l <"$RESULTS/before.txt") files, folders and links"

say "inside: $(inside wormfocus --version)"
inside wormfocus info /opt/wormfocus/bundles/current.tflite | tee "$RESULTS/info.txt"
inside /opt/wormfocus/current/bin/python -c \
    'import gpiod, numpy, simplejpeg; simplejpeg.encode_jpeg(numpy.zeros((8, 8, 3), "uint8")); print("gpiod", gpiod.__version__, "simplejpeg works beside numpy", numpy.__version__)'

cp "$HERE/predict.py" "$ROOT/tmp/predict.py"
timed "predictions" inside /opt/wormfocus/current/bin/python /tmp/predict.py >"$RESULTS/arm64.json"
sed -i '/^{/!d' "$RESULTS/arm64.json"
"$PYTHON" "$HERE/predict.py" >"$RESULTS/here.json"
say "$("$PYTHON" "$HERE/compare.py" "$RESULTS/arm64.json" "$RESULTS/here.json")"

# There is no hardware here, and doctor says so item by item: exit status 1, not fit to run.
BEGIN=$SECONDS STATUS=0
inside wormfocus doctor --rig /etc/wormfocus/rig.yaml --bundle /opt/wormfocus/bundles/current.tflite \
    --sessions /var/lib/wormfocus >"$RESULTS/doctor.txt" || STATUS=$?
cat "$RESULTS/doctor.txt"
if [ "$STATUS" != 1 ] || ! grep -q 'NOT FIT to run' "$RESULTS/doctor.txt"; then
    say "doctor: exit status $STATUS, and it must be 1, with a reason"
    exit 1
fi
for item in board 'GPIO chip' 'GPIO lines' axis picamera2 camera; do
    grep -q "^missing  $item  " "$RESULTS/doctor.txt" || { say "doctor does not say that $item is missing"; exit 1; }
done
for item in 'LiteRT runtime' bundle 'GPIO library'; do
    grep -q "^ok       $item  " "$RESULTS/doctor.txt" || { say "doctor does not find $item"; exit 1; }
done
say "doctor: all that is missing is named, exit status 1: $((SECONDS - BEGIN)) s"

inside systemd-analyze verify --man=no /etc/systemd/system/wormfocus.service
say "systemd-analyze verify: no complaint ($(inside systemctl --version | head -1))"
say "$(inside systemd-analyze security --offline=true --threshold=25 --no-pager \
    /etc/systemd/system/wormfocus.service | tail -1)"

if [ "$DEMO_S" = 0 ]; then
    say "demo: left out, as ARM64_DEMO_S asks for"
else
    timed "demo of $DEMO_S s" inside bash -c \
        "cd /root && rm -rf demo && wormfocus demo --seconds $DEMO_S --out demo --json demo/figures-demo.json" \
        | tee "$RESULTS/demo.txt"
    say "demo finished: $(wc -l <"$ROOT/root/demo/frames.csv") lines in frames.csv"
fi
say "all held"
