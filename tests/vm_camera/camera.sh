#!/usr/bin/env bash
# The real picamera2 and libcamera, on libcamera's virtual camera, in a small emulated machine.
# usage: camera.sh PYTHON [--here]      exit status: 77 when it cannot run here, with the reason
#   PYTHON has pip. A kernel, and Debian trixie with libcamera, are fetched into .vm/ the first time.
#   --here: the same without a machine, in a name space of this one's kernel; some seconds instead of minutes. Buffers
#   are then ordinary memory, unless this kernel has a DMA heap.
set -euo pipefail
REPO=$(cd "$(dirname "$0")/../.." && pwd)
VM=${WORMFOCUS_VM:-$REPO/.vm}
PYTHON=${1:?a Python with pip}
WHERE=${2:-machine}
PATH=$PATH:/usr/sbin:/sbin

cannot() { echo "test-camera CANNOT RUN: $1" >&2; exit 77; }

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || cannot "it needs Debian, or a relative, on amd64"
mkdir -p "$VM"
if [ "$WHERE" = --here ]; then
    unshare --map-root-user --mount true 2> /dev/null || cannot "--here needs user name spaces"
else
    MISSING=$(for TOOL in qemu-system-x86_64 busybox cpio depmod xz; do command -v $TOOL > /dev/null || echo $TOOL; done)
    [ -z "$MISSING" ] || cannot "no $(echo $MISSING); apt install qemu-system-x86 busybox-static cpio kmod xz-utils"
    bash "$REPO/tests/vm/kernel.sh" "$VM" || cannot "no kernel to be had (see above)"
fi
ROOT=$VM/camera
bash "$REPO/tests/vm_camera/root.sh" "$ROOT" "$PYTHON" || cannot "no libcamera or picamera2 to be had (see above)"

rm -rf "$ROOT/opt/wormfocus" && mkdir -p "$ROOT/opt/wormfocus"
cp -r "$REPO"/{hw,edge,calibration} "$REPO"/tests/vm_camera "$ROOT/opt/wormfocus/"
mkdir -p "$ROOT/usr/share/libcamera/pipeline/virtual"
cp "$REPO/tests/vm_camera/virtual.yaml" "$ROOT/usr/share/libcamera/pipeline/virtual/virtual.yaml"
cat > "$ROOT/opt/run.sh" <<'RUN'
export PATH=/usr/bin:/usr/sbin HOME=/run TMPDIR=/run LC_ALL=C PYTHONUTF8=1 PYTHON_COLORS=0 OMP_NUM_THREADS=1
export PYTHONPATH=/opt/site:/opt/wormfocus:/opt/wormfocus/vm_camera PYTHONDONTWRITEBYTECODE=1
# picamera2 takes its buffers from the heap of that name, which a Pi's kernel has.
[ ! -e /dev/dma_heap/system ] || ln -s system /dev/dma_heap/linux,cma || true
LIBCAMERA_LOG_LEVELS='*:WARN' exec python3 -u -X faulthandler /opt/wormfocus/vm_camera/check.py
RUN
if [ "$WHERE" = --here ]; then
    exec unshare --map-root-user --mount bash -c '
        for FOLDER in proc dev sys; do mount --rbind /$FOLDER "$0/$FOLDER"; done
        mount -t tmpfs run "$0/run"
        exec chroot "$0" /bin/bash /opt/run.sh' "$ROOT"
fi
VM_ROOT=$ROOT bash "$REPO/tests/vm/boot.sh" "$VM" /opt/run.sh "$VM/results" "${WORMFOCUS_VM_SECONDS:-1800}"
