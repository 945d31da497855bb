"""The install script on this machine: upgrade, roll back, what is kept, what is refused.

It runs as root in namespaces of its own, with /etc, /opt, /usr/local and /var/lib overlaid, so that nothing
of this machine changes; the program is a small stand-in, since what is tried here is the script. pip installs
the first release; the upgrades have a stand-in for it too. The real program is installed by tests/arm64.
"""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from importlib import resources
from pathlib import Path

import pytest

SCRIPT = Path(str(resources.files("hw.flash") / "install.sh"))
UNIT = SCRIPT.with_name("wormfocus.service")

OVERLAID = ("/etc", "/opt", "/usr/local", "/var/lib")
INSIDE = """
set -eu
state=$1
shift
for folder in {folders}; do
    mkdir -p "$state/up$folder" "$state/work$folder"
    mount -t overlay -o "lowerdir=$folder,upperdir=$state/up$folder,workdir=$state/work$folder" none "$folder"
done
# systemd may run on this machine, but not in here, unless a stand-in for systemctl is given.
mount -t tmpfs none /run
[ -z "${{SYSTEMCTL:-}}" ] || mkdir -p /run/systemd/system
export PATH=${{SYSTEMCTL:+$SYSTEMCTL:}}/usr/sbin:/usr/bin:/sbin:/bin
exec "$@"
""".format(folders=" ".join(OVERLAID))

# A command that answers what the script asks; the bundle that is called broken is refused.
PROGRAM = """
import sys

def main():
    if {broken}:
        return "does not start"
    if sys.argv[1] == "--version":
        print("wormfocus {version}")
    elif sys.argv[1] == "info" and "broken" in sys.argv[2]:
        return "wormfocus: damaged"
"""


def possible(scratch: Path) -> str | None:
    """Why it cannot be tried here."""
    if os.geteuid() != 0:
        return "the install script needs root"
    if not shutil.which("unshare"):
        return "no unshare; apt install util-linux"
    if not Path("/usr/bin/python3").exists():
        return "no Python of the system; apt install python3-venv"
    trial = subprocess.run(
        ["unshare", "--mount", "bash", "-c", INSIDE, "_", str(scratch / "trial"), "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if trial.returncode == 0 else f"no overlay in a mount namespace: {trial.stderr.strip()}"


# Does with a stand-in's wheel what pip does, in a tenth of the time.
QUICK_PIP = """
import sys, sysconfig, zipfile
from pathlib import Path

assert sys.argv[1] == "install" and "--no-index" in sys.argv
folder, wanted = sys.argv[sys.argv.index("--find-links") + 1], sys.argv[-1]
wheel, = Path(folder).glob(wanted.replace("[pi]==", "-") + "-*.whl")
zipfile.ZipFile(wheel).extractall(sysconfig.get_path("purelib"))
program = Path(sysconfig.get_path("scripts"), "wormfocus")
program.write_text(f"#!{sys.executable}\\nimport sys, wormfocus\\nsys.exit(wormfocus.main())\\n")
program.chmod(0o755)
"""


def pip_wheel() -> Path:
    """A wheel of pip, as the wheelhouse holds one: the one that `venv` brings."""
    import ensurepip

    bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    debian = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if not (bundled or debian):
        pytest.skip("no wheel of pip on this machine; apt install python3-venv")
    return (bundled or debian)[-1]


def make_wheelhouse(
    folder: Path, version: str, *, broken: bool = False, pythons: str | None = None, pip: Path | None = None
) -> Path:
    """A wheelhouse with a stand-in for the program, and for pip unless one is given."""
    folder.mkdir()
    info = f"wormfocus-{version}.dist-info"
    contents = {
        "wormfocus.py": PROGRAM.format(version=version, broken=broken),
        "hw/rigs/worm_tracker.yaml": "name: shipped\n",
        "hw/flash/wormfocus.service": UNIT.read_text() + f"# {version}\n",
        "edge/bundles/default.tflite": f"network of {version}",
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: wormfocus\nVersion: {version}\nProvides-Extra: pi\n"
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nwormfocus = wormfocus:main\n",
    }
    contents[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*contents, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"wormfocus-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in contents.items():
            wheel.writestr(name, text)
    if pip is not None:
        shutil.copy(pip, folder)
    else:
        with zipfile.ZipFile(folder / "pip-0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("pip/__main__.py", QUICK_PIP)
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(sums))
    tag = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (folder / "pythons.txt").write_text(pythons or tag)
    return folder


class Pi:
    """A machine to install on; what changed on it lies in `up`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.up = folder / "up"

    def install(self, *arguments: object, status: int = 0, systemctl: Path | None = None) -> str:
        result = subprocess.run(
            ["unshare", "--mount", "bash", "-c", INSIDE, "_", str(self.folder), "bash", str(SCRIPT)]
            + [str(argument) for argument in arguments],
            capture_output=True,
            text=True,
            check=False,
            env={
                **{name: value for name, value in os.environ.items() if name != "SUDO_USER"},
                "SYSTEMCTL": str(systemctl or ""),
            },
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr

    def link(self, path: str) -> str:
        return str((self.up / path).readlink())

    def files(self) -> dict[str, tuple[int, bytes]]:
        return {
            str(path.relative_to(self.up)): (
                path.lstat().st_mtime_ns,
                bytes(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(self.up.rglob("*"))
        }


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("install")
    if (reason := possible(folder)) is not None:
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="module")
def first(scratch: Path) -> Path:
    return make_wheelhouse(scratch / "first", "1.0", pip=pip_wheel())


@pytest.fixture(scope="module")
def installed_once(scratch: Path, first: Path) -> Pi:
    pi = Pi(scratch / "pi")
    pi.install("--wheelhouse", first)
    return pi


@pytest.fixture
def bare(scratch: Path, tmp_path: Path) -> Pi:
    """A machine without anything of ours."""
    return Pi(tmp_path / "pi")


@pytest.fixture
def pi(installed_once: Pi, tmp_path: Path) -> Pi:
    """A machine with release 1.0 on it."""
    shutil.copytree(installed_once.folder, tmp_path / "pi", symlinks=True)
    return Pi(tmp_path / "pi")


def test_a_second_run_changes_nothing(pi, first):
    before = pi.files()
    assert (pi.up / "etc/wormfocus/rig.yaml").read_text() == "name: shipped\n"
    assert (pi.up / "etc/systemd/system/wormfocus.service").read_text().endswith("# 1.0\n")
    assert (pi.up / "usr/local/bin/wormfocus").readlink() == Path("/opt/wormfocus/current/bin/wormfocus")
    assert "nothing to do" in pi.install("--wheelhouse", first)
    assert pi.files() == before
    assert len(before) > 20


def test_an_upgrade_keeps_rig_options_network_and_state_and_can_be_taken_back(pi, tmp_path):
    kept = {
        "etc/wormfocus/rig.yaml": "name: mine\n",
        "etc/wormfocus/wormfocus.env": "WORMFOCUS_OPTIONS=--method none\n",
        "var/lib/wormfocus/position": "37",
    }
    for path, text in kept.items():
        (pi.up / path).write_text(text)
    old = pi.link("opt/wormfocus/current")
    network = pi.link("opt/wormfocus/bundles/current.tflite")

    pi.install("--wheelhouse", make_wheelhouse(tmp_path / "second", "2.0"))
    new = pi.link("opt/wormfocus/current")
    assert re.fullmatch(r"releases/2\.0-cp\d+-[0-9a-f]{8}", new)
    assert pi.link("opt/wormfocus/previous") == old
    assert {path: (pi.up / path).read_text() for path in kept} == kept
    assert pi.link("opt/wormfocus/bundles/current.tflite") == network
    assert (pi.up / "etc/systemd/system/wormfocus.service").read_text().endswith("# 2.0\n")

    pi.install("rollback")
    assert pi.link("opt/wormfocus/current") == old
    assert pi.link("opt/wormfocus/previous") == new
    assert (pi.up / "etc/systemd/system/wormfocus.service").read_text().endswith("# 1.0\n")
    assert {path: (pi.up / path).read_text() for path in kept} == kept
    pi.install("rollback")
    assert pi.link("opt/wormfocus/current") == new

    pi.install("--wheelhouse", make_wheelhouse(tmp_path / "third", "3.0"))
    releases = sorted(path.name for path in (pi.up / "opt/wormfocus/releases").iterdir() if path.is_dir())
    assert [name.split("-")[0] for name in releases] == ["2.0", "3.0"]


def test_a_release_that_does_not_start_never_becomes_the_current_one(pi, tmp_path):
    before = pi.files()
    output = pi.install("--wheelhouse", make_wheelhouse(tmp_path / "bad", "2.0", broken=True), status=1)
    assert "nothing was changed" in output
    after = pi.files()
    # The folder that the release was made in and taken from again has another time, and that is all.
    before.pop("opt/wormfocus/releases")
    after.pop("opt/wormfocus/releases")
    assert after == before


@pytest.fixture
def systemctl(tmp_path: Path) -> Path:
    """A folder with a `systemctl` that notes its calls, and whose service gets ready unless it is of 2.0."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(
        f"""#!/bin/sh
echo "$*" >>{tmp_path}/calls
case $* in
    restart*) case $(readlink /opt/wormfocus/current) in releases/2.0-*) exit 1 ;; esac ;;
esac
"""
    )
    program.chmod(0o755)
    return folder


def test_a_release_that_does_not_get_ready_gives_way_to_the_one_before(pi, systemctl, tmp_path):
    old = pi.link("opt/wormfocus/current")
    second = make_wheelhouse(tmp_path / "second", "2.0")
    assert "going back" in pi.install("--wheelhouse", second, status=1, systemctl=systemctl)
    assert pi.link("opt/wormfocus/current") == old
    assert (pi.up / "etc/systemd/system/wormfocus.service").read_text().endswith("# 1.0\n")
    calls = (tmp_path / "calls").read_text().splitlines()
    told = [call for call in calls if call.split()[0] in {"daemon-reload", "restart"}]
    # The new unit and the new program, then the old unit and the old program.
    assert told == ["daemon-reload", "restart wormfocus.service"] * 2
    # The next one is none of these, so it goes on from the release that runs.
    pi.install("--wheelhouse", make_wheelhouse(tmp_path / "third", "3.0"), systemctl=systemctl)
    assert pi.link("opt/wormfocus/current").startswith("releases/3.0-")
    assert pi.link("opt/wormfocus/previous") == old


def test_a_service_that_runs_what_is_installed_is_not_disturbed(pi, first, systemctl, tmp_path):
    pi.install("--wheelhouse", first, systemctl=systemctl)
    assert not [call for call in (tmp_path / "calls").read_text().splitlines() if call.startswith("restart")]


def test_an_install_that_was_cut_off_is_done_again(pi, tmp_path):
    second = make_wheelhouse(tmp_path / "second", "2.0")
    pi.install("--wheelhouse", second)
    release = pi.up / "opt/wormfocus" / pi.link("opt/wormfocus/current")
    (release / "complete").unlink()
    program = release / "bin/wormfocus"
    program.unlink()
    pi.install("--wheelhouse", second)
    assert program.exists()
    assert (release / "complete").exists()


def test_another_network_and_back(pi, tmp_path):
    bundles = pi.up / "opt/wormfocus/bundles"
    shipped = pi.link("opt/wormfocus/bundles/current.tflite")
    assert (bundles / shipped).read_text() == "network of 1.0"
    mine = tmp_path / "mine.tflite"
    mine.write_text("mine")
    pi.install("bundle", mine)
    digest = hashlib.sha256(b"mine").hexdigest()[:8]
    assert pi.link("opt/wormfocus/bundles/current.tflite") == f"mine-{digest}.tflite"
    assert (bundles / "current.tflite").read_text() == "mine"
    pi.install("rollback-bundle")
    assert pi.link("opt/wormfocus/bundles/current.tflite") == shipped
    assert pi.link("opt/wormfocus/bundles/previous.tflite") == f"mine-{digest}.tflite"
    broken = tmp_path / "broken.tflite"
    broken.touch()
    assert "refused" in pi.install("bundle", broken, status=2)
    assert pi.link("opt/wormfocus/bundles/current.tflite") == shipped


def test_a_new_rig_file_keeps_a_copy_of_the_old_one(pi, first, tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text("name: mine\n")
    pi.install("--wheelhouse", first, "--rig", rig)
    assert (pi.up / "etc/wormfocus/rig.yaml").read_text() == "name: mine\n"
    assert (pi.up / "etc/wormfocus/rig.yaml.old").read_text() == "name: shipped\n"
    before = pi.files()
    pi.install("--wheelhouse", first, "--rig", rig)
    assert pi.files() == before


def test_the_operator_joins_the_groups_once(pi, first):
    pi.install("--wheelhouse", first, "--operator", "games")
    groups = (pi.up / "etc/group").read_text()
    for group in ("wormfocus", "gpio", "video"):
        assert re.search(rf"^{group}:.*\bgames\b", groups, re.MULTILINE), group
    assert "nothing to do" in pi.install("--wheelhouse", first, "--operator", "games")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--wheelhouse", "/nowhere"), "no such folder"),
        (("--wheelhouse", "/usr"), "no wheelhouse"),
        (("--whelhouse", "x"), "unknown"),
        (("--rig",), "a value is missing"),
        (("bundle",), "which one?"),
        (("rollback",), "nothing to go back to"),
    ],
)
def test_bad_input_says_so_and_changes_nothing(bare, arguments, reason):
    assert reason in bare.install(*arguments, status=2)
    assert not any(path.is_file() for path in bare.up.rglob("*"))


def test_a_wheelhouse_that_does_not_suit_is_refused(bare, tmp_path):
    wheelhouse = make_wheelhouse(tmp_path / "other", "1.0", pythons="cp27\n")
    assert "nothing for this system's Python" in bare.install("--wheelhouse", wheelhouse, status=2)
    wheel = next(wheelhouse.glob("wormfocus-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"x")
    assert "damaged" in bare.install("--wheelhouse", wheelhouse, status=1)
    assert not any(path.is_file() for path in bare.up.rglob("*"))


def test_shellcheck_finds_nothing():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed; apt install shellcheck")
    tests = Path(__file__).parents[2]
    scripts = [SCRIPT, *(tests / "arm64").glob("*.sh"), *(tests / "systemd").glob("*.sh")]
    assert len(scripts) >= 5
    result = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
