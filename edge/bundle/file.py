"""Bundles by path or name: written with their card, read and found whole or refused."""

import difflib
import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.bundle.card import SCHEMA_VERSION, FocusCard
from edge.bundle.layout import CARD_MEMBER, Parts, read_parts, write_parts
from edge.bundle.migration import migrated
from edge.bundle.signature import PublicKey, Signature, Trust, read_signature, trust_in
from hw.errors import BundleError

__all__ = [
    "Bundle",
    "bundle_of",
    "check_trusted",
    "find_bundle",
    "load_bundle",
    "read_card",
    "shipped_bundles",
    "write_bundle",
]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and found whole.

    Attributes
    ----------
    card : what is known about the network
    flatbuffer : the TFLite model alone, ready for an interpreter
    path : the file it came from
    signature : that it carries, whether good or not; None where it is not signed
    """

    card: FocusCard
    flatbuffer: bytes
    path: Path
    signature: Signature | None = None


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
    write_parts(path, Parts(flatbuffer, card.model_dump_json(indent=2).encode()))


def load_bundle(bundle: str | Path, trusted: Collection[PublicKey] | None = None) -> Bundle:
    """Read a bundle and check that it is whole.

    Parameters
    ----------
    bundle : path of a file, or the name of a shipped bundle such as ``default``
    trusted : keys, by one of which it must be signed; None where that is not asked for, and a signature that
        it has is not checked

    Raises
    ------
    BundleError
        No such bundle; truncated, altered, or without a card; made by a newer version; not signed by a
        trusted key.
    """
    path = find_bundle(bundle)
    parts = read_parts(path)
    found = bundle_of(path, parts, read_card(path, parts.card))
    if trusted is not None:
        check_trusted(path, trust_in(parts, found.signature, trusted), found.signature)
    return found


def bundle_of(path: Path, parts: Parts, card: FocusCard) -> Bundle:
    """Put a bundle together from what its file holds.

    Raises
    ------
    BundleError
        The card belongs to another network, or the signature is none.
    """
    digest = hashlib.sha256(parts.flatbuffer).hexdigest()
    if digest != card.flatbuffer_sha256:
        raise BundleError(
            f"{path}: altered: the network's SHA-256 is {digest[:12]}, its card says "
            f"{card.flatbuffer_sha256[:12]}; copy or export it again"
        )
    return Bundle(card, parts.flatbuffer, path, read_signature(path, parts))


def check_trusted(path: Path, trust: Trust, signature: Signature | None) -> None:
    """Refuse a bundle whose signature is not good.

    Raises
    ------
    BundleError
        It is not signed, or by a key that is not trusted, or was altered since.
    """
    if signature is None:
        raise BundleError(f"{path}: not signed, and a signature is asked for; get a signed copy")
    if trust is Trust.wrong:
        raise BundleError(
            f"{path}: altered after it was signed, or its signature was; get it again from who signed it"
        )
    if trust is not Trust.good:
        raise BundleError(
            f"{path}: signed by key {signature.key_id[:16]}, which is none of those trusted; give that key "
            "if you trust it, or get a copy signed by another"
        )


def find_bundle(bundle: str | Path) -> Path:
    """Return the file of a bundle, whether it exists or not.

    Parameters
    ----------
    bundle : path of a file, or the name of a shipped bundle

    Raises
    ------
    BundleError
        It is neither.
    """
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


def read_card(path: Path, text: bytes) -> FocusCard:
    """Read a card of this or an earlier schema version.

    Parameters
    ----------
    path : of the bundle, for errors
    text : `focus.json`

    Raises
    ------
    BundleError
        It is no card, or one of a newer version.
    """
    try:
        raw: Any = json.loads(text, parse_constant=_finite, parse_float=_finite)
    # A RecursionError is for thousands of nested brackets.
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: {CARD_MEMBER} is no JSON ({_one_line(str(error))}); export the bundle again"
        ) from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise BundleError(
            f"{path}: {CARD_MEMBER} is no card: it has no schema_version; export the bundle again"
        )
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: its card has schema version {_one_line(str(version))}, this wormfocus reads up to "
            f"{SCHEMA_VERSION}; upgrade wormfocus"
        )
    try:
        if version < SCHEMA_VERSION:
            text = json.dumps(migrated(raw, version, SCHEMA_VERSION)).encode()
        return FocusCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or CARD_MEMBER
        raise BundleError(
            f"{path}: {CARD_MEMBER}: '{_one_line(key)}': {_one_line(first['msg'])}; export the bundle again"
        ) from error
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def _finite(text: str) -> float:
    """Refuse NaN, Infinity and 1e999, which Python's reader lets pass."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _one_line(text: str) -> str:
    """Bound what a file's content brings into a message."""
    return " ".join(text.split())[:200]
