#!/usr/bin/env bash
# Make a folder with Debian trixie, libcamera and picamera2 in it, as the root of a small machine; no root needed.
# usage: root.sh FOLDER PYTHON      PYTHON is any with pip; the folder gets Debian's own
#
# libcamera comes from the backports: in trixie's 0.4 the virtual camera cannot read pictures into picamera2's
# buffers. picamera2 comes from PyPI, since Debian has none. Nothing is installed outside the folder.
set -euo pipefail
ROOT=$(mkdir -p "$1" && cd "$1" && pwd) PYTHON=$2
HERE=$(cd "$(dirname "$0")" && pwd)
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
PICAMERA2=0.3.38
[ -e "$ROOT/done" ] && exit 0
[ -e "$KEYRING" ] || { echo "no $KEYRING: install debian-archive-keyring" >&2; exit 1; }

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$WORK"/lists/partial "$WORK"/debs/partial
: > "$WORK/status"
printf "deb [signed-by=$KEYRING] $MIRROR %s main\n" trixie trixie-backports > "$WORK/sources.list"
cat > "$WORK/apt.conf" <<CONF
Dir::State "$WORK"; Dir::State::lists "$WORK/lists"; Dir::State::status "$WORK/status"; Dir::Log "$WORK";
Dir::Cache "$WORK"; Dir::Cache::archives "$WORK/debs";
Dir::Etc::sourcelist "$WORK/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64"; APT::Architectures {"amd64";}; APT::Install-Recommends "false"; APT::Sandbox::User "";
Acquire::Languages "none"; Acquire::Retries "3";
CONF
export APT_CONFIG=$WORK/apt.conf
echo "Debian trixie with libcamera from $MIRROR: about 80 MB, once"
apt-get -qq update
apt-get -qq --yes --download-only --target-release trixie-backports install \
    bash coreutils python3-libcamera libcamera-ipa python3-prctl > /dev/null
for DEB in "$WORK"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$DEB" | tar -x -C "$ROOT" --no-same-owner \
        --exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./usr/share/man
done

echo "picamera2 $PICAMERA2 and what it and wormfocus need, from PyPI: about 130 MB, once"
pip() { "$PYTHON" -m pip --disable-pip-version-check --quiet "$@"; }
install() {
    pip install --target "$ROOT/opt/site" --upgrade --no-compile --only-binary=:all: --python-version 3.13 \
        --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 "$@"
}
install -c "$HERE/../../constraints/pins.txt" numpy opencv-python-headless pydantic pyyaml tifffile \
    av jsonschema libarchive-c OpenEXR piexif pillow simplejpeg tqdm videodev2
install --no-deps "picamera2==$PICAMERA2"
# PiDNG has no wheels. picamera2 imports its Python part only; the compiled one writes compressed raw files.
pip download --no-deps --no-binary=:all: --dest "$WORK" 'PiDNG==4.0.9'
tar -x -C "$WORK" -f "$WORK"/*i*ng-4.0.9.tar.gz
cp -r "$WORK"/*i*ng-4.0.9/src/pidng "$ROOT/opt/site/"
# The preview on a screen wants to know of DRM's formats; nothing is drawn on a screen here.
echo 'PixelFormat = type("PixelFormat", (), {"__getattr__": lambda self, name: name})()' > "$ROOT/opt/site/pykms.py"

# An emulated processor takes minutes to compile all that Python. This one can do it, if it is of the same kind.
LIBRARIES=$ROOT/usr/lib/x86_64-linux-gnu
PYTHONHOME=$ROOT/usr "$LIBRARIES/ld-linux-x86-64.so.2" --library-path "$LIBRARIES" "$ROOT/usr/bin/python3.13" \
    -m compileall -q -s "$ROOT" "$ROOT/opt/site" "$ROOT/usr/lib/python3.13" "$ROOT/usr/lib/python3" > /dev/null || true
mkdir -p "$ROOT"/{proc,dev,sys,run,tmp}
touch "$ROOT/done"
