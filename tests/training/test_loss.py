import math

import pytest
import torch

from training.loss import loss
from training.recipe import LossConfig
from training.schedule import rate

TARGETS = torch.tensor([0.5, -1.0])


def gradients(kind: str, log_sigma: float, progress: float = 1.0) -> torch.Tensor:
    outputs = torch.tensor([[0.0, log_sigma], [0.0, log_sigma]], requires_grad=True)
    loss(outputs, TARGETS, LossConfig(kind=kind, beta=1.0), 500, progress).backward()
    return outputs.grad


def test_gaussian_likelihood_by_hand():
    outputs = torch.tensor([[0.3, math.log(0.5)], [-1.4, math.log(2.0)]])
    expected = ((0.2 / 0.5) ** 2 / 2 + math.log(0.5) + (0.4 / 2) ** 2 / 2 + math.log(2)) / 2
    assert loss(outputs, TARGETS, LossConfig(kind="nll"), 500, 1.0).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_smooth_l1_by_hand():
    outputs = torch.tensor([[0.45], [0.0]])
    # The knee is at 50 um = 0.1: an error of 0.05 counts squared, one of 1 linearly.
    expected = (0.5 * 0.05**2 / 0.1 + 1 - 0.05) / 2
    found = loss(outputs, TARGETS, LossConfig(kind="smooth_l1", knee_um=50), 500, 1.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_beta_one_takes_the_variance_out_of_the_offset_gradient():
    # Seitzer et al. 2022: with beta = 1 the offset learns as under squared error, whatever sigma says.
    for log_sigma in (-1.0, 0.0, 1.0):
        assert gradients("beta_nll", log_sigma)[:, 0].tolist() == pytest.approx([-0.25, 0.5])
    assert gradients("nll", -1.0)[0, 0].item() == pytest.approx(-0.25 * math.e**2)


def test_offset_learns_alone_at_first_and_always_in_smooth_l1_nll():
    calm, wild = gradients("nll", 0.0, progress=0.0), gradients("nll", -3.0, progress=0.0)
    assert calm[:, 0].tolist() == wild[:, 0].tolist()
    assert gradients("smooth_l1_nll", -3.0)[:, 0].tolist() == calm[:, 0].tolist()
    assert wild[:, 1].abs().min() > 0


def test_extreme_sigma_stays_finite():
    for log_sigma in (-100.0, 100.0):
        assert torch.isfinite(gradients("nll", log_sigma)).all()


def test_rate_rises_then_falls():
    assert rate(0.05, 0.1, "cosine") == pytest.approx(0.5)
    assert rate(0.1, 0.1, "cosine") == pytest.approx(1)
    assert rate(0.55, 0.1, "cosine") == pytest.approx(0.5)
    assert rate(1.0, 0.1, "cosine") == pytest.approx(0, abs=1e-12)
    assert rate(0, 0.1, "cosine") > 0
    # Paper 1: times 0.85 after every 5 of 100 epochs.
    assert [rate(p, 0, "step") for p in (0.049, 0.05, 0.15, 0.99)] == pytest.approx(
        [1, 0.85, 0.85**3, 0.85**19]
    )
