"""What a wheel requires on a Pi, whichever Python and machine this is.

pip takes wheels for another Python (`--python-version`), but reads the conditions of requirements
(`; python_version < "3.13"`) as of the Python that it runs on. So they are read here.
"""

import zipfile
from collections.abc import Iterable
from importlib.metadata import PathDistribution
from pathlib import Path

from packaging.requirements import Requirement

from hw.errors import ConfigError

__all__ = ["pi_environment", "requirements"]


def pi_environment(python: str) -> dict[str, str]:
    """Return the values of all environment markers on 64-bit Raspberry Pi OS.

    Parameters
    ----------
    python : such as '3.13'

    Source: PyPA specification *Dependency specifiers*, environment markers.
    """
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "aarch64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def requirements(wheel: Path, extras: Iterable[str], environment: dict[str, str]) -> list[Requirement]:
    """List what a wheel requires in an environment.

    Parameters
    ----------
    wheel : file
    extras : the optional parts that are wanted
    environment : value of each environment marker

    Returns
    -------
    list of Requirement
        Those whose condition holds, each without it.

    Raises
    ------
    ConfigError
        The file is no wheel.
    """
    wanted = ["", *extras]
    chosen = []
    for text in _metadata(wheel).requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in wanted):
            requirement.marker = None
            chosen.append(requirement)
    return chosen


def _metadata(wheel: Path) -> PathDistribution:
    try:
        for folder in zipfile.Path(wheel).iterdir():
            if folder.name.endswith(".dist-info"):
                # A zip member has all of a path's methods that are asked for here.
                return PathDistribution(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{wheel}: cannot be read ({error}); make the wheelhouse anew") from error
    raise ConfigError(f"{wheel}: no wheel, for it has no metadata; make the wheelhouse anew")
