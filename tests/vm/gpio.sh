#!/usr/bin/env bash
# Every GPIO back end against a real kernel's GPIO character device, in a small emulated machine.
# usage: gpio.sh PYTHON [COMMAND...]        exit status: 77 when it cannot run here, with the reason
#   PYTHON has wormfocus installed, in a folder that is the same inside; COMMAND, default the tests, runs there
#   with the GPIO libraries in its path and the repository as its current directory. What COMMAND writes to
#   /dev/ttyS1 is kept in .vm/results.
set -euo pipefail
REPO=$(cd "$(dirname "$0")/../.." && pwd)
VM=${WORMFOCUS_VM:-$REPO/.vm}
PYTHON=${1:?a Python with wormfocus}
case $PYTHON in /*) ;; *) PYTHON=$PWD/$PYTHON ;; esac
shift
PATH=$PATH:/usr/sbin:/sbin

cannot() { echo "test-gpio CANNOT RUN: $1" >&2; exit 77; }

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || cannot "it needs Debian, or a relative, on amd64"
missing() { for TOOL in qemu-system-x86_64 busybox cpio depmod xz; do command -v $TOOL > /dev/null || echo $TOOL; done; }
PACKAGES="qemu-system-x86 busybox-static cpio kmod xz-utils"
if [ -n "$(missing)" ] && [ "$(id -u)" = 0 ]; then
    echo "installing $PACKAGES"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $PACKAGES; } \
        > "${TMPDIR:-/tmp}/test-gpio-apt.log" 2>&1 || tail -n 3 "${TMPDIR:-/tmp}/test-gpio-apt.log" >&2
fi
[ -z "$(missing)" ] || cannot "no $(missing | tr '\n' ' '); install them: apt install $PACKAGES"
mkdir -p "$VM"
bash "$REPO/tests/vm/kernel.sh" "$VM" || cannot "no kernel with gpio-sim (see above)"

# The libraries of the rig: lgpio has wheels for some Pythons only, and gpiod for all of them.
LIBRARIES=$VM/python
if [ ! -e "$LIBRARIES/done" ]; then
    PIP="$PYTHON -m pip --disable-pip-version-check install --quiet --upgrade --target $LIBRARIES -c $REPO/constraints/pins.txt"
    $PIP pytest 'gpiod>=2.2' || cannot "no gpiod to be had (see above)"
    $PIP --only-binary lgpio lgpio rpi-lgpio || echo "no lgpio for this Python: its two back ends are NOT tested" >&2
    touch "$LIBRARIES/done"
fi
BACKENDS=gpiod
[ -e "$LIBRARIES/lgpio.py" ] && BACKENDS="gpiod lgpio rpi"
[ $# -gt 0 ] || set -- -m pytest -p no:cacheprovider -q -s \
    -k 'not simulated- and not [paper]' tests/hw/gpio tests/hw/test_any_driver.py

cat > "$VM/run.sh" <<RUN
set -e
. $REPO/tests/vm/pi_chip.sh
export HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin TMPDIR=/run
export PYTHONPATH=$REPO:$LIBRARIES PYTHONDONTWRITEBYTECODE=1 WORMFOCUS_GPIO_BACKENDS="$BACKENDS"
cd $REPO
uname -sr
# Into this machine's memory what other processes will import: its time flies while it waits for files.
$PYTHON -c "import hw.gpio.apart, hw.gpio.timing" || exit
exec $PYTHON $(printf '%q ' "$@")
RUN
bash "$REPO/tests/vm/boot.sh" "$VM" "$VM/run.sh" "$VM/results" "${WORMFOCUS_VM_SECONDS:-1800}"
