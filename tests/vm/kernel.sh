#!/usr/bin/env bash
# Fetch a Linux kernel for a test machine and make its initrd.
#
#   kernel.sh FOLDER ARCH BUSYBOX
#
# FOLDER gets `vmlinuz` and `initrd`; ARCH is amd64 or arm64; BUSYBOX is a static busybox of that
# architecture. The kernel is the newest in Debian's backports: trixie's own has no gpio-sim.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
folder=$1 arch=$2 busybox=$3

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ ! -e "$folder/vmlinuz" ]; then
    use_debian "$folder/apt" "$arch"
    image=$(apt-cache depends --important "linux-image-$arch/trixie-backports" |
        awk '/linux-image-[0-9]/ { print $2; exit }')
    fetch_only "$folder/debs" "${image/image/binary}" "${image/image/modules}"
    unpack_debs "$folder/tree" "$folder"/debs/*.deb
    rm -r "$folder/debs"
    # modprobe looks in lib, where a Debian of today has a link.
    ln -sfn usr/lib "$folder/tree/lib"
    depmod -b "$folder/tree" "$(ls "$folder/tree/usr/lib/modules")"
    cp "$folder"/tree/usr/lib/modules/*/vmlinuz "$folder/vmlinuz"
fi
release=$(ls "$folder/tree/usr/lib/modules")

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mkdir -p "$work"/{bin,proc,sys,dev,new,ro,rw,modules}
cp "$busybox" "$work/bin/busybox"
for applet in sh mount mkdir insmod cat echo chroot poweroff; do ln -s busybox "$work/bin/$applet"; done
# What mounts the root, and the simulated GPIO chip, which appears only when a test makes one.
for module in 9pnet_virtio 9p overlay configfs gpio-sim; do
    modprobe -d "$folder/tree" -S "$release" --show-depends "$module" | awk '/^insmod/ { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
    name=$(basename "${file%.xz}")
    if [ "$file" = "${file%.xz}" ]; then cp "$file" "$work/modules/$name"
    else xz -dc "$file" > "$work/modules/$name"; fi
    echo "$name" >> "$work/modules/order"
done
cp "$here/init" "$work/init"
(cd "$work" && find . | cpio --create --format=newc --quiet | gzip -1) > "$folder/initrd"
