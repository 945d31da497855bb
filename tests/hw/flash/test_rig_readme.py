"""The figures and pins of hw/README.md are right, and the picture shows the same pins."""

import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

HW = Path(__file__).parents[3] / "hw"
README = (HW / "README.md").read_text(encoding="utf-8")
CURRENT_A = 0.7
# V_ref in V for a peak current in A and a sense resistor in ohm, from the data sheets.
V_REF = {
    "A4988": lambda amps, ohm: 8 * amps * ohm,
    "DRV8825": lambda amps, ohm: 5 * amps * ohm,
    "TMC2209": lambda amps, ohm: 2.5 * amps * (ohm + 0.02) / 0.325,
}
# Positions on the 40-pin header.
HEADER = {5: 29, 17: 11, 22: 15, 27: 13}


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, without its head."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_the_reference_voltages_follow_from_the_formulas():
    table = rows("Current")
    assert {row[0] for row in table} == set(V_REF)
    for board, _, resistor, volts in table:
        ohm = float(resistor.removesuffix(" Ω"))
        assert float(volts.removesuffix(" V")) == pytest.approx(V_REF[board](CURRENT_A, ohm), abs=0.005), (
            board
        )
    assert f"{CURRENT_A:g} A peak are {CURRENT_A / math.sqrt(2):.2f} A RMS" in README


def test_the_pins_are_where_the_header_has_them_and_what_the_rig_file_says():
    pins = {row[4].strip("`"): (int(row[1]), int(row[2])) for row in rows("Wiring") if row[1] != "-"}
    assert set(pins) == {"gpio.step_pin", "gpio.dir_pin", "gpio.enable_pin", "gpio.end_stop.pin"}
    assert all(HEADER[gpio] == position for gpio, position in pins.values())
    drawn = "".join(ElementTree.parse(HW / "wiring.svg").getroot().itertext())
    for gpio, position in pins.values():
        assert re.search(rf"pin {position}\s+GPIO{gpio}\b", drawn), gpio
    rig = yaml.safe_load((HW / "rigs" / "worm_tracker.yaml").read_text(encoding="utf-8"))
    said = {f"gpio.{key}": value for key, value in rig.get("gpio", {}).items() if f"gpio.{key}" in pins}
    assert said == {key: pins[key][0] for key in said}


def test_microsteps_scale_the_rig_file():
    rig = yaml.safe_load((HW / "rigs" / "worm_tracker.yaml").read_text(encoding="utf-8"))["axis"]
    for _, step, um_per_step, speed in rows("Microsteps"):
        divisor = 1 if step == "full steps" else int(re.search(r"1/(\d+)", step)[1])
        assert float(um_per_step) == rig["um_per_step"] / divisor
        assert float(speed) == rig["max_speed_steps_s"] * divisor
        assert float(speed) * float(um_per_step) == 2000
    for key in ("min_steps", "max_steps", "acceleration_steps_s2", "backlash_steps"):
        assert f"`{key}: {rig[key] * 8}`" in README


def test_the_options_in_the_readme_exist():
    from hw.flash import card, wheelhouse

    for module in (card, wheelhouse):
        name = module.__name__
        (use,) = re.findall(rf"^python -m {name} ((?:.*\\\n)*[^#\n]*)", README, re.MULTILINE)
        with pytest.raises(SystemExit):
            module.main(["--help"])
        source = Path(module.__file__).read_text(encoding="utf-8")
        assert all(f'"{option}"' in source for option in re.findall(r"--[a-z-]+", use)), name
    script = (HW / "flash" / "install.sh").read_text(encoding="utf-8")
    for command in re.findall(r"install\.sh ([a-z-]+|--[a-z]+)", README):
        assert command in script
