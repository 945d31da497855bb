"""How the parts of a bundle lie in its file: the network first, a zip of what is known about it behind.

This is the convention of TFLite metadata for associated files, so that ``unzip -p NAME.tflite focus.json``
reads the card of any bundle and every TFLite tool reads the network. See
https://www.tensorflow.org/lite/models/convert/metadata, "Pack metadata and associated files into the model",
and ``docs/bundles.md`` for every byte.
"""

import io
import os
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hw.errors import BundleError
from hw.whole_file import write_whole

__all__ = [
    "CARD_MEMBER",
    "FILE_LIMIT_BYTES",
    "SIGNATURE_MEMBER",
    "Parts",
    "archive_behind",
    "read_parts",
    "write_parts",
]

CARD_MEMBER = "focus.json"
SIGNATURE_MEMBER = "focus.sig.json"
# Twice ConvNeXt V2 tiny in float, and a quarter of what the smallest Pi 4 has of memory.
FILE_LIMIT_BYTES = 256 * 2**20
_MEMBER_LIMITS_BYTES = {CARD_MEMBER: 1_000_000, SIGNATURE_MEMBER: 4096}
_FLATBUFFER_IDENTIFIER = b"TFL3"
# PKWARE's APPNOTE 6.3, sections 4.3.15 and 4.3.16: what a zip file ends with.
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_LOCATOR_SIGNATURE, _ZIP64_LOCATOR_BYTES = b"PK\x06\x07", 20
# Two members need 200 bytes; a table of millions would take a zip reader minutes and gigabytes.
_DIRECTORY_LIMIT_BYTES = 4096
# What zipfile raises on damaged input, depending on where the damage sits.
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, EOFError, LookupError, NotImplementedError, OSError, RuntimeError),
    *(ValueError, OverflowError, struct.error, zlib.error),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a bundle's file consists of.

    Attributes
    ----------
    flatbuffer : the TFLite model
    card : `focus.json`
    signature : `focus.sig.json`; None where the bundle is not signed
    """

    flatbuffer: bytes
    card: bytes
    signature: bytes | None = None

    @property
    def members(self) -> list[tuple[str, bytes]]:
        """Names and contents of the zip's members, in order."""
        signature = [] if self.signature is None else [(SIGNATURE_MEMBER, self.signature)]
        return [(CARD_MEMBER, self.card), *signature]


def write_parts(path: Path, parts: Parts) -> None:
    """Write a bundle's file; the same parts give the same bytes on every system.

    Raises
    ------
    BundleError
        The parts are such as `read_parts` refuses, or the file cannot be written.
    """
    archive = archive_behind(len(parts.flatbuffer), parts)
    if parts.flatbuffer[4:8] != _FLATBUFFER_IDENTIFIER:
        raise BundleError(f"{path}: what is to be bundled is no TFLite model; convert the network first")
    if len(parts.flatbuffer) + len(archive) > FILE_LIMIT_BYTES or any(
        len(content) > _MEMBER_LIMITS_BYTES[name] for name, content in parts.members
    ):
        sizes = ", ".join(f"{name} {len(content)}" for name, content in parts.members)
        raise BundleError(
            f"{path}: too large for a bundle (network {len(parts.flatbuffer)} bytes, {sizes}); "
            "choose a smaller network or leave figures out"
        )
    try:
        write_whole(path, parts.flatbuffer + archive)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror}); check the folder") from error


def read_parts(path: Path) -> Parts:
    """Take a bundle's file apart and check that it is, byte for byte, what `write_parts` makes of its parts.

    That also catches damage which zip readers overlook, such as bytes behind the end or in the archive's own
    tables. What is in the parts is not judged here.

    Raises
    ------
    BundleError
        No such file, truncated, altered outside of its parts, or no bundle at all.
    """
    try:
        # Before opening: to open a pipe is to wait for its other end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise BundleError(f"{path}: is a folder or a device, not a file; check the path")
        with path.open("rb") as file:
            return _take_apart(path, file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def archive_behind(offset: int, parts: Parts) -> bytes:
    """Lay out the zip of a card, and of a signature if there is one, as it stands behind `offset` bytes."""
    buffer = _Behind(offset)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.members:
            member = zipfile.ZipInfo(name)
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return buffer.getvalue()


def _take_apart(path: Path, file: BinaryIO, size: int) -> Parts:
    if file.read(8)[4:] != _FLATBUFFER_IDENTIFIER:
        raise BundleError(f"{path}: no TFLite file (its first bytes say otherwise); check the path")
    if size > FILE_LIMIT_BYTES:
        raise BundleError(
            f"{path}: is {size / 2**20:.0f} MiB large, a bundle has at most {FILE_LIMIT_BYTES // 2**20}; "
            "check the path or choose a smaller network"
        )
    try:
        _check_end(file, size)
        with zipfile.ZipFile(file) as archive:
            offset, parts = _read_archive(path, archive, file)
    except BundleError:
        raise
    except _ZIP_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(
            f"{path}: truncated, damaged, or a plain .tflite without {CARD_MEMBER} ({reason}); "
            "copy it again or make a bundle with 'wormfocus export'"
        ) from error
    expected = archive_behind(offset, parts)
    file.seek(offset)
    if size - offset != len(expected) or file.read() != expected:
        raise BundleError(f"{path}: altered after it was written (archive around the card); copy it again")
    return parts


def _check_end(file: BinaryIO, size: int) -> None:
    """Look at the end of the archive before a zip reader believes the sizes that it gives."""
    tail_bytes = min(size, _END.size + _ZIP64_LOCATOR_BYTES)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    if len(tail) < _END.size or tail[-_END.size :][:4] != _END_SIGNATURE:
        raise zipfile.BadZipFile("no archive at its end")
    *_, directory_bytes, directory_at, comment_bytes = _END.unpack(tail[-_END.size :])
    if (
        directory_bytes > _DIRECTORY_LIMIT_BYTES
        or directory_at + directory_bytes + _END.size != size
        or comment_bytes
        or tail.startswith(_ZIP64_LOCATOR_SIGNATURE)
    ):
        raise zipfile.BadZipFile("the archive is none of a bundle's")


def _read_archive(path: Path, archive: zipfile.ZipFile, file: BinaryIO) -> tuple[int, Parts]:
    """Return where the archive begins, and the parts."""
    found = archive.namelist()
    if CARD_MEMBER not in found:
        raise BundleError(f"{path}: holds no {CARD_MEMBER}; make a bundle with 'wormfocus export'")
    contents: dict[str, bytes] = {}
    for name, limit_bytes in _MEMBER_LIMITS_BYTES.items():
        if name in found:
            member = archive.getinfo(name)
            # Stored, so that its size in the file, which is bounded, is its size in memory.
            if (
                member.compress_type != zipfile.ZIP_STORED
                or member.compress_size != member.file_size
                or member.file_size > limit_bytes
            ):
                raise BundleError(
                    f"{path}: altered ({name} is compressed or too large); copy or export it again"
                )
            contents[name] = archive.read(member)
    offset = archive.getinfo(CARD_MEMBER).header_offset
    file.seek(0)
    return offset, Parts(file.read(offset), contents[CARD_MEMBER], contents.get(SIGNATURE_MEMBER))


class _Behind(io.BytesIO):
    """Bytes that will stand behind others: positions count from the start of those."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self._offset = offset

    def tell(self) -> int:
        return super().tell() + self._offset

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        moved = position - self._offset if whence == io.SEEK_SET else position
        return super().seek(moved, whence) + self._offset
