"""The default bundle, damaged and forged in fewer ways than benchmarks/bundle_corruption.py does."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from methods.bundle_damage import (
    Tally,
    appended,
    changed_bytes,
    forged,
    forged_signatures,
    hostile_sizes,
    rewritten_cards,
    tail_positions,
    truncated,
)

from edge.bundle.file import find_bundle, load_bundle
from edge.bundle.layout import read_parts, write_parts

CHANGES, TRUNCATIONS = 500, 100


@pytest.fixture(params=["unsigned", "signed"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copy = tmp_path / "default.tflite"
    if request.param == "unsigned":
        return Path(shutil.copyfile(find_bundle("default"), copy))
    pytest.importorskip("cryptography", reason="the extra 'sign' is not installed")
    from edge.bundle.signature import make_key, sign

    write_parts(copy, sign(read_parts(find_bundle("default")), make_key(tmp_path / "key")))
    return copy


def test_no_changed_byte_and_no_cut_file_is_loaded(path: Path) -> None:
    rng = np.random.default_rng(0)
    size, tail = path.stat().st_size, tail_positions(path)
    before = path.read_bytes()
    anywhere = changed_bytes(path, rng.integers(0, size, CHANGES).tolist(), rng)
    behind = changed_bytes(path, [*tail[::9], *tail[-200:]], rng)
    cut = truncated(path, [*rng.integers(0, size, TRUNCATIONS).tolist(), 0, tail.start, size - 1])
    longer = appended(path, 20, rng)
    for tally in (anywhere, behind, cut, longer):
        assert tally.faults == []
    assert (anywhere.refused, cut.refused, longer.refused) == (CHANGES, TRUNCATIONS + 3, 20)
    # Nearly all of them hit the network, which only its checksum can tell.
    by_checksum = sum(n for said, n in anywhere.said.items() if "the network's SHA-N is HEX" in said)
    assert by_checksum > 0.95 * CHANGES
    assert path.read_bytes() == before
    assert load_bundle(path).card.name == "default"


@pytest.mark.parametrize("case", [rewritten_cards, hostile_sizes])
def test_no_forged_card_or_size_is_loaded(case: Callable[..., Tally], tmp_path: Path) -> None:
    tally = case(tmp_path, read_parts(find_bundle("slide")))
    assert tally.faults == []
    assert tally.refused == tally.tried >= 20


def test_no_exchanged_member_is_loaded(tmp_path: Path) -> None:
    tally = forged(tmp_path, read_parts(find_bundle("default")), read_parts(find_bundle("slide")))
    assert tally.faults == []
    assert tally.refused == tally.tried >= 12


def test_no_forged_signature_is_trusted(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the extra 'sign' is not installed")
    from edge.bundle.signature import make_key

    keys = make_key(tmp_path / "ours"), make_key(tmp_path / "theirs")
    tally = forged_signatures(tmp_path, read_parts(find_bundle("slide")), *keys)
    assert tally.faults == []
    assert tally.refused == tally.tried >= 17


def test_a_bundle_that_is_loaded_is_a_fault() -> None:
    tally = Tally("none")
    tally.load(find_bundle("slide"), "nothing was done to it")
    assert (tally.refused, tally.faults) == (0, ["nothing was done to it: loaded"])


def test_loading_does_not_start_an_interpreter() -> None:
    code = (
        "import sys; from edge.bundle import load_bundle; load_bundle('slide'); "
        "print(sorted(m for m in sys.modules if m.partition('.')[0] in "
        "('ai_edge_litert', 'tflite_runtime', 'cryptography')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
