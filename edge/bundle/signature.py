"""Signatures: who made a bundle, and that nobody has changed it since.

A checksum finds damage; whoever changes a file on purpose changes its checksum too. A signature cannot be
made without the private key. The scheme is Ed25519 (Bernstein et al. 2012, "High-speed high-security
signatures"; RFC 8032), by the package cryptography, which only signing and checking need.
"""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from edge.bundle.card import CardPart, Sha256
from edge.bundle.layout import SIGNATURE_MEMBER, Parts
from hw.errors import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "CryptographyMissing",
    "PublicKey",
    "Signature",
    "Trust",
    "load_private_key",
    "load_public_key",
    "make_key",
    "public_half",
    "read_signature",
    "sign",
    "trust_in",
]

# Nothing else that a key may ever sign begins with these bytes.
DOMAIN = b"wormfocus bundle signature 1\n"
PUBLIC_SUFFIX = ".pub"
_KEY_LIMIT_BYTES = 65_536
_INSTALL = "pip install 'wormfocus[sign]', or on a Pi sudo apt install python3-cryptography"

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class CryptographyMissing(BundleError):
    """The package that makes and checks signatures is not installed."""


class Signature(CardPart):
    """What `focus.sig.json` holds."""

    schema_version: Literal[1] = 1
    algorithm: Literal["Ed25519"] = "Ed25519"
    key_id: Sha256 = Field(description="Fingerprint of the key: SHA-256 of the 32 bytes of its public half.")
    public_key: Hex32 = Field(description="The public half, hexadecimal: to check with, not to trust.")
    signature: Hex64 = Field(description="Of the network and the card, hexadecimal.")

    @model_validator(mode="after")
    def _id_of_key(self) -> "Signature":
        if PublicKey(bytes.fromhex(self.public_key)).key_id != self.key_id:
            raise ValueError("key_id is not that of public_key")
        return self


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key.

    Attributes
    ----------
    raw : its 32 bytes
    """

    raw: bytes

    @property
    def key_id(self) -> str:
        """Its fingerprint: SHA-256 of its bytes, hexadecimal."""
        return hashlib.sha256(self.raw).hexdigest()


class Trust(StrEnum):
    """What a bundle's signature is worth."""

    none = "none"
    good = "good"
    unknown_key = "unknown key"
    wrong = "wrong"


def read_signature(path: Path, parts: Parts) -> Signature | None:
    """Read a bundle's signature without checking it; None where there is none.

    Raises
    ------
    BundleError
        It is no signature of a kind that is known here.
    """
    if parts.signature is None:
        return None
    try:
        return Signature.model_validate_json(parts.signature)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])[:80] or SIGNATURE_MEMBER
        reason = " ".join(f"'{key}': {first['msg']}".split())
        raise BundleError(
            f"{path}: {SIGNATURE_MEMBER}: {reason}; sign the bundle again, or upgrade wormfocus"
        ) from error


def sign(parts: Parts, key: "Ed25519PrivateKey") -> Parts:
    """Return the parts of a bundle with a signature by a private key, in place of any that it had."""
    public = public_half(key)
    signature = Signature(
        key_id=public.key_id, public_key=public.raw.hex(), signature=key.sign(_message(parts)).hex()
    )
    return Parts(parts.flatbuffer, parts.card, signature.model_dump_json(indent=2).encode())


def trust_in(parts: Parts, signature: Signature | None, trusted: Collection[PublicKey] = ()) -> Trust:
    """Check a signature.

    Parameters
    ----------
    parts : of the bundle
    signature : read from them
    trusted : keys whose signatures count

    Raises
    ------
    CryptographyMissing
        There is a signature to check.
    """
    if signature is None:
        return Trust.none
    _need_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw = bytes.fromhex(signature.public_key)
    try:
        key = Ed25519PublicKey.from_public_bytes(raw)
        key.verify(bytes.fromhex(signature.signature), _message(parts))
    # Not every 32 bytes are a key.
    except (InvalidSignature, ValueError):
        return Trust.wrong
    return Trust.good if PublicKey(raw) in trusted else Trust.unknown_key


def make_key(path: Path) -> "Ed25519PrivateKey":
    """Make a key: the private half at `path`, readable by its owner alone, the public one at ``NAME.pub``.

    Both are PEM (PKCS #8 and SubjectPublicKeyInfo), as OpenSSL has them.

    Raises
    ------
    BundleError
        One of the files exists or cannot be written, or cryptography is not installed.
    """
    _need_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    beside = path.with_name(path.name + PUBLIC_SUFFIX)
    # The harmless half first; neither is left without the other.
    _write_new(beside, public, 0o644)
    try:
        _write_new(path, private, 0o600)
    except BundleError:
        beside.unlink()
        raise
    return key


def load_private_key(path: Path) -> "Ed25519PrivateKey":
    """Read a private key.

    Raises
    ------
    BundleError
        No such file, others may read it, it is no unencrypted Ed25519 key, or cryptography is not installed.
    """
    _need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read_key(path)
    if path.stat().st_mode & 0o077:
        raise BundleError(f"{path}: others than its owner may read or change this key; chmod 600 it")
    try:
        key = load_pem_private_key(content, password=None)
    # A TypeError is for keys behind a password.
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(
            f"{path}: no private key in PEM, or one behind a password; make one with "
            "'wormfocus sign --new-key FILE'"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path}: no Ed25519 key; make one with 'wormfocus sign --new-key FILE'")
    return key


def load_public_key(path: Path) -> PublicKey:
    """Read a public key.

    Raises
    ------
    BundleError
        No such file, it is no Ed25519 key, or cryptography is not installed.
    """
    _need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read_key(path)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(
            f"{path}: no public key in PEM; give the file that ends in {PUBLIC_SUFFIX}"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{path}: no Ed25519 key; give the one that the bundle was signed with")
    return PublicKey(_raw(key))


def public_half(key: "Ed25519PrivateKey") -> PublicKey:
    """Return the public half of a private key."""
    return PublicKey(_raw(key.public_key()))


def _message(parts: Parts) -> bytes:
    """Return what is signed: with lengths, so that no byte can pass from one part to the other."""
    signed = (parts.flatbuffer, parts.card)
    return b"".join(
        [DOMAIN, *(piece for part in signed for piece in (len(part).to_bytes(8, "little"), part))]
    )


def _raw(key: "Ed25519PublicKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    raw: bytes = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return raw


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise CryptographyMissing(
            f"signatures need the package cryptography ({error}); {_INSTALL}"
        ) from error


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_KEY_LIMIT_BYTES)
    except OSError as error:
        raise BundleError(f"{path}: the key cannot be read ({error.strerror}); check the path") from error


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise BundleError(f"{path}: is there already, and keys are never replaced; name another") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror}); check the folder") from error
