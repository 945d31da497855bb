"""The bundle's file: what lies where, and what is refused before it costs memory or time."""

import os
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from edge.bundle import layout
from edge.bundle.file import find_bundle, load_bundle, shipped_bundles
from edge.bundle.layout import Parts, read_parts, write_parts
from hw.errors import BundleError

NETWORK = b"\x10\0\0\0TFL3" + bytes(100)


@pytest.mark.parametrize("signature", [None, b'{"a": 1}'])
def test_parts_come_back_as_they_were(tmp_path: Path, signature: bytes | None) -> None:
    parts = Parts(NETWORK, b'{"name": "worm"}', signature)
    path = tmp_path / "a.tflite"
    write_parts(path, parts)
    assert read_parts(path) == parts
    assert path.read_bytes().startswith(NETWORK)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [name for name, _ in parts.members]


def test_a_network_that_ends_like_a_zip_is_kept_whole(tmp_path: Path) -> None:
    write_parts(tmp_path / "a.tflite", Parts(NETWORK, b"{}"))
    inner = (tmp_path / "a.tflite").read_bytes()
    write_parts(tmp_path / "b.tflite", Parts(inner, b"[]"))
    assert read_parts(tmp_path / "b.tflite") == Parts(inner, b"[]")


def test_what_would_not_be_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    for parts, reason in (
        (Parts(b"PK no network", b"{}"), "no TFLite model"),
        (Parts(NETWORK, bytes(1_000_001)), "too large for a bundle"),
        (Parts(NETWORK, b"{}", bytes(4097)), r"focus\.sig\.json 4097"),
    ):
        with pytest.raises(BundleError, match=reason):
            write_parts(path, parts)
    assert list(tmp_path.iterdir()) == []


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    with path.open("wb") as file:
        file.write(NETWORK)
        # A hole: it takes no room on the disk.
        file.truncate(2**40)
    with pytest.raises(BundleError, match=r"is 1048576 MiB large, a bundle has at most 256"):
        read_parts(path)


def test_sizes_that_the_archive_claims_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tflite"
    write_parts(path, Parts(NETWORK, b"{}"))
    whole = path.read_bytes()
    monkeypatch.setattr(layout.zipfile, "ZipFile", lambda file: pytest.fail("a zip reader believed it"))
    for at, value in ((12, 2**31), (16, 2**31), (12, len(whole) - 22)):
        end = len(whole) - 22 + at
        path.write_bytes(whole[:end] + struct.pack("<L", value) + whole[end + 4 :])
        with pytest.raises(BundleError, match="the archive is none of a bundle's"):
            read_parts(path)


def test_a_card_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(NETWORK)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("focus.json", bytes(50_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(BundleError, match=r"focus\.json is compressed or too large"):
        read_parts(path)


def test_a_pipe_and_a_folder_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")
    for path in (tmp_path / "pipe.tflite", tmp_path):
        with pytest.raises(BundleError, match="is a folder or a device, not a file; check the path"):
            read_parts(path)


def test_the_first_bytes_count(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    for content in (b"", b"TFL3", b"\0\0\0\0TFL2" + bytes(99)):
        path.write_bytes(content)
        with pytest.raises(BundleError, match="no TFLite file"):
            load_bundle(path)


def test_names_and_paths_are_told_apart(tmp_path: Path) -> None:
    assert find_bundle("default").name == "default.tflite"
    assert find_bundle(tmp_path / "mine.tflite") == tmp_path / "mine.tflite"
    with pytest.raises(BundleError, match="unknown bundle"):
        find_bundle("nobody")


@pytest.mark.parametrize("name", shipped_bundles())
def test_the_archive_is_as_the_documentation_says(name: str) -> None:
    """Made again from docs/bundles.md alone, by a program that knows no zip library."""
    path = find_bundle(name)
    parts, whole = read_parts(path), path.read_bytes()
    local, directory = b"", b""
    for member, content in parts.members:
        offset = len(parts.flatbuffer) + len(local)
        # Version needed 2.0, no flags, stored, dated 1980-01-01 00:00.
        common = struct.pack(
            "<5H3L2H", 20, 0, 0, 0, 33, zlib.crc32(content), *[len(content)] * 2, len(member), 0
        )
        local += b"PK\x03\x04" + common + member.encode() + content
        made_by = struct.pack("<BB", 20, 3)
        rest = struct.pack("<3H2L", 0, 0, 0, 0o644 << 16, offset)
        directory += b"PK\x01\x02" + made_by + common + rest + member.encode()
    count, start = len(parts.members), len(parts.flatbuffer) + len(local)
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, count, count, len(directory), start, 0)
    assert parts.flatbuffer + local + directory + end == whole
