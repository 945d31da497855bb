#!/usr/bin/env bash
# The real picamera2 and libcamera, on libcamera's virtual camera, in a small emulated machine.
# usage: camera.sh PYTHON        exit status: 77 when it cannot run here, with the reason
#   PYTHON has pip. A kernel, and Debian trixie with libcamera, are fetched into .vm/ the first time.
set -euo pipefail
REPO=$(cd "$(dirname "$0")/../.." && pwd)
VM=${WORMFOCUS_VM:-$REPO/.vm}
PYTHON=${1:?a Python with pip}
PATH=$PATH:/usr/sbin:/sbin

cannot() { echo "test-camera CANNOT RUN: $1" >&2; exit 77; }

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || cannot "it needs Debian, or a relative, on amd64"
MISSING=$(for TOOL in qemu-system-x86_64 busybox cpio depmod xz; do command -v $TOOL > /dev/null || echo $TOOL; done)
[ -z "$MISSING" ] || cannot "no" $MISSING "; apt install qemu-system-x86 busybox-static cpio kmod xz-utils"
mkdir -p "$VM"
bash "$REPO/tests/vm/kernel.sh" "$VM" || cannot "no kernel to be had (see above)"
ROOT=$VM/camera
bash "$REPO/tests/vm_camera/root.sh" "$ROOT" "$PYTHON" || cannot "no libcamera or picamera2 to be had (see above)"

rm -rf "$ROOT/opt/wormfocus" && mkdir -p "$ROOT/opt/wormfocus"
cp -r "$REPO"/{hw,edge,calibration} "$REPO"/tests/vm_camera "$ROOT/opt/wormfocus/"
mkdir -p "$ROOT/usr/share/libcamera/pipeline/virtual"
cp "$REPO/tests/vm_camera/virtual.yaml" "$ROOT/usr/share/libcamera/pipeline/virtual/virtual.yaml"
cat > "$ROOT/opt/run.sh" <<'RUN'
export PATH=/usr/bin:/usr/sbin HOME=/run TMPDIR=/run LC_ALL=C.UTF-8 PYTHON_COLORS=0 OMP_NUM_THREADS=1
export PYTHONPATH=/opt/site:/opt/wormfocus:/opt/wormfocus/vm_camera PYTHONDONTWRITEBYTECODE=1
# picamera2 takes its buffers from the heap of that name, which a Pi's kernel has.
ln -s system /dev/dma_heap/linux,cma
LIBCAMERA_LOG_LEVELS='*:WARN' exec python3 -u -W error::RuntimeWarning -X faulthandler /opt/wormfocus/vm_camera/check.py
RUN
VM_ROOT=$ROOT bash "$REPO/tests/vm/boot.sh" "$VM" /opt/run.sh "$VM/results" "${WORMFOCUS_VM_SECONDS:-900}"
