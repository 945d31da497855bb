#!/usr/bin/env bash
# The service under a real systemd: ready, alive, a hang that is noticed, a stop in good order, bad input.
#
# systemd runs as the first process of namespaces of its own, with /etc, /opt, /usr/local and /var/lib overlaid, and
# boots nothing but our unit, with the sandbox that it has on a Pi. A replayed rig stands in for the real one.
#
#   PYTHON   interpreter with the packages of this clone (default .venv/bin/python); same version as /usr/bin/python3
#
# Exit status: 0 all held, 77 it cannot run here, anything else: something did not hold.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLONE=$(cd "$HERE/../.." && pwd)
PYTHON=${PYTHON:-$CLONE/.venv/bin/python}
SYSTEMD=/lib/systemd/systemd

cannot() { echo "test-service CANNOT RUN: $*" >&2; exit 77; }
say() { printf '%(%H:%M:%S)T  %s\n' -1 "$*"; }
wrong() { say "WRONG: $*" >&2; inside systemctl --no-pager status wormfocus >&2 || true; exit 1; }

[ "$(id -u)" = 0 ] || cannot "this needs root; use sudo"
[ -x "$SYSTEMD" ] || cannot "no systemd; apt install systemd"
for tool in unshare nsenter; do
    command -v "$tool" >/dev/null || cannot "no $tool; apt install util-linux"
done
PACKAGES=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || cannot "$PYTHON does not run"
PYTHONPATH=$CLONE:$PACKAGES /usr/bin/python3 -c 'import edge.bundle' 2>/dev/null \
    || cannot "/usr/bin/python3 cannot use the packages of $PYTHON: another version, or they lie in /root"
UNIFIED=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$UNIFIED" ] || cannot "no cgroup2 file system is mounted"

SCRATCH=$(mktemp -d)
GROUP=$UNIFIED/wormfocus-test-$$
mkdir "$GROUP" || cannot "$UNIFIED: no group can be made there"
FIRST=
finish() {
    [ -z "$FIRST" ] || kill -9 "$FIRST" 2>/dev/null || true
    sleep 0.5
    find "$GROUP" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    rm -rf "$SCRATCH"
}
trap finish EXIT

PYTHONPATH=$CLONE "$PYTHON" - "$SCRATCH/texture.ome.tif" <<'STACK'
import sys
from pathlib import Path

import numpy as np

from calibration.stack import ZStack, write_stack

images = np.random.default_rng(3).integers(0, 255, (3, 48, 48), dtype=np.uint8)
write_stack(Path(sys.argv[1]), ZStack(images, np.array([0.0, 100.0, 200.0]), um_per_px=2.0))
STACK
cat >"$SCRATCH/boot" <<'BOOT'
set -eu
scratch=$1 clone=$2 packages=$3 systemd=$4
mount --make-rprivate /
for folder in /etc /opt /usr/local /var/lib; do
    mkdir -p "$scratch/up$folder" "$scratch/work$folder"
    mount -t overlay -o "lowerdir=$folder,upperdir=$scratch/up$folder,workdir=$scratch/work$folder" none "$folder"
done
mkdir -p /opt/test-packages /opt/test-clone /opt/wormfocus/current/bin /opt/wormfocus/bundles /etc/wormfocus
mount --bind "$packages" /opt/test-packages
mount --bind "$clone" /opt/test-clone
cp "$scratch/texture.ome.tif" /opt/wormfocus
mount -t tmpfs none /run
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
for group in gpio video; do
    getent group "$group" >/dev/null || groupadd --system "$group"
done
getent passwd wormfocus >/dev/null \
    || useradd --system --user-group --no-create-home --home-dir /var/lib/wormfocus wormfocus
cat >/opt/wormfocus/current/bin/wormfocus <<'PROGRAM'
#!/bin/sh
export PYTHONPATH=/opt/test-clone:/opt/test-packages
exec /usr/bin/python3 -P -m wormfocus "$@"
PROGRAM
chmod 755 /opt/wormfocus/current/bin/wormfocus
cp "$clone/edge/bundles/default.tflite" /opt/wormfocus/bundles/current.tflite
cp "$clone/hw/rigs/replay.yaml" /etc/wormfocus/rig.yaml
echo "WORMFOCUS_OPTIONS=--method none --stack /opt/wormfocus/texture.ome.tif" >/etc/wormfocus/wormfocus.env
rm -rf /etc/systemd/system/*.wants
mkdir -p /etc/systemd/system/wormfocus.service.d
cp "$clone/hw/flash/wormfocus.service" /etc/systemd/system/
# Without the targets of a whole boot, and without waiting for minutes.
printf '[Unit]\nDefaultDependencies=no\n[Service]\nWatchdogSec=4\nTimeoutAbortSec=3\nRestartSec=1\n' \
    >/etc/systemd/system/wormfocus.service.d/test.conf
printf '[Unit]\nDescription=nothing but the service\n' >/etc/systemd/system/bare.target
exec env container=other "$systemd" --system --unit=bare.target --log-target=console --show-status=0
BOOT
(
    echo "$BASHPID" >"$GROUP/cgroup.procs"
    exec unshare --mount --pid --ipc --uts --net --cgroup --fork --kill-child --mount-proc \
        bash "$SCRATCH/boot" "$SCRATCH" "$CLONE" "$PACKAGES" "$SYSTEMD"
) >"$SCRATCH/boot.log" 2>&1 &
OUTER=$!
inside() { nsenter --target "$FIRST" --mount --pid --ipc --uts --net --cgroup "$@"; }
show() { inside systemctl show wormfocus --value --property "$1"; }
for _ in $(seq 120); do
    kill -0 "$OUTER" 2>/dev/null || cannot "the namespaces: $(tail -1 "$SCRATCH/boot.log")"
    FIRST=$(pgrep -P "$OUTER" || true)
    if [ -n "$FIRST" ] && inside systemctl is-active --quiet bare.target 2>/dev/null; then
        break
    fi
    sleep 0.5
done
inside systemctl is-active --quiet bare.target || cannot "systemd does not start: $(tail -1 "$SCRATCH/boot.log")"
say "$(inside systemctl --version | head -1) runs as process 1 of its namespaces"

begin=$SECONDS
inside systemctl start wormfocus || wrong "not ready"
[ "$(show ActiveState)" = active ] || wrong "$(show ActiveState)"
say "ready after $((SECONDS - begin)) s; status: $(show StatusText)"
PROCESS=$(show MainPID)
say "account $(inside ps -o user= -p "$PROCESS"), $(inside grep -E '^(CapEff|NoNewPrivs|Seccomp):' "/proc/$PROCESS/status" | tr -s '\t\n' '  ')"
sleep 10
[ "$(show MainPID)" = "$PROCESS" ] || wrong "it did not live through two watchdog timeouts"
say "alive after 10 s with a watchdog of 4 s"

begin=$SECONDS
inside kill -STOP "$PROCESS"
for _ in $(seq 120); do
    [ "$(show NRestarts) $(show ActiveState)" = "1 active" ] && break
    sleep 0.5
done
[ "$(show NRestarts) $(show ActiveState)" = "1 active" ] || wrong "the hang went unnoticed"
say "a loop that was held was ended and ran again after $((SECONDS - begin)) s"

begin=$SECONDS
inside systemctl stop wormfocus
[ "$(show Result)" = success ] || wrong "stopped with $(show Result)"
SESSIONS=$SCRATCH/up/var/lib/wormfocus/sessions
LAST=$(find "$SESSIONS" -mindepth 1 -maxdepth 1 | sort | tail -1)
for file in summary.png figures.json; do
    [ -f "$LAST/$file" ] || wrong "no $file in the last session"
done
say "stopped in good order after $((SECONDS - begin)) s; sessions: $(find "$SESSIONS" -mindepth 1 -maxdepth 1 | wc -l)"

inside sh -c 'echo "nonsense: 1" >>/etc/wormfocus/rig.yaml'
! inside systemctl start wormfocus 2>/dev/null || wrong "it started with a wrong rig file"
sleep 3
[ "$(show ExecMainStatus) $(show NRestarts)" = "2 0" ] || wrong "bad input was tried again"
say "a wrong rig file is refused, and not tried again"

# The simulated rig takes its time, but its frames go through the network, and that through the sandbox.
inside sh -c 'cp /opt/test-clone/hw/rigs/worm_tracker_sim.yaml /etc/wormfocus/rig.yaml; : >/etc/wormfocus/wormfocus.env
    sed -i s/WatchdogSec=4/WatchdogSec=120/ /etc/systemd/system/wormfocus.service.d/test.conf
    systemctl daemon-reload; systemctl reset-failed wormfocus'
begin=$SECONDS
inside systemctl start wormfocus || wrong "the network does not run in the sandbox"
LAST=$(find "$SESSIONS" -mindepth 1 -maxdepth 1 | sort | tail -1)
say "ready after $((SECONDS - begin)) s with the network; status: $(show StatusText)"
inside systemctl stop wormfocus
"$PYTHON" - "$LAST/frames.csv" <<'OFFSETS' || wrong "the network gave no offset"
import csv
import sys
from pathlib import Path

with Path(sys.argv[1]).open(newline="", encoding="utf-8") as file:
    offsets = [row["offset_um"] for row in csv.DictReader(file) if row["offset_um"]]
print("         offsets of the network, um:", *(f"{float(offset):.0f}" for offset in offsets[:5]))
sys.exit(not offsets)
OFFSETS
say "all held"
