"""The wheelhouse: every wheel that a Pi without a network needs, and their checksums.

    python -m hw.flash.wheelhouse --out wheelhouse

runs on any computer with pip, a package index and a clone of this repository. The wheels are those of 64-bit
Raspberry Pi OS: aarch64, Python 3.11 (Bookworm) and 3.13 (Trixie), in the versions that the tests run on.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from hw.errors import ConfigError, WormfocusError
from hw.flash.requirements import pi_environment, requirements

__all__ = ["CHECKSUMS", "PYTHONS", "PYTHON_LIST", "check_wheelhouse", "fetch", "make_wheelhouse"]

PYTHONS = ("3.11", "3.13")
CHECKSUMS, PYTHON_LIST = "SHA256SUMS", "pythons.txt"
# Bookworm has glibc 2.36, Trixie 2.41; wheels say the oldest one that they run on.
PLATFORMS = (*(f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)), "manylinux2014_aarch64")
# What pip says besides the reason for a failure.
NOT_A_REASON = ("ERROR: ResolutionImpossible", "ERROR: Ignored the following versions")


def make_wheelhouse(out: Path, source: Path, pythons: Sequence[str] = PYTHONS) -> list[Path]:
    """Build the project's wheel and download all that it needs.

    Parameters
    ----------
    out : folder; must not exist or be empty
    source : clone of this repository
    pythons : versions of Python, such as '3.11'

    Returns
    -------
    list of Path
        The wheels.

    Raises
    ------
    ConfigError
        `source` is no clone, `out` is in use, or pip fails.
    """
    pins = source / "constraints" / "pins.txt"
    if not (source / "pyproject.toml").is_file() or not pins.is_file():
        raise ConfigError(f"{source}: no clone of wormfocus; name one with --source")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: in use, and wheels of two versions must not mix; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    # What setuptools left there before may hold modules that are gone.
    shutil.rmtree(source / "build", ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        _pip("wheel", "--no-deps", "--wheel-dir", scratch, str(source))
        (wheel,) = Path(scratch).glob("wormfocus-*.whl")
        for python in pythons:
            fetched = Path(scratch) / python
            fetched.mkdir()
            shutil.copy(wheel, fetched)
            # pip itself too: the install script runs it from its wheel.
            fetch([Requirement("wormfocus[pi]"), Requirement("pip")], python, pins, fetched)
            for path in fetched.glob("*.whl"):
                shutil.move(path, out / path.name)
    wheels = sorted(out.glob("*.whl"))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in wheels]
    (out / PYTHON_LIST).write_text("".join(f"cp{p.replace('.', '')}\n" for p in pythons), encoding="utf-8")
    (out / CHECKSUMS).write_text("".join(sums), encoding="utf-8")
    return wheels


def fetch(wanted: Sequence[Requirement], python: str, pins: Path, folder: Path) -> None:
    """Download the wheels that some requirements need on a Pi, and what those need in turn.

    Parameters
    ----------
    wanted : requirements
    python : version of the Pi's Python, such as '3.13'
    pins : constraints for pip
    folder : where wheels go; those that lie there are not downloaded again

    Raises
    ------
    ConfigError
        pip fails, or two requirements contradict each other.
    """
    environment = pi_environment(python)
    extras: dict[str, set[str]] = {}
    while wanted:
        there = _wheels(folder)
        missing = [str(r) for r in wanted if canonicalize_name(r.name) not in there]
        if missing:
            _download(missing, python, pins, folder)
            there = _wheels(folder)
        following: list[Requirement] = []
        for requirement in wanted:
            name = canonicalize_name(requirement.name)
            version, wheel = there[name]
            if not requirement.specifier.contains(version, prereleases=True):
                raise ConfigError(f"{wheel.name}: another package needs {requirement}; mend {pins}")
            if name not in extras or not requirement.extras <= extras[name]:
                extras.setdefault(name, set()).update(requirement.extras)
                following += requirements(wheel, extras[name], environment)
        wanted = following


def check_wheelhouse(folder: Path) -> None:
    """Check that a wheelhouse is whole.

    Raises
    ------
    ConfigError
        It is none, or a file in it is missing or damaged.
    """
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        for line in lines:
            wanted, _, name = line.partition("  ")
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
                raise ConfigError(f"{folder / name}: damaged; make the wheelhouse anew")
    except OSError as error:
        raise ConfigError(
            f"{error.filename}: cannot be read ({error.strerror}), so {folder} is no wheelhouse; make one "
            "with 'python -m hw.flash.wheelhouse'"
        ) from error


def _wheels(folder: Path) -> dict[str, tuple[Version, Path]]:
    named = {path: parse_wheel_filename(path.name) for path in folder.glob("*.whl")}
    return {name: (version, path) for path, (name, version, *_) in named.items()}


def _download(wanted: Sequence[str], python: str, pins: Path, folder: Path) -> None:
    abis = (f"cp{python.replace('.', '')}", "abi3", "none")
    _pip(
        *("download", "--no-deps", "--dest", str(folder), "--constraint", str(pins)),
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", python),
        *(word for abi in abis for word in ("--abi", abi)),
        *(word for platform in PLATFORMS for word in ("--platform", platform)),
        *wanted,
    )


def _pip(*arguments: str) -> None:
    # Not --quiet, which leaves out what contradicts what.
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-color", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = pip_reason(result.stdout, result.stderr)
        raise ConfigError(f"pip {arguments[0]} failed ({reason}); check the network and the package index")


def pip_reason(out: str, errors: str) -> str:
    """Return what pip's output says about why it failed, on one line."""
    _, _, conflict = out.partition("The conflict is caused by:\n")
    lines = conflict.partition("\n\n")[0].splitlines()
    lines += [
        line.removeprefix("ERROR: ")
        for line in errors.splitlines()
        if line.startswith("ERROR: ") and not line.startswith(NOT_A_REASON)
    ]
    if not lines:
        # What a build said last, or pip itself.
        said = errors.partition("[end of output]")[0].splitlines()
        lines = [line for line in said if line.strip(" │")][-1:]
    return "; ".join(line.strip() for line in lines) or "no reason given"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m hw.flash.wheelhouse", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, default=Path("wheelhouse"), help="folder for the wheels")
    parser.add_argument("--source", type=Path, default=Path(__file__).parents[2], help="clone of wormfocus")
    parser.add_argument("--python", action="append", help=f"version; default {' and '.join(PYTHONS)}")
    given = parser.parse_args(arguments)
    try:
        wheels = make_wheelhouse(given.out, given.source, given.python or PYTHONS)
    except WormfocusError as error:
        print(f"wheelhouse: {error}", file=sys.stderr)
        return 2
    size_mb = sum(path.stat().st_size for path in wheels) / 1e6
    print(f"{len(wheels)} wheels, {size_mb:.0f} MB in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
