"""What is wrong with stacks or disk costs nothing but the time until it is mended."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from calibration.stack import read_stack, write_stack
from edge.bundle import InputSpec
from hw.errors import ConfigError, StackError
from training.fit import train
from training.labelled import collect
from training.prepared import prepare
from training.run import load_run

SPEC = InputSpec(width_px=32, height_px=32, um_per_px=3.1)
# Of one decoded stack: seven planes of 32 x 32 pixels in three colours.
STACK_BYTES = 7 * 32 * 32 * 3


@pytest.fixture
def folder(stacks, tmp_path):
    """Twenty stacks that may be spoilt."""
    return shutil.copytree(stacks, tmp_path / "stacks", ignore=shutil.ignore_patterns(".*"))


@pytest.fixture
def short(recipe):
    return recipe.model_copy(update={"samples": 192, "epoch_samples": 64})


def damage(path):
    path.write_bytes(path.read_bytes()[:3000])


def silent(line):
    pass


def decoded(folder, cache):
    """The decoded images of a folder, and the numbers of stacks that were told on the way."""
    told = []
    data = prepare(collect([folder], silent), SPEC, cache, progress=lambda done, _: told.append(done))
    return data, told


def test_damaged_stacks_are_named_together_and_the_others_are_decoded_once(folder, tmp_path):
    plain, _ = decoded(folder, tmp_path / "plain")
    for number in (4, 11):
        damage(folder / f"stack_{number:03d}.ome.tif")
    with pytest.raises(StackError) as caught:
        decoded(folder, tmp_path / "cache")
    message = str(caught.value)
    assert "\n" not in message
    assert "stack_004.ome.tif: damaged" in message
    assert "nor can stack_011.ome.tif be used" in message
    assert "move it away; " in message
    assert "the other 18 are decoded and kept" in message
    for number in (4, 11):
        (folder / f"stack_{number:03d}.ome.tif").unlink()
    data, told = decoded(folder, tmp_path / "cache")
    assert told == []
    assert len(data.offsets_um) == 18 * 7
    rest = [row for row in range(140) if row // 7 not in {4, 11}]
    assert np.array_equal(data.images, plain.images[rest])
    assert np.array_equal(data.offsets_um, plain.offsets_um[rest])
    assert data.specimens == [name for i, name in enumerate(plain.specimens) if i not in {4, 11}]


def test_a_damaged_stack_that_is_copied_again_stands_where_it_would_have_stood(folder, stacks, tmp_path):
    plain, _ = decoded(folder, tmp_path / "plain")
    damaged = folder / "stack_004.ome.tif"
    damage(damaged)
    with pytest.raises(StackError, match="damaged"):
        decoded(folder, tmp_path / "cache")
    shutil.copy(stacks / damaged.name, damaged)
    data, told = decoded(folder, tmp_path / "cache")
    assert told[0] == 5
    assert np.array_equal(data.images, plain.images)
    assert data.specimens == plain.specimens


def test_decoding_goes_on_where_a_full_disk_stopped_it(folder, tmp_path, full_disk):
    with (
        full_disk(12 * STACK_BYTES + 100),
        pytest.raises(StackError, match=r"cannot be written \(.*make space.*decoded is kept"),
    ):
        decoded(folder, tmp_path / "cache")
    plain, _ = decoded(folder, tmp_path / "plain")
    data, told = decoded(folder, tmp_path / "cache")
    assert told[0] == 13
    assert np.array_equal(data.images, plain.images)
    assert np.array_equal(data.offsets_um, plain.offsets_um)


def test_a_decoding_that_was_broken_off_goes_on(folder, tmp_path):
    plain, _ = decoded(folder, tmp_path / "plain")

    def interrupt(done, total):
        if done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(collect([folder], silent), SPEC, tmp_path / "cache", progress=interrupt)
    data, told = decoded(folder, tmp_path / "cache")
    assert told[0] == 14
    assert np.array_equal(data.images, plain.images)
    assert np.array_equal(data.specimen, plain.specimen)


def test_stacks_of_two_rigs_are_refused_before_any_is_decoded(folder, tmp_path, short):
    other = tmp_path / "other"
    other.mkdir()
    for number, path in enumerate(sorted(folder.glob("*.ome.tif"))):
        stack = replace(read_stack(path), notes={"rig": "slide_sim" if number > 9 else "worm_tracker_sim"})
        write_stack(path, stack)
        if number > 9:
            for part in folder.glob(f"stack_{number:03d}.*"):
                part.rename(other / part.name)
    lines = []
    with pytest.raises(StackError, match=r"of rig 'worm_tracker_sim', .* of rig 'slide_sim'.*one rig"):
        train(short, [folder, other], tmp_path / "run", cache=tmp_path / "cache", tell=lines.append)
    assert not any("decoded" in line for line in lines)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_keeps_the_last_checkpoint_and_the_run_goes_on(folder, tmp_path, short, full_disk):
    cache, run = tmp_path / "cache", tmp_path / "run"
    through = train(short, [folder], tmp_path / "through", cache=cache, tell=silent)
    train(short, [folder], run, cache=cache, tell=silent, stop_after_epochs=1)
    last = (run / "last.ckpt").read_bytes()
    with (
        full_disk(len(last) // 2),
        pytest.raises(ConfigError, match=r"run: cannot be written to \(.*make space.*last checkpoint"),
    ):
        train(short, [folder], run, cache=cache, tell=silent)
    assert (run / "last.ckpt").read_bytes() == last
    assert [path.name for path in run.iterdir() if "partial" in path.name] == []
    resumed = train(short, [folder], run, cache=cache, tell=silent)
    theirs = through.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    assert (run / "metrics.csv").read_text().count("\n") == 4


def test_a_disk_full_for_the_weights_leaves_the_run_to_be_finished(folder, tmp_path, short, full_disk):
    cache, run = tmp_path / "cache", tmp_path / "run"
    whole = train(short, [folder], run, cache=cache, tell=silent)
    size = (run / "best.pt").stat().st_size
    for name in ("best.pt", "evaluation.json"):
        (run / name).unlink()
    # More than the records take, less than the weights do.
    with full_disk(size - 1000), pytest.raises(ConfigError, match="cannot be written to"):
        train(short, [folder], run, cache=cache, tell=silent)
    with pytest.raises(ConfigError, match="has not finished"):
        load_run(run)
    train(short, [folder], run, cache=cache, tell=silent)
    theirs = whole.network.state_dict()
    for name, value in load_run(run).network.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def test_a_damaged_checkpoint_is_told_and_left_as_it_is(folder, tmp_path, short):
    run = tmp_path / "run"
    train(short, [folder], run, tell=silent, stop_after_epochs=1)
    half = (run / "last.ckpt").read_bytes()[:4000]
    (run / "last.ckpt").write_bytes(half)
    with pytest.raises(ConfigError, match=r"last\.ckpt: damaged checkpoint"):
        train(short, [folder], run, tell=silent)
    assert (run / "last.ckpt").read_bytes() == half


def test_the_best_so_far_counts_where_a_run_was_moved_to(folder, tmp_path, short):
    cache = tmp_path / "cache"
    train(short, [folder], tmp_path / "there", cache=cache, tell=silent)
    train(short, [folder], tmp_path / "here", cache=cache, tell=silent, stop_after_epochs=1)
    (tmp_path / "here").rename(tmp_path / "moved")
    train(short, [folder], tmp_path / "moved", cache=cache, tell=silent)
    stayed, moved = (load_run(tmp_path / name) for name in ("there", "moved"))
    assert moved.record.best_epoch == stayed.record.best_epoch
    theirs = stayed.network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in moved.network.state_dict().items())


def test_two_programs_do_not_train_in_one_folder(folder, tmp_path, short):
    from training.held import held

    run = tmp_path / "run"
    run.mkdir()
    with held(run), pytest.raises(ConfigError, match="another 'wormfocus' works in this folder"):
        train(short, [folder], run, cache=tmp_path / "cache", tell=silent)
    assert not (run / "run.json").exists()
