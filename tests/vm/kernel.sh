#!/usr/bin/env bash
# Fetch a Debian kernel that has gpio-sim and make an initrd that boots this machine's own root, read-only.
# usage: kernel.sh FOLDER      needs apt, dpkg, kmod, xz, cpio, busybox-static; no root
#
# The kernel is not installed: its packages are unpacked in FOLDER. apt works there on lists of its own.
# DEBIAN_MIRROR says where from; without it, the mirror that this machine's apt uses.
set -euo pipefail
FOLDER=$(mkdir -p "$1" && cd "$1" && pwd)
PATH=$PATH:/usr/sbin:/sbin
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$FOLDER/initrd" ] && [ -e "$FOLDER/vmlinuz" ] && exit 0
[ -e "$KEYRING" ] || { echo "no $KEYRING: install debian-archive-keyring" >&2; exit 1; }

MIRROR=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 -E '/debian/?$' || true)}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
APT=$FOLDER/apt
mkdir -p "$APT/lists/partial" "$APT/archives/partial" "$APT/debs"
cat > "$APT/apt.conf" <<CONF
Dir::State "$APT"; Dir::State::lists "$APT/lists"; Dir::State::status "/dev/null";
Dir::Cache "$APT"; Dir::Cache::archives "$APT/archives";
Dir::Etc::sourcelist "$APT/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64"; APT::Architectures {"amd64";}; Acquire::Languages "none"; APT::Sandbox::User "";
CONF
export APT_CONFIG=$APT/apt.conf

# Bookworm's 6.1 and trixie's 6.12 are built without gpio-sim.
for SUITE in forky trixie-backports; do
    echo "deb [signed-by=$KEYRING] $MIRROR $SUITE main" > "$APT/sources.list"
    apt-get -qq update || continue
    IMAGE=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image-[0-9]/ && !n++ {print $2}')
    [ -n "$IMAGE" ] && break
done
[ -n "${IMAGE:-}" ] || { echo "no kernel to be had from $MIRROR" >&2; exit 1; }
VERSION=${IMAGE#linux-image-}
echo "kernel $VERSION from $MIRROR $SUITE: about 120 MB, once"
PARTS=$(apt-cache depends "$IMAGE" | awk '/Depends: linux-(binary|modules)-/{print $2}')
(cd "$APT/debs" && apt-get -qq download "$IMAGE" $PARTS)
mkdir -p "$FOLDER/root"
for PACKAGE in "$APT"/debs/*.deb; do dpkg-deb --fsys-tarfile "$PACKAGE" | tar -x -C "$FOLDER/root"; done
rm -rf "$APT/debs"
[ -e "$FOLDER/root/lib" ] || ln -s usr/lib "$FOLDER/root/lib"
depmod -b "$FOLDER/root" "$VERSION" 2> /dev/null

TREE=$FOLDER/tree
rm -rf "$TREE" && mkdir -p "$TREE"/{bin,proc,sys,dev,new,ro,rw,mod}
cp "$(command -v busybox)" "$TREE/bin/busybox"
for APPLET in sh mount mkdir insmod cat echo chroot poweroff; do ln -s busybox "$TREE/bin/$APPLET"; done
: > "$TREE/mod/order"
for MODULE in configfs gpio-sim 9pnet_virtio 9p overlay; do
    modprobe -d "$FOLDER/root" -S "$VERSION" --show-depends "$MODULE" | awk '/^insmod/{print $2}'
done | awk '!seen[$0]++' | while read -r FILE; do
    NAME=$(basename "$FILE" .xz)
    case $FILE in *.xz) xz -dc "$FILE" ;; *) cat "$FILE" ;; esac > "$TREE/mod/$NAME"
    echo "$NAME" >> "$TREE/mod/order"
done
grep -q gpio-sim "$TREE/mod/order" || { echo "kernel $VERSION has no gpio-sim" >&2; exit 1; }
cat > "$TREE/init" <<'INIT'
#!/bin/sh
export PATH=/bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for module in $(cat /mod/order); do insmod /mod/$module || echo "cannot load $module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose hostroot /ro || poweroff -f
# The machine outside is only read; what is written goes to memory and is gone afterwards.
mount -t tmpfs t /rw; mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work o /new || poweroff -f
mount -t proc p /new/proc; mount -t sysfs s /new/sys; mount -t devtmpfs d /new/dev
mount -t configfs c /new/sys/kernel/config; mount -t tracefs t /new/sys/kernel/tracing; mount -t tmpfs t /new/run
for word in $(cat /proc/cmdline); do case $word in run=*) RUN=${word#run=} ;; esac; done
chroot /new /bin/bash "$RUN"
echo "GUEST-STATUS=$?"
poweroff -f
INIT
chmod +x "$TREE/init"
(cd "$TREE" && find . | cpio -o -H newc --quiet | gzip -1) > "$FOLDER/initrd.part"
cp "$FOLDER/root/usr/lib/modules/$VERSION/vmlinuz" "$FOLDER/vmlinuz" 2>/dev/null || cp "$FOLDER/root/boot/vmlinuz-$VERSION" "$FOLDER/vmlinuz"
rm -rf "$TREE" "$FOLDER/root"
mv "$FOLDER/initrd.part" "$FOLDER/initrd"
