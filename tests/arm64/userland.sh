#!/usr/bin/env bash
# An arm64 Debian as a folder, from its packages: downloaded by apt with a state of its own and unpacked, nothing
# more. No package script runs, nothing of this machine changes.
#
#   userland.sh SUITE CACHE ROOT      bookworm (Python 3.11) or trixie (3.13), as Raspberry Pi OS
set -euo pipefail
SUITE=$1 CACHE=$(mkdir -p "$2" && cd "$2" && pwd) ROOT=$3
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
# What the install script uses, and libstdc++, which numpy needs; no python3-venv, which a Pi may lack too.
PACKAGES=(base-files base-passwd bash coreutils diffutils findutils grep gzip hostname libc-bin libstdc++6 login mawk
    passwd python3 sed systemd tar util-linux)

mkdir -p "$CACHE"/{lists/partial,archives/partial,etc/apt.conf.d,etc/preferences.d}
: >"$CACHE/status"
echo "deb [signed-by=$KEYS] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $SUITE main" >"$CACHE/etc/sources.list"
APT=(apt-get --quiet --quiet --yes
    -o "Dir::Etc=$CACHE/etc" -o "Dir::Etc::sourceparts=-" -o "Dir::State=$CACHE" -o "Dir::State::status=$CACHE/status"
    -o "Dir::Cache=$CACHE" -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Install-Recommends=false
    -o APT::Sandbox::User=root)
"${APT[@]}" update
"${APT[@]}" install --download-only "${PACKAGES[@]}"

rm -rf "$ROOT"
mkdir -p "$ROOT"/{etc,proc,sys,dev,run,tmp,root,boot/firmware,home} "$ROOT"/usr/{bin,lib,sbin}
for folder in bin lib sbin; do
    ln -s "usr/$folder" "$ROOT/$folder"
done
for package in "$CACHE"/archives/*.deb; do
    dpkg --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory "$ROOT"
done
# What the packages' scripts would have done, as far as it matters here.
[ -e "$ROOT/usr/bin/awk" ] || ln -s mawk "$ROOT/usr/bin/awk"
cp "$ROOT/usr/share/base-passwd/passwd.master" "$ROOT/etc/passwd"
cp "$ROOT/usr/share/base-passwd/group.master" "$ROOT/etc/group"
: >"$ROOT/etc/shadow"
: >"$ROOT/etc/gshadow"
echo rig >"$ROOT/etc/hostname"
