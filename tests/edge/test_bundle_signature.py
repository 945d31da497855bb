"""Signatures: good, none, of an unknown key, wrong; and keys that are kept."""

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import load_bundle, load_public_key
from edge.bundle.file import find_bundle
from edge.bundle.layout import Parts, read_parts, write_parts
from edge.bundle.signature import (
    Trust,
    load_private_key,
    make_key,
    public_half,
    read_signature,
    sign,
    trust_in,
)
from hw.errors import BundleError

PARTS = read_parts(find_bundle("slide"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("cryptography", reason="the extra 'sign' is not installed")
    path = tmp_path_factory.mktemp("keys") / "lab"
    make_key(path)
    return path


@pytest.fixture
def signed(key: Path, tmp_path: Path) -> Path:
    path = tmp_path / "signed.tflite"
    write_parts(path, sign(PARTS, load_private_key(key)))
    return path


def trust(path: Path, *keys: Path) -> Trust:
    parts = read_parts(path)
    return trust_in(parts, read_signature(path, parts), [load_public_key(each) for each in keys])


def rewrite(path: Path, **changes: Any) -> None:
    """Change the signature's record, with all checksums right."""
    parts = read_parts(path)
    assert parts.signature is not None
    record = json.dumps(json.loads(parts.signature) | changes).encode()
    write_parts(path, Parts(parts.flatbuffer, parts.card, record))


def public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def test_a_signature_is_good_by_the_trusted_key_only(signed: Path, key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_key(other)
    assert trust(signed, public(key)) is Trust.good
    assert trust(signed, public(other), public(key)) is Trust.good
    assert trust(signed, public(other)) is Trust.unknown_key
    assert trust(signed) is Trust.unknown_key
    assert trust(find_bundle("slide"), public(key)) is Trust.none


def test_loading_may_ask_for_a_signature(signed: Path, key: Path, tmp_path: Path) -> None:
    trusted = [load_public_key(public(key))]
    found = load_bundle(signed, trusted)
    assert found.card == load_bundle("slide").card
    assert found.signature is not None
    assert found.signature.key_id == trusted[0].key_id
    with pytest.raises(BundleError, match="not signed, and a signature is asked for"):
        load_bundle("slide", trusted)
    stranger = make_key(tmp_path / "stranger")
    with pytest.raises(BundleError, match=rf"signed by key {trusted[0].key_id[:16]}, which is none of those"):
        load_bundle(signed, [public_half(stranger)])
    with pytest.raises(BundleError, match="none of those trusted"):
        load_bundle(signed, [])


def test_any_change_of_what_was_signed_is_noticed(signed: Path, key: Path) -> None:
    trusted = [load_public_key(public(key))]
    parts = read_parts(signed)
    renamed = parts.card.replace(b'"name": "slide"', b'"name": "slime"')
    assert renamed != parts.card
    # A byte more of space: another card to a signature, the same one to JSON.
    for card in (renamed, parts.card + b" "):
        write_parts(signed, Parts(parts.flatbuffer, card, parts.signature))
        assert load_bundle(signed).signature is not None
        with pytest.raises(BundleError, match="altered after it was signed"):
            load_bundle(signed, trusted)


def test_no_byte_passes_from_the_network_to_the_card(signed: Path, key: Path) -> None:
    parts = read_parts(signed)
    for moved in (
        Parts(parts.flatbuffer + parts.card[:1], parts.card[1:], parts.signature),
        Parts(parts.flatbuffer[:-1], parts.flatbuffer[-1:] + parts.card, parts.signature),
    ):
        found = read_signature(signed, moved)
        assert trust_in(moved, found, [load_public_key(public(key))]) is Trust.wrong


def test_a_borrowed_signature_or_key_is_noticed(signed: Path, key: Path, tmp_path: Path) -> None:
    theirs = sign(PARTS, make_key(tmp_path / "theirs")).signature
    assert theirs is not None
    rewrite(signed, signature=json.loads(theirs)["signature"])
    assert trust(signed, public(key)) is Trust.wrong
    rewrite(signed, public_key=json.loads(theirs)["public_key"])
    with pytest.raises(BundleError, match="key_id is not that of public_key"):
        load_bundle(signed)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"algorithm": "none"}, "'algorithm': Input should be 'Ed25519'"),
        ({"schema_version": 2}, "'schema_version': .*upgrade wormfocus"),
        ({"signature": "00"}, "'signature': String should match"),
        ({"comment": "x"}, "'comment': Extra inputs are not permitted"),
    ],
)
def test_a_signature_that_is_none_is_refused_by_any_load(
    signed: Path, changes: dict[str, Any], reason: str
) -> None:
    rewrite(signed, **changes)
    with pytest.raises(BundleError, match=reason) as caught:
        load_bundle(signed)
    assert "\n" not in str(caught.value)


def test_keys_are_private_and_never_replaced(key: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    with pytest.raises(BundleError, match="is there already, and keys are never replaced"):
        make_key(key)
    assert key.read_bytes() == before
    (tmp_path / "half").write_bytes(b"mine")
    with pytest.raises(BundleError, match="half: is there already"):
        make_key(tmp_path / "half")
    assert [path.name for path in tmp_path.iterdir()] == ["half"]
    assert (tmp_path / "half").read_bytes() == b"mine"
    with pytest.raises(BundleError, match="cannot be written"):
        make_key(tmp_path / "nowhere" / "key")


def test_a_private_key_that_others_may_read_is_refused(key: Path, tmp_path: Path) -> None:
    copy = tmp_path / "key"
    shutil.copyfile(key, copy)
    copy.chmod(0o640)
    with pytest.raises(BundleError, match=r"others than its owner .*chmod 600"):
        load_private_key(copy)


def test_what_is_no_key_is_refused(key: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    path = tmp_path / "key"
    path.touch(0o600)
    curve = generate_private_key(SECP256R1())
    locked = load_private_key(key).private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"word")
    )
    pem = curve.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    for content, reason in ((b"", "no private key"), (locked, "behind a password"), (pem, "no Ed25519 key")):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=reason):
            load_private_key(path)
    other = curve.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    for content, reason in ((key.read_bytes(), "no public key in PEM"), (other, "no Ed25519 key")):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=reason):
            load_public_key(path)
    with pytest.raises(BundleError, match="cannot be read"):
        load_public_key(tmp_path / "none")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_another_program_can_check_a_signature(signed: Path, key: Path, tmp_path: Path) -> None:
    parts = read_parts(signed)
    # As docs/bundles.md says.
    message = b"wormfocus bundle signature 1\n"
    for part in (parts.flatbuffer, parts.card):
        message += len(part).to_bytes(8, "little") + part
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "signature").write_bytes(bytes.fromhex(json.loads(parts.signature or b"")["signature"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public(key)), "-rawin"]
    files = ["-in", str(tmp_path / "message"), "-sigfile", str(tmp_path / "signature")]
    assert b"Verified Successfully" in subprocess.run([*command, *files], capture_output=True).stdout
    (tmp_path / "message").write_bytes(message[:-1])
    assert subprocess.run([*command, *files], capture_output=True).returncode != 0


def test_without_cryptography_bundles_load_and_signatures_say_what_to_install(
    signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert load_bundle("slide").signature is None
    assert load_bundle(signed).signature is not None
    with pytest.raises(BundleError, match=r"need the package cryptography .*wormfocus\[sign\]"):
        load_bundle(signed, [])
