#!/usr/bin/env bash
# Run a command in an arm64 root folder, by emulation, without a network and without systemd.
#
#   enter.sh ROOT COMMAND...
#
# Everything happens in namespaces of its own, so that nothing of this machine changes: a user namespace, in which
# newer kernels (6.7) let the emulator be registered for this command alone; a network namespace without devices.
set -euo pipefail
cannot() { echo "CANNOT RUN: $*" >&2; exit 77; }

ROOT=$(cd "$1" && pwd)
shift
[ "$(id -u)" = 0 ] || cannot "this needs root, for users within the arm64 system; use sudo"
command -v unshare >/dev/null || cannot "no unshare; apt install util-linux"
QEMU=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
[ -n "$QEMU" ] || [ "$(uname -m)" = aarch64 ] || cannot "no emulator; apt install qemu-user-static"

SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
mkfifo "$SCRATCH/mapped"
cat >"$SCRATCH/inside" <<'INSIDE'
set -euo pipefail
root=$1 qemu=$2
shift 2
if [ "$(uname -m)" != aarch64 ]; then
    # ELF, 64 bit, little endian, EM_AARCH64; F: the emulator is opened now, for it does not exist in the root.
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    if mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null; then
        printf ':wormfocus:M::%s:%s:%s:F' "$magic" "$mask" "$qemu" >/proc/sys/fs/binfmt_misc/register
    fi
fi
mount --rbind /dev "$root/dev"
mount -t proc none "$root/proc"
mount -t tmpfs none "$root/run"
chroot "$root" /bin/true 2>/dev/null || {
    echo "CANNOT RUN: this kernel ($(uname -r)) does not start arm64 programs; it is older than 6.7 and needs" \
        "qemu-user-static with binfmt-support or systemd-binfmt" >&2
    exit 77
}
exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LC_ALL=C.UTF-8 OMP_NUM_THREADS=1 "$@"
INSIDE
# shellcheck disable=SC2016
unshare --user --mount --pid --net --fork --kill-child \
    bash -c 'read -r _ <"$1"; shift; exec bash "$@"' _ "$SCRATCH/mapped" "$SCRATCH/inside" "$ROOT" "$QEMU" "$@" &
CHILD=$!
trap 'kill "$CHILD" 2>/dev/null || true; rm -rf "$SCRATCH"' EXIT
while [ "$(readlink "/proc/$CHILD/ns/user")" = "$(readlink /proc/self/ns/user)" ]; do
    kill -0 "$CHILD" 2>/dev/null || cannot "user namespaces are not allowed here; see sysctl user.max_user_namespaces"
    sleep 0.05
done
echo "0 0 65536" >"/proc/$CHILD/uid_map"
echo "0 0 65536" >"/proc/$CHILD/gid_map"
echo >"$SCRATCH/mapped"
wait "$CHILD"
