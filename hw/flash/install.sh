#!/usr/bin/env bash
# Puts wormfocus on a Raspberry Pi, upgrades it and rolls it back. Runs as root, without a network, and as often
# as you like: what is there already stays as it is.
#
#   install.sh [install] [--wheelhouse DIR] [--rig FILE] [--bundle FILE|NAME] [--operator USER] [--no-start]
#   install.sh rollback               the program of before; once more, and the newer one is back
#   install.sh bundle FILE|NAME       another network; the one of before is kept
#   install.sh rollback-bundle        the network of before
#   install.sh status                 what is installed
#
#   /opt/wormfocus/releases/NAME      one environment per release; current and previous point at two of them
#   /opt/wormfocus/bundles            networks; current.tflite and previous.tflite point at two of them
#   /etc/wormfocus                    rig.yaml and wormfocus.env (options)
#   /var/lib/wormfocus                sessions, and what the rig remembers
#
# An upgrade leaves networks, rig file, options and state as they are.
set -euo pipefail
umask 022
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
readonly OPT=/opt/wormfocus ETC=/etc/wormfocus STATE=/var/lib/wormfocus
readonly RELEASES=$OPT/releases BUNDLES=$OPT/bundles
readonly UNIT=wormfocus.service UNITS=/etc/systemd/system
readonly ACCOUNT=wormfocus
CHANGED=0

say() { printf 'install.sh: %s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit "${STATUS:-1}"; }
bad_input() { STATUS=2 fail "$@"; }
changed() { CHANGED=1; say "$@"; }

# --- small steps, each of which does nothing where nothing is to be done ---------------------------------

# point LINK TARGET: in one rename, so that there is no moment without a link.
point() {
    [ "$(readlink "$1" || true)" != "$2" ] || return 0
    ln -s "$2" "$1.new.$$"
    mv -T "$1.new.$$" "$1"
    changed "$1 -> $2"
}

# folder PATH MODE OWNER
folder() {
    [ ! -d "$1" ] || return 0
    install -d -m "$2" -o "${3%:*}" -g "${3#*:}" "$1"
    changed "made $1"
}

# file SOURCE TARGET: a copy that is either the old or the new one, whenever the power fails.
file() {
    ! cmp -s "$1" "$2" || return 0
    install -m 0644 "$1" "$2.new.$$"
    sync "$2.new.$$"
    mv -T "$2.new.$$" "$2"
    changed "wrote $2"
}

account() {
    local group
    for group in gpio video; do
        getent group "$group" >/dev/null || { groupadd --system "$group"; changed "made group $group"; }
    done
    getent passwd "$ACCOUNT" >/dev/null || {
        useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin "$ACCOUNT"
        changed "made account $ACCOUNT"
    }
    [ -n "$OPERATOR" ] || return 0
    getent passwd "$OPERATOR" >/dev/null || bad_input "--operator $OPERATOR: no such user; make it first"
    for group in "$ACCOUNT" gpio video; do
        id -nG "$OPERATOR" | tr ' ' '\n' | grep -qx "$group" || {
            usermod -aG "$group" "$OPERATOR"
            changed "$OPERATOR joined group $group (from the next login on)"
        }
    done
}

# --- the program -----------------------------------------------------------------------------------------

# Sets RELEASE to the name of what the wheelhouse holds for this Python, and VERSION.
identify() {
    local wheels tag
    [ -d "$WHEELHOUSE" ] || bad_input "$WHEELHOUSE: no such folder; make one on a computer with a network" \
        "('python -m hw.flash.wheelhouse') and copy it here, or name another with --wheelhouse"
    [ -f "$WHEELHOUSE/SHA256SUMS" ] || bad_input "$WHEELHOUSE: no SHA256SUMS in it, so it is no wheelhouse;" \
        "make one with 'python -m hw.flash.wheelhouse'"
    (cd "$WHEELHOUSE" && sha256sum --check --quiet --strict SHA256SUMS >&2) \
        || fail "$WHEELHOUSE: damaged (see above); copy it again"
    tag=$(python3 -c 'import sys; print("cp%d%d" % sys.version_info[:2])') \
        || fail "python3 does not run; this needs Raspberry Pi OS, Bookworm or later"
    grep -qx "$tag" "$WHEELHOUSE/pythons.txt" \
        || bad_input "$WHEELHOUSE: nothing for this system's Python ($tag), only for" \
            "$(paste -sd ' ' "$WHEELHOUSE/pythons.txt"); make one with 'python -m hw.flash.wheelhouse --python'"
    wheels=("$WHEELHOUSE"/wormfocus-*.whl)
    [ "${#wheels[@]}" = 1 ] || bad_input "$WHEELHOUSE: ${#wheels[@]} versions of wormfocus in it; make it anew"
    VERSION=$(basename "${wheels[0]}" | cut -d- -f2)
    RELEASE=$VERSION-$tag-$(sha256sum "$WHEELHOUSE/SHA256SUMS" | cut -c1-8)
}

# Makes the release RELEASE, completely or not at all.
build() {
    local release=$RELEASES/$RELEASE pip
    if [ -e "$release/complete" ]; then
        return 0
    fi
    rm -rf "$release"
    # shellcheck disable=SC2064
    trap "rm -rf '$release'" EXIT
    say "installing wormfocus $VERSION; this takes a few minutes"
    # picamera2 and libcamera come with the system. pip runs from its wheel: nothing else is asked of the system.
    python3 -m venv --system-site-packages --without-pip "$release"
    pip=("$WHEELHOUSE"/pip-*.whl)
    # Everything that the wheelhouse was tested with, whatever versions the system has.
    "$release/bin/python" "${pip[0]}/pip" install --quiet --no-index --find-links "$WHEELHOUSE" \
        --ignore-installed --no-cache-dir --disable-pip-version-check --no-warn-script-location \
        --root-user-action ignore "wormfocus[pi]==$VERSION"
    "$release/bin/wormfocus" --version >/dev/null || fail "the new release does not start; nothing was changed"
    "$release/bin/wormfocus" info default >/dev/null \
        || fail "the new release cannot read its own bundle; nothing was changed"
    sync
    touch "$release/complete"
    trap - EXIT
    changed "made $release"
}

# Releases that are neither current nor previous go.
prune() {
    local release keep
    keep=" $(readlink "$OPT/current" || true) $(readlink "$OPT/previous" || true) "
    for release in "$RELEASES"/*/; do
        release=releases/$(basename "$release")
        case $keep in *" $release "*) continue ;; esac
        rm -rf "${OPT:?}/$release"
        changed "removed $OPT/$release"
    done
}

# switch_to TARGET: the release that runs from now on; the one of before stays.
switch_to() {
    local before
    before=$(readlink "$OPT/current" || true)
    [ "$before" != "$1" ] || return 0
    point "$OPT/current" "$1"
    if [ -n "$before" ]; then
        point "$OPT/previous" "$before"
    fi
}

# --- the network -----------------------------------------------------------------------------------------

# put_bundle FILE|NAME: keep a copy under its name and checksum, and make it the current one.
put_bundle() {
    local source=$1 before name
    case $source in
        *.tflite) [ -f "$source" ] || bad_input "$source: no such file; check the path" ;;
        *) source=$(shipped "edge/bundles/$1.tflite") ;;
    esac
    [ -f "$source" ] || bad_input "$1: neither a .tflite file nor a bundle that ships; check the name"
    "$OPT/current/bin/wormfocus" info "$source" >/dev/null || bad_input "$source: refused, see above"
    name=$(basename "$source" .tflite)-$(sha256sum "$source" | cut -c1-8).tflite
    file "$source" "$BUNDLES/$name"
    before=$(readlink "$BUNDLES/current.tflite" || true)
    [ "$before" != "$name" ] || return 0
    point "$BUNDLES/current.tflite" "$name"
    if [ -n "$before" ]; then
        point "$BUNDLES/previous.tflite" "$before"
    fi
}

# shipped PATH: a file of the current release's packages.
shipped() {
    local found
    for found in "$OPT"/current/lib/python3*/site-packages/"$1"; do
        printf '%s\n' "$found"
    done
}

# --- the service -----------------------------------------------------------------------------------------

configure() {
    local template
    if [ -n "$RIG" ]; then
        [ -f "$RIG" ] || bad_input "$RIG: no such file; check the path"
        if [ -f "$ETC/rig.yaml" ] && ! cmp -s "$RIG" "$ETC/rig.yaml"; then
            cp -p --backup=numbered "$ETC/rig.yaml" "$ETC/rig.yaml.old"
        fi
        file "$RIG" "$ETC/rig.yaml"
    elif [ ! -e "$ETC/rig.yaml" ]; then
        file "$(shipped hw/rigs/worm_tracker.yaml)" "$ETC/rig.yaml"
    fi
    if [ ! -e "$ETC/wormfocus.env" ]; then
        template=$(mktemp)
        printf '%s\n' "# Options of the service, see 'wormfocus run --help'. Upgrades leave this file alone." \
            'WORMFOCUS_OPTIONS=--sessions-gb 2' >"$template"
        file "$template" "$ETC/wormfocus.env"
        rm -f "$template"
    fi
}

running_systemd() { [ -d /run/systemd/system ]; }

unit() {
    local before=$CHANGED
    CHANGED=0
    file "$(shipped hw/flash/$UNIT)" "$UNITS/$UNIT"
    if [ "$CHANGED" = 1 ] && running_systemd; then
        systemctl daemon-reload
    fi
    if ! command -v systemctl >/dev/null; then
        say "no systemctl here: $UNIT is in place but not enabled"
    elif ! systemctl --quiet is-enabled "$UNIT" 2>/dev/null; then
        systemctl --quiet enable "$UNIT"
        changed "enabled $UNIT"
    fi
    CHANGED=$((CHANGED | before))
}

# restart: with what is current now; false when it does not get ready.
restart() {
    if [ "$START" = 0 ] || ! running_systemd; then
        say "not started: $([ "$START" = 0 ] && echo 'as asked for' || echo 'systemd does not run here')"
        return 0
    fi
    systemctl reset-failed "$UNIT" 2>/dev/null || true
    systemctl restart "$UNIT"
}

# --- commands --------------------------------------------------------------------------------------------

do_install() {
    local before
    identify
    account
    folder "$RELEASES" 0755 root:root
    folder "$BUNDLES" 0755 root:root
    folder "$ETC" 0755 root:root
    folder "$STATE" 2775 "$ACCOUNT:$ACCOUNT"
    folder "$UNITS" 0755 root:root
    folder /usr/local/bin 0755 root:root
    build
    before=$(readlink "$OPT/current" || true)
    switch_to "releases/$RELEASE"
    configure
    if [ -n "$BUNDLE" ]; then
        put_bundle "$BUNDLE"
    elif [ ! -e "$BUNDLES/current.tflite" ]; then
        put_bundle default
    fi
    point /usr/local/bin/wormfocus "$OPT/current/bin/wormfocus"
    unit
    if [ "$CHANGED" = 0 ] && { ! running_systemd || systemctl --quiet is-active "$UNIT"; }; then
        say "nothing to do: wormfocus $VERSION is installed"
        return 0
    fi
    if ! restart; then
        if [ -n "$before" ] && [ "$before" != "releases/$RELEASE" ]; then
            say "wormfocus $VERSION does not get ready (journalctl -u wormfocus); going back to the release of before"
            roll_back "$OPT" current previous
            unit
            restart || true
            exit 1
        fi
        fail "installed, but the service does not get ready; see: journalctl -u wormfocus"
    fi
    prune
    say "wormfocus $VERSION is installed"
}

# roll_back FOLDER CURRENT PREVIOUS: swap the two links.
roll_back() {
    local current previous
    current=$(readlink "$1/$2" || true) previous=$(readlink "$1/$3" || true)
    if [ -z "$previous" ] || [ ! -e "$1/$previous" ]; then
        bad_input "$1: nothing to go back to, only one was ever installed"
    fi
    point "$1/$2" "$previous"
    point "$1/$3" "$current"
}

do_status() {
    local link
    for link in "$OPT/current" "$OPT/previous" "$BUNDLES/current.tflite" "$BUNDLES/previous.tflite"; do
        printf '%-45s %s\n' "$link" "$(readlink "$link" || echo none)"
    done
    printf '%-45s %s\n' "$ETC/rig.yaml" "$(sha256sum "$ETC/rig.yaml" 2>/dev/null | cut -c1-8)"
    if running_systemd; then
        systemctl --no-pager --lines 0 status "$UNIT" || true
    fi
}

WHEELHOUSE=$HERE/wheelhouse RIG='' BUNDLE='' OPERATOR=${SUDO_USER:-} START=1 COMMAND=install
[ "$OPERATOR" != root ] || OPERATOR=''
case ${1:-} in
    install | rollback | rollback-bundle | status) COMMAND=$1; shift ;;
    bundle)
        COMMAND=$1 BUNDLE=${2:-}
        [ -n "$BUNDLE" ] || bad_input "bundle: which one? give a .tflite file or the name of one that ships"
        shift 2
        ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
        --no-start) START=0; shift; continue ;;
        --wheelhouse | --rig | --bundle | --operator) [ $# -ge 2 ] || bad_input "$1: a value is missing" ;;
        *) bad_input "$1: unknown; see install.sh --help" ;;
    esac
    case $1 in
        --wheelhouse) WHEELHOUSE=$2 ;;
        --rig) RIG=$2 ;;
        --bundle) BUNDLE=$2 ;;
        --operator) OPERATOR=$2 ;;
    esac
    shift 2
done
[ "$COMMAND" = status ] || [ "$(id -u)" = 0 ] || bad_input "this needs root: sudo $0"

case $COMMAND in
    install) do_install ;;
    status) do_status ;;
    rollback) roll_back "$OPT" current previous; unit; restart ;;
    bundle) put_bundle "$BUNDLE"; restart ;;
    rollback-bundle) roll_back "$BUNDLES" current.tflite previous.tflite; restart ;;
esac
