# Sourced: packages of Debian trixie and its backports, fetched and unpacked beside the running system and
# whatever release that is. Nothing is installed, no root is needed.
#
#   use_debian FOLDER ARCH         own apt lists in FOLDER, for amd64 or arm64; refreshed once a day
#   fetch_debs OUT PACKAGE...      packages with all they depend on, as .deb files
#   fetch_only OUT PACKAGE...      packages without what they depend on
#   unpack_debs ROOT DEB...        files of packages, without running their scripts

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

use_debian() {
    local folder arch=$2
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    folder=$(cd "$1" && pwd)
    printf 'deb [signed-by=%s] http://deb.debian.org/debian %s main\n' \
        $KEYRING trixie $KEYRING trixie-backports > "$folder/sources.list"
    : > "$folder/status"
    cat > "$folder/apt.conf" <<CONF
APT::Architecture "$arch"; APT::Architectures "$arch";
APT::Install-Recommends "false"; APT::Sandbox::User ""; Acquire::Languages "none"; Acquire::Retries "3";
Dir::State "$folder"; Dir::State::Lists "$folder/lists"; Dir::State::status "$folder/status";
Dir::Cache "$folder/cache"; Dir::Etc::SourceList "$folder/sources.list"; Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null"; Dir::Etc::PreferencesParts "/dev/null"; Dir::Log "$folder";
CONF
    export APT_CONFIG="$folder/apt.conf"
    if [ -z "$(find "$folder/lists" -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit)" ]; then
        apt-get update -qq
    fi
}

fetch_debs() {
    local out=$1
    shift
    mkdir -p "$out/partial"
    apt-get install -qq --yes --download-only --target-release trixie-backports \
        -o "Dir::Cache::Archives=$(cd "$out" && pwd)" "$@" > /dev/null
}

fetch_only() {
    local out=$1
    shift
    mkdir -p "$out"
    (cd "$out" && apt-get download -qq --target-release trixie-backports "$@")
}

unpack_debs() {
    local root=$1 deb
    shift
    mkdir -p "$root"
    for deb in "$@"; do
        dpkg --fsys-tarfile "$deb" | tar x -C "$root" --no-same-owner \
            --exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./usr/share/man
    done
}
