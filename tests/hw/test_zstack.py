import numpy as np
import pytest
import tifffile

from hw.errors import StackError
from hw.zstack import ZStack, find_stacks, read_stack, stack_name, write_stack


def some_stack(shape, dtype=np.uint8):
    images = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    positions = np.linspace(-1.0, 1.0, shape[0]) ** 3 * 700
    return ZStack(images, positions, 1.55, "dauer é 3", {"rig": "a <b> & c", "medium": "agar\n2 %"})


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", [(7, 20, 30), (7, 20, 30, 3), (3, 20, 30), (1, 20, 30), (1, 20, 30, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_is_read(tmp_path, shape, dtype, compress):
    stack = some_stack(shape, dtype)
    path = tmp_path / "a.ome.tif"
    write_stack(path, stack, compress=compress)
    back = read_stack(path)
    assert back.images.dtype == dtype
    np.testing.assert_array_equal(back.images, stack.images)
    np.testing.assert_array_equal(back.positions_um, stack.positions_um)
    assert (back.um_per_px, back.specimen, back.notes) == (1.55, stack.specimen, stack.notes)
    assert list(tmp_path.iterdir()) == [path], "no partial file stays behind"


def test_other_software_finds_positions_and_axes(tmp_path):
    stack = some_stack((5, 8, 9, 3))
    write_stack(tmp_path / "a.ome.tif", stack)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert tiff.series[0].axes == "ZYXS"
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [plane["PositionZ"] for plane in pixels["Plane"]] == list(stack.positions_um)
    assert {plane["PositionZUnit"] for plane in pixels["Plane"]} == {"µm"}
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (1.55, 1.55)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('PositionZ="-700.0"', 'PositionZ="-7x0.0"'), ('TheZ="1"', 'TheZ="x"'), ('X="1.55"', 'X="1,55"')],
)
def test_metadata_that_is_no_number_is_refused(tmp_path, right, wrong):
    path = tmp_path / "a.ome.tif"
    write_stack(path, some_stack((5, 8, 9)))
    whole = path.read_bytes()
    assert right.encode() in whole
    path.write_bytes(whole.replace(right.encode(), wrong.encode()))
    with pytest.raises(StackError, match=r"a\.ome\.tif: a number in its metadata is none"):
        read_stack(path)


def test_a_pixel_size_of_nothing_is_unknown(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_stack(path, some_stack((5, 8, 9)))
    path.write_bytes(path.read_bytes().replace(b'X="1.55"', b'X="0.00"'))
    assert np.isnan(read_stack(path).um_per_px)


def test_unknown_pixel_size_stays_unknown(tmp_path):
    write_stack(tmp_path / "a.ome.tif", ZStack(np.zeros((2, 4, 4), np.uint8), np.array([0.0, 1.0])))
    assert np.isnan(read_stack(tmp_path / "a.ome.tif").um_per_px)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.9, 0.99])
def test_truncated_file_is_refused_in_one_line(tmp_path, kept, compress):
    path = tmp_path / "a.ome.tif"
    write_stack(path, some_stack((9, 50, 60)), compress=compress)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(StackError, match=r"a\.ome\.tif: [^\n]*; copy") as error:
        read_stack(path)
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(StackError, match="No such file"):
        read_stack(tmp_path / "a.ome.tif")


def test_plain_tiff_has_no_positions(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(StackError, match="positions of its planes are unknown"):
        read_stack(tmp_path / "a.tif")


def test_ome_tiff_without_positions(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((4, 8, 8), np.uint8), photometric="minisblack", metadata={"axes": "ZYX"})
    with pytest.raises(StackError, match=r"4 of 4 planes lack a position in um"):
        read_stack(path)


def test_ome_distance_between_planes_counts_as_positions(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeZ": 500.0, "PhysicalSizeZUnit": "nm"}
    tifffile.imwrite(path, np.zeros((4, 8, 8), np.uint8), photometric="minisblack", metadata=metadata)
    stack = read_stack(path)
    np.testing.assert_allclose(stack.positions_um, [0, 0.5, 1, 1.5])
    assert "PhysicalSizeZ" in stack.notes["positions_from"]


def test_positions_in_other_units(tmp_path):
    path = tmp_path / "a.ome.tif"
    plane = {"PositionZ": [1.0, 2.0, 4.0], "PositionZUnit": ["mm"] * 3}
    metadata = {"axes": "ZYX", "Plane": plane, "Description": "not ours"}
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.uint8), photometric="minisblack", metadata=metadata)
    stack = read_stack(path)
    np.testing.assert_allclose(stack.positions_um, [1000, 2000, 4000])
    assert stack.notes == {"description": "not ours"}


def test_time_series_is_no_z_stack(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((4, 8, 8), np.uint8), photometric="minisblack", metadata={"axes": "TYX"})
    with pytest.raises(StackError, match="axes TYX"):
        read_stack(path)


def test_imagej_spacing_counts_as_positions(tmp_path):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "spacing": 0.25, "unit": "um"}
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.uint16), imagej=True, resolution=(5, 5), metadata=metadata)
    stack = read_stack(path)
    np.testing.assert_allclose(stack.positions_um, [0, 0.25, 0.5])
    assert stack.um_per_px == pytest.approx(0.2)
    assert "ImageJ spacing" in stack.notes["positions_from"]


def test_name_must_say_what_it_is(tmp_path):
    with pytest.raises(StackError, match=r"ends in \.ome\.tif"):
        write_stack(tmp_path / "a.tif", some_stack((2, 4, 4)))


def test_failed_write_leaves_the_old_stack(tmp_path, monkeypatch):
    path = tmp_path / "a.ome.tif"
    write_stack(path, some_stack((2, 4, 4)))
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", full)
    with pytest.raises(StackError, match="No space left"):
        write_stack(path, some_stack((3, 4, 4)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("images", "positions"),
    [
        (np.zeros((2, 4, 4), np.float32), [0.0, 1.0]),
        (np.zeros((2, 4, 4, 4), np.uint8), [0.0, 1.0]),
        (np.zeros((2, 4, 4), np.uint8), [0.0]),
        (np.zeros((2, 4, 4), np.uint8), [0.0, np.nan]),
    ],
)
def test_impossible_stacks(images, positions):
    with pytest.raises(StackError):
        ZStack(images, np.array(positions))


def test_find_stacks(tmp_path):
    for name in ("b.ome.tif", "a.ome.tif", "c.tif", ".d.ome.tif.1.partial", "a.label.json"):
        (tmp_path / name).touch()
    assert [stack_name(p) for p in find_stacks(tmp_path)] == ["a", "b"]
    with pytest.raises(StackError, match="no such folder"):
        find_stacks(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StackError, match="wormfocus stack"):
        find_stacks(tmp_path / "empty")


def test_recorded_imagej_stack(shared_data):
    stack = read_stack(shared_data / "stacks" / "bfautofocus_fissionyeast" / "BF.tif")
    assert stack.images.shape == (34, 116, 55)
    assert stack.positions_um[15] == pytest.approx(4.5)
    assert stack.um_per_px == pytest.approx(0.1065, abs=1e-4)
