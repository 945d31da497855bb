"""Bundles that were damaged or forged, and what loading them says."""

import contextlib
import hashlib
import json
import os
import re
import struct
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.bundle.file import load_bundle
from edge.bundle.layout import (
    CARD_MEMBER,
    FILE_LIMIT_BYTES,
    SIGNATURE_MEMBER,
    Parts,
    archive_behind,
    read_parts,
    write_parts,
)
from edge.bundle.signature import PublicKey
from hw.errors import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "Tally",
    "appended",
    "changed_bytes",
    "forged",
    "forged_signatures",
    "hostile_sizes",
    "rewritten_cards",
    "tail_positions",
    "truncated",
]


@dataclass
class Tally:
    """What was said to the files of one case.

    Attributes
    ----------
    case : the kind of damage
    tried : how many files were loaded, or not
    said : how often each message was given, without what differs from file to file
    faults : files that were loaded, or whose refusal was no single line that names the file and a next step
    longest_s : the longest time that a load took
    """

    case: str
    tried: int = 0
    said: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    longest_s: float = 0.0

    def load(self, path: Path, what: str, trusted: Collection[PublicKey] | None = None) -> None:
        """Load a file that has to be refused, and note what was said."""
        self.tried += 1
        begin_s = time.perf_counter()
        try:
            load_bundle(path, trusted)
        except BundleError as error:
            message = str(error)
            self.said[_template(message, path)] += 1
            if "\n" in message or not message.startswith(f"{path}: ") or "; " not in message:
                self.faults.append(f"{what}: badly told: {message}")
        # Whatever else is raised is what this is here to find.
        except Exception as error:
            self.faults.append(f"{what}: {type(error).__name__}: {error}")
        else:
            self.faults.append(f"{what}: loaded")
        self.longest_s = max(self.longest_s, time.perf_counter() - begin_s)

    @property
    def refused(self) -> int:
        """How many files were refused."""
        return sum(self.said.values())


def changed_bytes(
    path: Path, positions: Collection[int], rng: np.random.Generator, case: str = "a byte changed"
) -> Tally:
    """Change one byte at a time to another value; the file is afterwards as it was."""
    tally = Tally(case)
    with path.open("r+b", buffering=0) as file:
        for at in positions:
            old = os.pread(file.fileno(), 1, at)[0]
            new = (old + int(rng.integers(1, 256))) % 256
            os.pwrite(file.fileno(), bytes([new]), at)
            tally.load(path, f"byte {at} from {old} to {new}")
            os.pwrite(file.fileno(), bytes([old]), at)
    return tally


def truncated(path: Path, lengths: Collection[int], case: str = "truncated") -> Tally:
    """Cut a file shorter and shorter; the file is afterwards as it was."""
    tally, whole = Tally(case), path.read_bytes()
    for length in sorted(lengths, reverse=True):
        os.truncate(path, length)
        tally.load(path, f"{length} of {len(whole)} bytes")
    path.write_bytes(whole)
    return tally


def appended(path: Path, count: int, rng: np.random.Generator) -> Tally:
    """Put some bytes behind a file; the file is afterwards as it was."""
    tally, size = Tally("bytes appended"), path.stat().st_size
    for _ in range(count):
        extra = rng.bytes(int(rng.integers(1, 65)))
        with path.open("ab") as file:
            file.write(extra)
        tally.load(path, f"{extra!r} behind its end")
        os.truncate(path, size)
    return tally


def forged(folder: Path, one: Parts, other: Parts) -> Tally:
    """Exchange, repeat, rename, reorder and compress what is in a bundle."""
    tally, path = Tally("members exchanged, repeated, renamed, reordered or compressed"), folder / "f.tflite"
    for what, parts in {
        "another bundle's card": Parts(one.flatbuffer, other.card),
        "another bundle's network": Parts(other.flatbuffer, one.card),
    }.items():
        write_parts(path, parts)
        tally.load(path, what)
    note = b"not the only member"
    for what, members, compression in (
        ("no member", [], zipfile.ZIP_STORED),
        ("a member of another name", [("Focus.json", one.card)], zipfile.ZIP_STORED),
        ("the card twice", [(CARD_MEMBER, one.card)] * 2, zipfile.ZIP_STORED),
        ("two cards", [(CARD_MEMBER, one.card), (CARD_MEMBER, other.card)], zipfile.ZIP_STORED),
        ("a member before the card", [("note.txt", note), (CARD_MEMBER, one.card)], zipfile.ZIP_STORED),
        ("a member behind the card", [(CARD_MEMBER, one.card), ("note.txt", note)], zipfile.ZIP_STORED),
        ("signature first", [(SIGNATURE_MEMBER, b"{}"), (CARD_MEMBER, one.card)], zipfile.ZIP_STORED),
        ("a deflated card", [(CARD_MEMBER, one.card)], zipfile.ZIP_DEFLATED),
        ("a card in a folder", [(f"a/../{CARD_MEMBER}", one.card)], zipfile.ZIP_STORED),
    ):
        path.write_bytes(one.flatbuffer)
        with zipfile.ZipFile(path, "a", compression) as archive, _repeating():
            for name, content in members:
                archive.writestr(name, content)
        tally.load(path, what)
    path.write_bytes(other.flatbuffer + _whole(folder, one))
    tally.load(path, "a network before a whole bundle")
    path.unlink()
    return tally


def rewritten_cards(folder: Path, parts: Parts) -> Tally:
    """Write cards that a bundle must not have, with every checksum of the file right."""
    tally, path = Tally("cards that are none"), folder / "c.tflite"
    card = json.loads(parts.card)
    texts = {
        "empty": b"",
        "no JSON": b"{'name': 1}",
        "a list": b"[]",
        "a number": b"7",
        "null": b"null",
        "no text": b"\xff\xfe\x00",
        "another encoding": parts.card.decode().encode("utf-16"),
        "brackets in brackets": b"[" * 900_000,
        "objects in objects": b'{"a":' * 150_000,
        "a number of many digits": b'{"schema_version": ' + b"9" * 900_000 + b"}",
        "a key with a line's end": json.dumps({**card, "two\nlines": 1}).encode(),
        "a long key": json.dumps({**card, "k" * 900_000: 1}).encode(),
        "no schema version": json.dumps({k: v for k, v in card.items() if k != "schema_version"}).encode(),
        "more than a card holds": parts.card + b" " * 990_000 + b"x",
        "no number": parts.card.replace(b'"na": ', b'"na": NaN, "nb": '),
        "an endless number": json.dumps({**card, "trained_range_um": 1}).encode()[:-1]
        + b', "trained_range_um": 1e999}',
        "a figure that is no number": parts.card.replace(b'"mae_um": ', b'"mae_um": NaN, "was": ', 1),
        **{
            f"schema version {version!r}": json.dumps({**card, "schema_version": version}).encode()
            for version in (0, -1, 2, 10**30, 1.5, "1", True, None, [1])
        },
    }
    for what, text in texts.items():
        write_parts(path, Parts(parts.flatbuffer, text))
        tally.load(path, what)
    path.unlink()
    return tally


def hostile_sizes(folder: Path, parts: Parts) -> Tally:
    """Write files whose sizes, real or claimed, would cost a careless reader minutes or gigabytes."""
    tally, path = Tally("hostile sizes"), folder / "h.tflite"
    whole = _whole(folder, parts)
    for what, claim in _claims(whole):
        path.write_bytes(claim)
        tally.load(path, what)
    # Zeros deflate to a thousandth.
    path.write_bytes(parts.flatbuffer)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(CARD_MEMBER, "w") as member,
    ):
        for _ in range(128):
            member.write(bytes(2**20))
    tally.load(path, "a card that inflates to 128 MiB")
    path.write_bytes(parts.flatbuffer)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CARD_MEMBER, b" " * 50_000_000)
    tally.load(path, "a card of 50 MB")
    path.write_bytes(parts.flatbuffer)
    with zipfile.ZipFile(path, "a") as archive, _repeating():
        for number in range(20_000):
            archive.writestr(f"{number}", b"")
        archive.writestr(CARD_MEMBER, parts.card)
    tally.load(path, "20,000 members")
    # Holes take no room on the disk. The first is laid out as it should be, all but its checksum.
    most = FILE_LIMIT_BYTES - 2**20
    with path.open("wb") as file:
        file.write(parts.flatbuffer[:8])
        file.seek(most)
        file.write(archive_behind(most, parts))
    tally.load(path, "the largest network, of zeros")
    for what, size in (
        ("64 GiB between the parts", 2**36),
        ("1 GiB between the parts", 2**30),
        ("200 MiB between the parts", 200 * 2**20),
    ):
        with path.open("wb") as file:
            file.write(parts.flatbuffer)
            file.seek(size)
            file.write(whole[len(parts.flatbuffer) :])
        tally.load(path, what)
    path.unlink()
    os.mkfifo(path)
    tally.load(path, "a pipe that nobody writes to")
    path.unlink()
    path.mkdir()
    tally.load(path, "a folder")
    path.rmdir()
    return tally


def forged_signatures(
    folder: Path, parts: Parts, key: "Ed25519PrivateKey", other_key: "Ed25519PrivateKey"
) -> Tally:
    """Change a signed bundle on purpose, with every checksum right, and ask for the signature."""
    from edge.bundle.signature import public_half, sign

    tally, path = Tally("signatures forged; loaded with the trusted key"), folder / "s.tflite"
    signed = sign(parts, key)
    assert signed.signature is not None
    record = json.loads(signed.signature)
    trusted = [public_half(key)]
    card = json.loads(parts.card)
    renamed = json.dumps({**card, "name": "other"}).encode()
    theirs = json.loads(sign(Parts(parts.flatbuffer, renamed), other_key).signature or b"")
    half = len(record["signature"]) // 2

    def text(**changes: object) -> bytes:
        return json.dumps({**record, **changes}).encode()

    turned = "0" if record["signature"][0] != "0" else "1"
    cases = {
        "no signature": Parts(parts.flatbuffer, parts.card),
        "another card": Parts(parts.flatbuffer, renamed, signed.signature),
        "the same card, written anew": Parts(parts.flatbuffer, json.dumps(card).encode(), signed.signature),
        "signed anew by another key": sign(Parts(parts.flatbuffer, renamed), other_key),
        "another's signature under the trusted key's name": Parts(
            parts.flatbuffer, renamed, text(signature=theirs["signature"])
        ),
        "another's key under the trusted key's name": Parts(
            parts.flatbuffer, parts.card, text(public_key=theirs["public_key"])
        ),
        **{
            what: Parts(parts.flatbuffer, parts.card, content)
            for what, content in {
                "a digit of the signature": text(signature=turned + record["signature"][1:]),
                "its halves exchanged": text(
                    signature=record["signature"][half:] + record["signature"][:half]
                ),
                "a signature of zeros": text(signature="0" * 2 * half),
                "another algorithm": text(algorithm="none"),
                "a newer schema": text(schema_version=2),
                "a key more": text(comment="x"),
                "empty": b"",
                "no JSON": b"{",
                "brackets": b"[" * 4000,
                "capital digits": text(signature=record["signature"].upper()),
            }.items()
        },
    }
    for what, forgery in cases.items():
        write_parts(path, forgery)
        tally.load(path, what, trusted)
    # A key of small order, under which a signature of nothing would be one of anything.
    small = bytes([1]) + bytes(31)
    null = text(
        public_key=small.hex(), key_id=hashlib.sha256(small).hexdigest(), signature=(small + bytes(32)).hex()
    )
    write_parts(path, Parts(parts.flatbuffer, renamed, null))
    tally.load(path, "a key of small order", trusted)
    path.unlink()
    return tally


def tail_positions(path: Path) -> range:
    """Return the positions of all bytes behind the network."""
    return range(len(read_parts(path).flatbuffer), path.stat().st_size)


def _whole(folder: Path, parts: Parts) -> bytes:
    path = folder / "whole.tflite"
    write_parts(path, parts)
    content = path.read_bytes()
    path.unlink()
    return content


def _claims(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield bundles whose archive tells wrong sizes (PKWARE's APPNOTE 6.3, sections 4.3.7 to 4.3.16)."""
    end = len(whole) - 22
    directory = struct.unpack_from("<L", whole, end + 16)[0]
    most = b"\xff" * 4
    for what, at, value in (
        ("65,535 members", end + 8, most),
        ("a directory of 4 GiB", end + 12, most),
        ("a directory at 4 GiB", end + 16, most),
        ("a directory of the whole file", end + 12, struct.pack("<L", end)),
        ("a comment of 64 KiB", end + 20, most[:2]),
        ("a card of 4 GiB", directory + 20, most * 2),
        ("a card of 4 GiB in the file, small in memory", directory + 20, most),
        ("a card at 4 GiB", directory + 42, most),
        ("a name of 64 KiB", directory + 28, most[:2]),
    ):
        yield what, whole[:at] + value + whole[at + len(value) :]
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**40, 2**40, 2**50, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    yield "a zip64 directory of a petabyte", whole[:end] + record + locator + whole[end:]
    yield (
        "a zip64 locator to nowhere",
        whole[:end] + struct.pack("<4sLQL", b"PK\x06\x07", 0, 2**63, 1) + whole[end:],
    )


@contextlib.contextmanager
def _repeating() -> Iterator[None]:
    """Let zipfile write a name twice without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _template(message: str, path: Path) -> str:
    """Leave out of a message what differs from file to file."""
    text = message.replace(str(path), "FILE")
    text = re.sub(r"\b[0-9a-f]{12,}\b", "HEX", text)
    text = re.sub(r"(?<=\().*(?=\); copy it again or make)", "...", text)
    text = re.sub(r"is no JSON \(.*\);", "is no JSON (...);", text)
    return re.sub(r"\d+", "N", text)[:160]
