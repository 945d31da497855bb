"""The wheelhouse's own checks; that its wheels install on a Pi's userland is tried by tests/arm64."""

import hashlib
import re
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hw.errors import ConfigError
from hw.flash.wheelhouse import CHECKSUMS, PLATFORMS, PYTHONS, check_wheelhouse, fetch, main, pip_reason

CLONE = Path(__file__).parents[3]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone as far as the check goes, whose build would be quick."""
    folder = tmp_path / "clone"
    (folder / "constraints").mkdir(parents=True)
    (folder / "constraints" / "pins.txt").touch()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["a-package-that-is-nowhere"]\nbuild-backend = "nowhere"\n'
    )
    return folder


def test_what_cannot_be_made_is_one_line(clone, tmp_path, capsys):
    assert main(["--out", str(tmp_path / "out"), "--source", str(tmp_path)]) == 2
    assert "no clone" in capsys.readouterr().err
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "old.whl").touch()
    assert main(["--out", str(tmp_path / "used"), "--source", str(clone)]) == 2
    assert "name another folder" in capsys.readouterr().err


def test_a_pip_that_fails_is_told_and_leaves_no_wheelhouse(clone, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert main(["--out", str(tmp_path / "out"), "--source", str(clone)]) == 2
    error = capsys.readouterr().err
    assert "pip wheel failed" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out" / CHECKSUMS).exists()


PIP_CONFLICT = """Looking in indexes: https://pypi.org/simple

The conflict is caused by:
    wormfocus[pi] 0.1.0 depends on gpiod>=2.2
    The user requested (constraint) gpiod==2.1

To fix this you could try to:
1. loosen the range of package versions you've specified
"""


@pytest.mark.parametrize(
    ("out", "errors", "reason"),
    [
        (
            PIP_CONFLICT,
            "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics\n",
            "wormfocus[pi] 0.1.0 depends on gpiod>=2.2; The user requested (constraint) gpiod==2.1",
        ),
        (
            "Looking in links: /wheels\n",
            "WARNING: Location 'file:///simple' is ignored\n"
            "ERROR: Ignored the following versions that require a different python version: 0.1\n"
            "ERROR: No matching distribution found for lgpio==0.2.2.0\n",
            "No matching distribution found for lgpio==0.2.2.0",
        ),
        (
            "",
            "  error: subprocess-exited-with-error\n  ╰─> [1 lines of output]\n      no compiler\n"
            "      [end of output]\n  \n  note: This error originates from a subprocess.\n",
            "no compiler",
        ),
        ("", "\n", "no reason given"),
    ],
)
def test_of_what_pip_says_the_reason_is_told(out, errors, reason):
    assert pip_reason(out, errors) == reason


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for all the packages there are."""
    folder = tmp_path / "index"
    folder.mkdir()
    motor = ('old; python_version < "3.12"', 'quick<4; extra == "fast"')
    for name, tag, requires in (
        ("rig-1.0", "py3-none-any", ('motor[fast]>=2; extra == "pi"',)),
        ("motor-2.1", "cp313-cp313-manylinux_2_28_aarch64", motor),
        ("motor-2.1", "cp311-cp311-manylinux_2_28_aarch64", motor),
        ("motor-2.2", "py3-none-any", ()),
        ("old-0.9", "py3-none-any", ()),
        ("quick-3.0", "cp38-abi3-manylinux2014_aarch64", ("rig",)),
        ("quick-3.1", "cp38-abi3-manylinux2014_x86_64", ()),
        ("quick-4.0", "py3-none-any", ()),
    ):
        package, version = name.split("-")
        lines = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        with zipfile.ZipFile(folder / f"{name}-{tag}.whl", "w") as wheel:
            wheel.writestr(f"{name}.dist-info/METADATA", "\n".join(lines) + "\n")
            wheel.writestr(f"{name}.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
            wheel.writestr(f"{name}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ("3.13", ["motor-2.1-cp313", "quick-3.0-cp38", "rig-1.0-py3"]),
        ("3.11", ["motor-2.1-cp311", "old-0.9-py3", "quick-3.0-cp38", "rig-1.0-py3"]),
    ],
)
def test_wheels_are_those_that_the_pis_python_needs(index, tmp_path, python, expected):
    pins, out = tmp_path / "pins.txt", tmp_path / "out"
    pins.write_text("motor==2.1\n")
    out.mkdir()
    fetch([Requirement("rig[pi]")], python, pins, out)
    assert sorted("-".join(path.name.split("-")[:3]) for path in out.iterdir()) == expected


def test_packages_that_contradict_each_other_are_told(index, tmp_path):
    pins, out = tmp_path / "pins.txt", tmp_path / "out"
    out.mkdir()
    pins.write_text("motor==2.1\n")
    with pytest.raises(ConfigError, match=r"quick-4\.0.*: another package needs quick<4"):
        fetch([Requirement("motor[fast]"), Requirement("quick")], "3.13", pins, out)


def test_a_missing_or_damaged_wheel_is_found(tmp_path):
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"wheel")
    (tmp_path / CHECKSUMS).write_text(f"{hashlib.sha256(b'wheel').hexdigest()}  a.whl\n")
    check_wheelhouse(tmp_path)
    wheel.write_bytes(b"whee1")
    with pytest.raises(ConfigError, match=r"a\.whl: damaged"):
        check_wheelhouse(tmp_path)
    wheel.unlink()
    with pytest.raises(ConfigError, match=r"a\.whl: cannot be read"):
        check_wheelhouse(tmp_path)


def test_it_covers_the_pythons_of_raspberry_pi_os_and_no_newer_c_library():
    assert PYTHONS == ("3.11", "3.13")
    minors = [
        int(found[1]) for name in PLATFORMS if (found := re.fullmatch(r"manylinux_2_(\d+)_aarch64", name))
    ]
    # Bookworm's glibc is 2.36, and wheels for an older one run on it.
    assert max(minors) == 36
    assert {17, 27, 28} <= set(minors)


def test_every_package_that_goes_onto_a_pi_is_pinned():
    pins = (CLONE / "constraints" / "pins.txt").read_text(encoding="utf-8")
    pinned = {line.split("==")[0].lower() for line in pins.splitlines() if "==" in line}
    project = (CLONE / "pyproject.toml").read_text(encoding="utf-8")
    base = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    extra = re.search(r"^pi = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    assert base is not None
    assert extra is not None
    wanted = {name.lower() for name in re.findall(r'"([A-Za-z0-9_.-]+)[><=]', base[1] + extra[1])}
    assert {"numpy", "gpiod", "simplejpeg"} <= wanted
    assert wanted <= pinned
