import json

import pytest
import torch
from torch import nn

from hw.errors import ConfigError
from training.batches import ShuffledBatches
from training.finish import with_new_statistics
from training.fit import train
from training.labelled import collect
from training.prepared import prepare
from training.run import Run, load_run, normalised, read_record
from training.split import rows_of


@pytest.fixture
def finished(recipe, stacks, tmp_path, cache):
    """A quick run, and what trains it again."""

    def again(lines=None):
        short = recipe.model_copy(update={"samples": 640})
        return train(short, [stacks], tmp_path, cache=cache, tell=(lines if lines is not None else []).append)

    return again(), again


def spoil_statistics(path, factor):
    """Scale the variances of a checkpoint's averaged network."""
    checkpoint = torch.load(path, weights_only=False)
    for name, value in checkpoint["state_dict"].items():
        if name.endswith("running_var"):
            value *= factor
    torch.save(checkpoint, path)


def test_a_finished_run_without_weights_is_finished_anew_and_not_trained(finished, tmp_path):
    run, again = finished
    figures, log = ((tmp_path / name).read_text() for name in ("evaluation.json", "metrics.csv"))
    for name in ("best.pt", "evaluation.json"):
        (tmp_path / name).unlink()
    anew = again()
    assert anew.record == run.record == read_record(tmp_path)
    assert (tmp_path / "evaluation.json").read_text() == figures
    assert (tmp_path / "metrics.csv").read_text() == log
    stored = load_run(tmp_path).network.state_dict()
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, stored[name]), name


def test_wrong_statistics_are_measured_anew(finished, tmp_path):
    run, again = finished
    (tmp_path / "best.pt").unlink()
    spoil_statistics(tmp_path / "best.ckpt", 100.0)
    lines = []
    mended = again(lines)
    assert mended.record.new_statistics
    assert any("measured anew" in line and "the former are kept" in line for line in lines)
    before, after = (
        json.loads((tmp_path / "evaluation.json").read_text())[part] for part in ("validation", "test")
    )
    assert before["mae_um"] < 200
    assert after["mae_um"] < 200
    # The factor is that of the mended network, not of two finishings together.
    assert mended.sigma_factor < 3
    assert mended.record.best_epoch == run.record.best_epoch


def test_statistics_are_the_means_over_batches_and_the_run_stays_as_it_was(finished, stacks, cache):
    run, _ = finished
    recipe = run.recipe
    data = prepare(collect([stacks], print), recipe.input, cache, margin_px=recipe.jitter_px, full=True)
    rows = rows_of(data.specimens, data.specimen, run.split["train"])
    old = {name: value.clone() for name, value in run.network.state_dict().items()}
    new = with_new_statistics(run, data, rows)
    assert not new.network.training
    convolution, norm = new.network.stem[0], new.network.stem[1]
    batches = ShuffledBatches(data, rows, 16, 1600, recipe.views, recipe.seed, 0)
    with torch.no_grad():
        means = [convolution(normalised(x, run.record.normalisation)).mean(dim=(0, 2, 3)) for x, _ in batches]
    assert len(means) == 100
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(dim=0), rtol=1e-3, atol=1e-4)
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, old[name]), name
    for name, value in new.network.named_parameters():
        assert torch.equal(value, old[name]), name


def test_a_network_without_batch_normalisation_has_no_statistics(finished, tmp_path):
    run, _ = finished
    plain = Run(tmp_path, nn.Linear(2, 2), run.record)
    assert with_new_statistics(plain, None, None) is None


def test_a_run_that_lost_its_checkpoint_says_so(finished, tmp_path):
    _, again = finished
    for name in ("best.pt", "best.ckpt"):
        (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=r"has no best\.ckpt to finish from"):
        again()
