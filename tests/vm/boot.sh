#!/usr/bin/env bash
# Run one command in a small virtual machine and end with its status.
#
#   boot.sh KERNEL ROOT COMMAND
#
# KERNEL is a folder made by kernel.sh; ROOT the folder that the machine sees as its root, changes staying in
# its memory; COMMAND an absolute path in it, without arguments. VM_ARCH (amd64), VM_ACCEL (tcg: emulation,
# which works everywhere), VM_MEMORY (1024 MiB), VM_CPUS (2) and VM_TIMEOUT (300 s) may be set.
set -euo pipefail
kernel=$1 root=$2 command=$3
case ${VM_ARCH:-amd64} in
    amd64) machine=(qemu-system-x86_64 -M q35 -cpu max) console=ttyS0 ;;
    arm64) machine=(qemu-system-aarch64 -M virt -cpu cortex-a72) console=ttyAMA0 ;;
    *) echo "VM_ARCH=$VM_ARCH: only amd64 and arm64 are known" >&2; exit 2 ;;
esac
log=$(mktemp)
trap 'rm "$log"' EXIT
timeout "${VM_TIMEOUT:-300}" "${machine[@]}" -accel "${VM_ACCEL:-tcg}" -smp "${VM_CPUS:-2}" \
    -m "${VM_MEMORY:-1024}" -nodefaults -no-user-config -display none -serial stdio -no-reboot \
    -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd" \
    -append "console=$console quiet loglevel=4 panic=-1 run=$command" \
    -fsdev "local,id=root,path=$root,security_model=none,readonly=on,multidevs=remap" \
    -device virtio-9p-pci,fsdev=root,mount_tag=root < /dev/null | tr -d '\r' | tee "$log"
status=$(sed -n 's/^GUEST-STATUS=//p' "$log")
if [ -z "$status" ]; then
    echo "the test machine ended before its command did" >&2
    exit 1
fi
exit "$status"
