"""What a wheel requires on a Pi's Python and machine, read on another."""

import zipfile
from pathlib import Path

import pytest
from packaging.markers import default_environment

from hw.errors import ConfigError
from hw.flash.requirements import pi_environment, requirements


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "rig-1.0-py3-none-any.whl"
    metadata = """Metadata-Version: 2.1
Name: rig
Version: 1.0
Provides-Extra: pi
Provides-Extra: train
Requires-Dist: numpy>=2.0
Requires-Dist: winter; sys_platform == "win32"
Requires-Dist: arm; platform_machine == "aarch64"
Requires-Dist: backport>=1; python_version < "3.12"
Requires-Dist: gpiod>=2.2; sys_platform == "linux" and extra == "pi"
Requires-Dist: lgpio; (sys_platform == "linux" and python_version < "3.13") and extra == "pi"
Requires-Dist: torch; extra == "train"
"""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("rig-1.0.dist-info/METADATA", metadata)
        made.writestr("rig/__init__.py", "")
    return path


@pytest.mark.parametrize(
    ("python", "extras", "expected"),
    [
        ("3.11", [], ["numpy>=2.0", "arm", "backport>=1"]),
        ("3.13", [], ["numpy>=2.0", "arm"]),
        ("3.11", ["pi"], ["numpy>=2.0", "arm", "backport>=1", "gpiod>=2.2", "lgpio"]),
        # lgpio has no wheels for 3.13.
        ("3.13", ["pi"], ["numpy>=2.0", "arm", "gpiod>=2.2"]),
    ],
)
def test_conditions_are_those_of_the_pi(wheel, python, extras, expected):
    assert [str(r) for r in requirements(wheel, extras, pi_environment(python))] == expected


def test_every_condition_that_there_is_has_a_value():
    assert {*default_environment()} <= {*pi_environment("3.13")}


def test_what_is_no_wheel_is_refused(tmp_path):
    broken = tmp_path / "a-1.0-py3-none-any.whl"
    broken.write_bytes(b"wheel")
    with pytest.raises(ConfigError, match=r"a-1\.0.*cannot be read"):
        requirements(broken, [], pi_environment("3.13"))
    with zipfile.ZipFile(broken, "w") as made:
        made.writestr("a/__init__.py", "")
    with pytest.raises(ConfigError, match="no metadata"):
        requirements(broken, [], pi_environment("3.13"))
