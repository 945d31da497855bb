"""Verifying a bundle: every finding, in order, and nothing after one that has failed."""

import hashlib
import json
import math
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle import Prediction, Predictor, shipped_bundles
from edge.bundle import network as network_module
from edge.bundle.card import Normalisation
from edge.bundle.file import find_bundle
from edge.bundle.layout import Parts, read_parts, write_parts
from edge.bundle.textures import textures
from edge.bundle.verify import verify_bundle
from hw.check import Status

STAGES = ["file", "card", "network", "signature", "interpreter", "answers"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copyfile(find_bundle("slide"), tmp_path / "mine.tflite"))


def with_card(path: Path, **changes: Any) -> None:
    parts = read_parts(path)
    card = json.loads(parts.card) | changes
    write_parts(path, Parts(parts.flatbuffer, json.dumps(card).encode(), parts.signature))


def failure(path: Path) -> tuple[str, str]:
    """Name and text of the finding that ends them."""
    *before, last = verify_bundle(path)
    assert all(check.status is Status.ok for check in before)
    assert [check.name for check in (*before, last)] == STAGES[: len(before) + 1]
    assert last.status is Status.failed
    assert last.next_step
    return last.name, last.seen


@pytest.mark.parametrize("name", shipped_bundles())
def test_every_shipped_bundle_verifies(name: str) -> None:
    found = list(verify_bundle(find_bundle(name)))
    assert [check.name for check in found] == STAGES
    assert {check.status for check in found} == {Status.ok}


def test_a_changed_network_is_found_before_an_interpreter_sees_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "_interpreter_class", lambda name: pytest.fail("it was run"))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0x10
    path.write_bytes(whole)
    name, seen = failure(path)
    assert name == "network"
    assert "altered: the network's SHA-256" in seen


def test_each_stage_finds_what_is_its_own(path: Path) -> None:
    parts = read_parts(path)
    path.write_bytes(parts.flatbuffer)
    assert failure(path)[0] == "file"
    write_parts(path, parts)
    with_card(path, colour="red")
    assert failure(path)[0] == "card"
    write_parts(path, parts)
    with_card(path, outputs={"kind": "offset", "scale_um": 1.0})
    assert failure(path) == (
        "interpreter",
        f"{path}: the network gives numbers per image: 2, its card says 1",
    )
    # A network of nothing but zeros, whose checksum is right.
    broken = parts.flatbuffer[:8] + bytes(len(parts.flatbuffer) - 8)
    write_parts(path, Parts(broken, parts.card))
    with_card(path, flatbuffer_sha256=hashlib.sha256(broken).hexdigest())
    assert failure(path)[0] == "interpreter"


def test_answers_must_be_numbers_and_the_same_each_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tint = (Path(__file__).parent / "networks" / "tint_float32.tflite").read_bytes()
    broken = tint.replace(struct.pack("<f", -1.2345), struct.pack("<f", math.nan))
    write_parts(path, Parts(broken, read_parts(path).card))
    with_card(
        path,
        flatbuffer_sha256=hashlib.sha256(broken).hexdigest(),
        input={"width_px": 12, "height_px": 8, "um_per_px": 1.0},
    )
    name, seen = failure(path)
    assert name == "answers"
    assert "16 of 16 answers are no numbers" in seen

    rng = np.random.default_rng(0)
    monkeypatch.setattr(Predictor, "predict", lambda self, window: Prediction(rng.random(), 1.0, True))
    name, seen = failure(path)
    assert name == "answers"
    assert "not answered the same way twice" in seen


def test_an_unsigned_bundle_fails_where_a_signature_is_asked_for(path: Path) -> None:
    *_, last = verify_bundle(path, [])
    assert (last.name, last.status) == ("signature", Status.failed)


def test_a_signature_is_told_with_its_key(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="the extra 'sign' is not installed")
    from edge.bundle.signature import make_key, public_half, sign

    key = make_key(tmp_path / "key")
    write_parts(path, sign(read_parts(path), key))

    def said(*trusted: Any) -> tuple[Status, str]:
        check = {c.name: c for c in verify_bundle(path, trusted or None)}["signature"]
        return check.status, check.seen

    key_id = public_half(key).key_id
    assert said(public_half(key)) == (Status.ok, f"good, by key {key_id}")
    assert said() == (Status.warning, f"intact, by unknown key {key_id}")
    other = make_key(tmp_path / "other")
    assert said(public_half(other))[0] is Status.failed
    # A wrong one is wrong whether somebody asked for it or not.
    with_card(path, name="other")
    assert failure(path)[0] == "signature"
    monkeypatch.setitem(sys.modules, "cryptography", None)
    status, seen = said()
    assert status is Status.warning
    assert seen.startswith("not checked")
    assert said(public_half(key))[0] is Status.failed


def test_textures_are_like_what_a_network_learnt_from() -> None:
    normalisation = Normalisation(mean=(0.6, 0.5, 0.4), std=(0.1, 0.1, 0.05))
    images = textures(4, 40, 30, normalisation, seed=1)
    assert (images.shape, images.dtype) == ((4, 30, 40, 3), np.uint8)
    means, stds = images.mean(axis=(0, 1, 2)) / 255, images.std(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, normalisation.mean, atol=0.05)
    np.testing.assert_allclose(stds, normalisation.std, rtol=0.3)
    # The first is the finest.
    rough = [np.abs(np.diff(image.astype(int), axis=1)).mean() for image in images]
    assert rough == sorted(rough, reverse=True)
    assert np.array_equal(images, textures(4, 40, 30, normalisation, seed=1))
    assert not np.array_equal(images, textures(4, 40, 30, normalisation, seed=2))
