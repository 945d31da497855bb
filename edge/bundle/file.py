"""The bundle file: a TFLite flatbuffer with a zip holding `focus.json` behind it.

This is the convention of TFLite metadata for associated files, so that ``unzip -p NAME.tflite focus.json``
reads the card of any bundle and every TFLite tool reads the network. See
https://www.tensorflow.org/lite/models/convert/metadata, "Pack metadata and associated files into the model".
"""

import difflib
import hashlib
import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from edge.bundle.card import SCHEMA_VERSION, FocusCard
from hw.errors import BundleError
from hw.whole_file import write_whole

__all__ = ["CARD_MEMBER", "Bundle", "load_bundle", "shipped_bundles", "write_bundle"]

CARD_MEMBER = "focus.json"
_FLATBUFFER_IDENTIFIER = b"TFL3"
_CARD_LIMIT_BYTES = 1_000_000
# What zipfile raises on damaged input, depending on where the damage sits.
_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, OSError, RuntimeError)
_ZIP_VALUE_ERRORS = (ValueError, OverflowError, struct.error, zlib.error)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and found whole.

    Attributes
    ----------
    card : what is known about the network
    flatbuffer : the TFLite model alone, ready for an interpreter
    path : the file it came from
    """

    card: FocusCard
    flatbuffer: bytes
    path: Path


def shipped_bundles() -> list[str]:
    """Names of the bundles that come with the package."""
    folder = resources.files("edge") / "bundles"
    if not folder.is_dir():
        return []
    return sorted(p.name.removesuffix(".tflite") for p in folder.iterdir() if p.name.endswith(".tflite"))


def write_bundle(path: Path, flatbuffer: bytes, card: FocusCard) -> None:
    """Write a bundle; an existing file is replaced only once the new one is complete.

    Parameters
    ----------
    path : the file, by convention ``NAME.tflite``
    flatbuffer : a TFLite model without anything behind it
    card : its card, whose `flatbuffer_sha256` must be that of `flatbuffer`

    Raises
    ------
    BundleError
        The card belongs to another flatbuffer, or the file cannot be written.
    """
    digest = hashlib.sha256(flatbuffer).hexdigest()
    if card.flatbuffer_sha256 != digest:
        raise BundleError(
            f"{path}: the card is for flatbuffer {card.flatbuffer_sha256[:12]}, not {digest[:12]}; "
            "make the card from the file that is written"
        )
    try:
        write_whole(path, _assemble(flatbuffer, card.model_dump_json(indent=2).encode()))
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror}); check the folder") from error


def load_bundle(bundle: str | Path) -> Bundle:
    """Read a bundle and check that it is whole.

    Parameters
    ----------
    bundle : path of a file, or the name of a shipped bundle such as ``default``

    Raises
    ------
    BundleError
        No such bundle; truncated, altered, or without a card; made by a newer version.
    """
    path = _find(bundle)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    flatbuffer, card_bytes = _take_apart(path, data)
    # The file must be, byte for byte, what write_bundle makes of its two parts: this also catches damage
    # that a zip reader overlooks, such as bytes behind the end or in the archive's own tables.
    if _assemble(flatbuffer, card_bytes) != data:
        raise BundleError(f"{path}: altered after it was written (archive around the card); copy it again")
    card = _read_card(path, card_bytes)
    digest = hashlib.sha256(flatbuffer).hexdigest()
    if digest != card.flatbuffer_sha256:
        raise BundleError(
            f"{path}: altered: the network's SHA-256 is {digest[:12]}, its card says "
            f"{card.flatbuffer_sha256[:12]}; copy or export it again"
        )
    return Bundle(card, flatbuffer, path)


def _find(bundle: str | Path) -> Path:
    path = Path(bundle)
    if path.suffix == ".tflite" or path.is_file():
        return path
    shipped = shipped_bundles()
    if str(bundle) not in shipped:
        near = difflib.get_close_matches(str(bundle), shipped, 3)
        names = " or ".join(f"'{name}'" for name in near)
        hint = f"did you mean {names}?" if near else f"shipped bundles: {', '.join(shipped) or 'none'}"
        raise BundleError(f"unknown bundle '{bundle}': neither a .tflite file nor a shipped bundle; {hint}")
    return Path(str(resources.files("edge") / "bundles" / f"{bundle}.tflite"))


def _assemble(flatbuffer: bytes, card: bytes) -> bytes:
    """Lay out a bundle; the same parts give the same bytes on every system."""
    member = zipfile.ZipInfo(CARD_MEMBER)
    member.create_system = 3
    member.external_attr = 0o644 << 16
    buffer = io.BytesIO(flatbuffer)
    # Mode "a" on bytes that are no zip appends one, with offsets counted from the start of the file.
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(member, card)
    return buffer.getvalue()


def _take_apart(path: Path, data: bytes) -> tuple[bytes, bytes]:
    """Split a file into flatbuffer and card."""
    if data[4:8] != _FLATBUFFER_IDENTIFIER:
        raise BundleError(f"{path}: no TFLite file (its first bytes say otherwise); check the path")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if CARD_MEMBER not in names:
                raise BundleError(f"{path}: holds no {CARD_MEMBER}; make a bundle with 'wormfocus export'")
            member = archive.getinfo(CARD_MEMBER)
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > _CARD_LIMIT_BYTES:
                raise BundleError(f"{path}: altered (archive around the card); copy or export it again")
            return data[: member.header_offset], archive.read(member)
    except BundleError:
        raise
    except (*_ZIP_ERRORS, *_ZIP_VALUE_ERRORS) as error:
        reason = str(error) or type(error).__name__
        raise BundleError(
            f"{path}: truncated, damaged, or a plain .tflite without {CARD_MEMBER} ({reason}); "
            "copy it again or make a bundle with 'wormfocus export'"
        ) from error


def _read_card(path: Path, text: bytes) -> FocusCard:
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise BundleError(f"{path}: {CARD_MEMBER} is no JSON ({error}); export the bundle again") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: its card has schema version {version}, this wormfocus reads up to {SCHEMA_VERSION}; "
            "upgrade wormfocus"
        )
    try:
        return FocusCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or CARD_MEMBER
        raise BundleError(
            f"{path}: {CARD_MEMBER}: '{key}': {first['msg']}; export the bundle again"
        ) from error
