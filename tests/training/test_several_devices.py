"""Two processes on the processor stand for two GPUs; all but what GPUs do themselves is the same."""

import csv
import multiprocessing
import os
import signal

import pytest
import torch
import yaml

from hw.errors import ConfigError, ProcessDied
from training.checkpoint import LAST, read_checkpoint
from training.fit import train
from training.recipe import Recipe
from wormfocus.command import main

EPOCHS = 8
RECIPE = {
    "name": "shared",
    "network": "focusnet_tiny",
    "input": {"width_px": 32, "height_px": 32, "um_per_px": 3.1},
    "split": {"validation": 0.25, "test": 0.2},
    "views": {"window": 1.0, "full": 0.5},
    "jitter_px": 4,
    "samples": EPOCHS * 32,
    "epoch_samples": 32,
    "batch": 16,
    "ema_decay": 0.9,
}


@pytest.fixture(autouse=True, scope="module")
def processors():
    """Let there be no GPU, here and in the processes begun; and one thread in each of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setattr("torch.cuda.device_count", lambda: 0)
        yield


@pytest.fixture(scope="module")
def trained(stacks, cache, tmp_path_factory):
    """Runs on one and on two devices, and what was told of each."""

    def on(devices):
        run, told = tmp_path_factory.mktemp("runs") / "run", []
        train(Recipe.model_validate(RECIPE), [stacks], run, cache=cache, devices=devices, tell=told.append)
        return run, told

    return {devices: on(devices) for devices in (1, 2)}


def weights(run):
    """Weights and statistics of norms, as trained last and as averaged."""
    state, kinds = read_checkpoint(run / LAST), ("state_dict", "current_model_state")
    return {f"{kind}.{name}": value for kind in kinds for name, value in state[kind].items()}


def rows(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "minutes"} for row in csv.DictReader(file)]


def files(run):
    found = [path.relative_to(run).as_posix() for path in run.rglob("*")]
    return sorted(name.partition(".tfevents.")[0] for name in found)


def test_two_processes_learn_what_one_does(trained):
    (one, told_of_one), (two, told_of_two) = trained[1], trained[2]
    ours, theirs = weights(two), weights(one)
    assert ours.keys() == theirs.keys()
    assert sum(name.endswith("running_var") for name in theirs) > 10
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4, msg=name)
    # Some shifts have a gradient of rounding alone, which Adam makes steps of; all in all they are few.
    everything = [torch.cat([each[name].double().flatten() for name in theirs]) for each in (ours, theirs)]
    assert (everything[0] - everything[1]).norm() < 1e-5 * everything[1].norm()
    for row, same in zip(rows(two), rows(one), strict=True):
        assert row == pytest.approx(same, rel=1e-4)
    assert files(two) == files(one)
    # Lines for a person come once, in order, the same but for the devices and the time.
    assert "2 devices with 8 images of each batch" in "\n".join(told_of_two)
    for told in (told_of_one, told_of_two):
        epochs = [line.split()[1] for line in told if line.startswith("epoch ")]
        assert epochs == [f"{epoch + 1}/{EPOCHS}" for epoch in range(EPOCHS)]
    assert len((two / "train.log").read_text().splitlines()) == EPOCHS
    assert told_of_two[-1].startswith("test: ")


@pytest.fixture
def at_a_keyboard():
    """Interrupts arrive: what was started in the background ignores them, and so does all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_at(epoch, told):
    """Take lines; do as the keyboard does at the one of an epoch: interrupt all processes of the command."""

    def tell(line):
        told.append(line)
        if line.startswith(f"epoch {epoch}/"):
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    return tell


def test_a_run_on_two_that_is_interrupted_and_killed_ends_as_one_left_alone(
    stacks, trained, cache, tmp_path, monkeypatch, capfd, at_a_keyboard
):
    run, recipe, told = tmp_path / "run", tmp_path / "shared.yaml", []
    recipe.write_text(yaml.safe_dump(RECIPE))
    with monkeypatch.context() as patch:
        patch.setattr("wormfocus.train._say", interrupted_at(2, told))
        command = ["train", "--recipe", recipe, "--stacks", stacks, "--out", run, "--cache", cache]
        assert main([*map(str, command), "--devices", "2"]) == 130
    assert told[-1].startswith("epoch 2/")
    assert multiprocessing.active_children() == []
    assert "Traceback" not in capfd.readouterr().err
    assert not (run / "best.pt").exists()
    assert 2 <= read_checkpoint(run / LAST)["global_step"] < 2 * EPOCHS

    told = []

    def kill_one(line):
        told.append(line)
        if sum(each.startswith("epoch ") for each in told) == 2:
            multiprocessing.active_children()[-1].kill()

    with pytest.raises(
        ProcessDied, match=r"^one of 2 training processes was ended by SIGKILL; .*same command"
    ):
        train(Recipe.model_validate(RECIPE), [stacks], run, cache=cache, devices=2, tell=kill_one)
    assert multiprocessing.active_children() == []
    assert not (run / "best.pt").exists()

    train(Recipe.model_validate(RECIPE), [stacks], run, cache=cache, devices=2, tell=told.append)
    alone = trained[2][0]
    ours, theirs = weights(run), weights(alone)
    assert [name for name, value in theirs.items() if not torch.equal(ours[name], value)] == []
    assert rows(run) == rows(alone)
    assert (run / "evaluation.json").read_bytes() == (alone / "evaluation.json").read_bytes()


def test_what_goes_wrong_in_one_process_is_told_once(stacks, trained, cache, tmp_path, full_disk, capfd):
    size = (trained[2][0] / LAST).stat().st_size
    with full_disk(size // 2), pytest.raises(ConfigError, match=r"run: cannot be written to \(.*make space"):
        train(Recipe.model_validate(RECIPE), [stacks], tmp_path / "run", cache=cache, devices=2, tell=print)
    assert multiprocessing.active_children() == []
    shown = capfd.readouterr()
    assert shown.out.count("epoch 1/") == 1
    assert shown.err == ""


def test_a_batch_that_cannot_be_shared_out_is_refused(stacks, tmp_path, capsys):
    command = ["train", "--recipe", "smoke", "--stacks", str(stacks), "--out", str(tmp_path / "run")]
    assert main([*command, "--devices", "3"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "wormfocus: batch: 16 images cannot be shared out evenly among 3 devices; give --devices 2, or a "
        "recipe with a batch of 15\n"
    )
    assert not (tmp_path / "run").exists()
