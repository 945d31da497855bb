#!/usr/bin/env bash
# Run a script in a small machine whose root is this machine's, or the folder VM_ROOT, read-only; its exit status is
# the script's.
# usage: boot.sh FOLDER SCRIPT RESULTS [SECONDS]
#   FOLDER as kernel.sh made it; what SCRIPT writes to /dev/ttyS1 comes out in the file RESULTS
set -euo pipefail
FOLDER=$1 SCRIPT=$2 RESULTS=$3 LIMIT=${4:-600}
LOG=$FOLDER/console
# Emulated, and with a time of its own: an instruction takes 1 ns, as on a machine of a Pi's size, and waiting takes
# no time outside. So what is measured inside does not depend on what else this machine is doing.
timeout "$LIMIT" qemu-system-x86_64 -M q35 -accel tcg,thread=single -icount shift=0,sleep=off -cpu max -smp 2 -m 1024 \
    -nodefaults -no-user-config -display none -no-reboot -serial stdio -serial "file:$RESULTS" \
    -kernel "$FOLDER/vmlinuz" -initrd "$FOLDER/initrd" \
    -append "console=ttyS0 quiet loglevel=4 panic=-1 run=$SCRIPT" \
    -fsdev local,id=root,path=${VM_ROOT:-/},security_model=none,readonly=on,multidevs=remap \
    -device virtio-9p-pci,fsdev=root,mount_tag=hostroot < /dev/null | sed -u 's/\r$//' | tee "$LOG" || true
STATUS=$(sed -n 's/^GUEST-STATUS=//p' "$LOG")
[ -n "$STATUS" ] || { echo "the machine did not finish within $LIMIT s" >&2; exit 1; }
exit "$STATUS"
