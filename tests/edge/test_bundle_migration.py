"""Cards of other schema versions: older ones are brought up to date, newer ones refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import file as bundle_file
from edge.bundle import load_bundle
from edge.bundle.card import SCHEMA_VERSION
from edge.bundle.file import find_bundle
from edge.bundle.layout import Parts, read_parts, write_parts
from edge.bundle.migration import MIGRATIONS, migrated
from hw.errors import BundleError

PARTS = read_parts(find_bundle("slide"))


def with_card(path: Path, **changes: Any) -> None:
    card = json.loads(PARTS.card) | changes
    write_parts(path, Parts(PARTS.flatbuffer, json.dumps(card).encode()))


def test_there_is_a_step_from_every_earlier_version() -> None:
    assert set(MIGRATIONS) == set(range(1, SCHEMA_VERSION))


def test_steps_follow_one_another_and_leave_the_old_card_alone() -> None:
    old = {"schema_version": 1, "range_mm": 2}
    steps = {
        1: lambda card: {"range_um": card["range_mm"] * 1000},
        2: lambda card: {"ranges_um": [-card["range_um"], card["range_um"]]},
    }
    assert migrated(old, 1, 3, steps) == {"schema_version": 3, "ranges_um": [-2000, 2000]}
    assert migrated(old, 1, 2, steps) == {"schema_version": 2, "range_um": 2000}
    assert migrated(old, 1, 1, steps) is old
    assert old == {"schema_version": 1, "range_mm": 2}


def test_a_version_without_a_step_or_against_it_is_refused() -> None:
    steps = {2: lambda card: {"range_um": card["range_mm"] * 1000}}
    with pytest.raises(BundleError, match="has schema version 1, this wormfocus reads 2 to 3"):
        migrated({}, 1, 3, steps)
    with pytest.raises(BundleError, match=r"none of schema version 2 \(KeyError: 'range_mm'\)"):
        migrated({}, 2, 3, steps)
    with pytest.raises(BundleError, match="none of schema version 2"):
        migrated({"range_mm": None}, 2, 3, steps)


def test_an_older_card_is_brought_up_before_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_um(card: dict[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in card.items() if key != "trained_range_mm"}
        return rest | {"trained_range_um": card["trained_range_mm"] * 1000}

    path = tmp_path / "old.tflite"
    card = json.loads(PARTS.card)
    card |= {"schema_version": 0, "trained_range_mm": card.pop("trained_range_um") / 1000}
    write_parts(path, Parts(PARTS.flatbuffer, json.dumps(card).encode()))
    with pytest.raises(BundleError, match=r"old\.tflite: its card has schema version 0, .* reads 1 to 1"):
        load_bundle(path)

    monkeypatch.setattr(bundle_file, "migrated", lambda *given: migrated(*given, steps={0: in_um}))
    assert load_bundle(path).card == load_bundle("slide").card
    # What the file holds stays as it was: a signature of it stays good.
    assert json.loads(read_parts(path).card) == card
    with_card(path, schema_version=0)
    with pytest.raises(BundleError, match=r"old\.tflite: its card is none of schema version 0 \(KeyError"):
        load_bundle(path)


def test_a_newer_card_is_refused(tmp_path: Path) -> None:
    with_card(tmp_path / "new.tflite", schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(BundleError, match="upgrade wormfocus"):
        load_bundle(tmp_path / "new.tflite")


@pytest.mark.parametrize("version", [None, True, "1", 1.0, [1]])
def test_a_card_must_say_its_version(tmp_path: Path, version: Any) -> None:
    with_card(tmp_path / "a.tflite", schema_version=version)
    with pytest.raises(BundleError, match=r"focus\.json is no card: it has no schema_version"):
        load_bundle(tmp_path / "a.tflite")
