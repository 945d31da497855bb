"""The wheelhouse's own checks; that its wheels install on a Pi's userland is tried by tests/arm64."""

import hashlib
import re
from pathlib import Path

import pytest

from hw.errors import ConfigError
from hw.flash.wheelhouse import CHECKSUMS, PLATFORMS, PYTHONS, check_wheelhouse, main

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
