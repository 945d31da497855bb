"""The model card says what the bundle says, in words."""

from datetime import date

from edge.bundle import FocusCard
from export.model_card import model_card, spread
from hw.config import load_rig


def make_card() -> FocusCard:
    band = {
        "n": 7,
        "mae_um": 31.25,
        "mae_steps": 6.25,
        "mae_dof": 0.142,
        "median_um": 20.0,
        "p95_um": 90.0,
        "bias_um": -2.5,
        "sign_error_rate": None,
    }
    return FocusCard.model_validate(
        {
            "name": "worm",
            "architecture": "focusnet_small",
            "input": {"width_px": 192, "height_px": 96, "um_per_px": 3.0},
            "normalisation": {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)},
            "input_dtype": "float32",
            "outputs": {"kind": "offset_sigma", "scale_um": 500.0},
            "trained_range_um": 1500.0,
            "rig": "worm_tracker",
            "optics": {"um_per_px": 1.55, "na": 0.05, "dof_um": 220.0},
            "training": {
                "recipe": "default",
                "fingerprint": "0123456789abcdef" * 4,
                "specimens": 90,
                "planes": 720,
                "seed": 3,
                "specimens_sha256": "ab" * 32,
                "images_seen": 640000,
                "minutes": 70.02,
                "max_minutes": 70.0,
            },
            "validation": {
                "specimens": 40,
                "specimen_ranges": [
                    {"count": 38, "first": "w-900", "last": "w-937"},
                    {"count": 2, "first": "w-3", "last": "w-8"},
                ],
                **band,
                "n": 400,
                "sign_error_rate": 0.0125,
                "groups": {"abs_offset_um": {"0-110": band}},
            },
            "parity": {
                "n": 400,
                "float_mae_um": 31.0,
                "file_mae_um": 31.25,
                "ratio": 1.008,
                "mean_abs_difference_um": 1.5,
                "float_sign_error_rate": 0.01,
                "file_sign_error_rate": 0.0125,
                "float_sigma_factor": 1.02,
                "file_sigma_factor": 1.1,
                "accepted_losses": ["1.25% wrong signs"],
            },
            "quantization": "static-int8",
            "created": date(2026, 11, 21),
            "flatbuffer_sha256": "cd" * 32,
            "versions": {"torch": "2.13.0"},
        }
    )


def test_every_figure_is_the_cards() -> None:
    text = model_card(make_card(), ["wormfocus export RUN"], None, 1_840_000)
    for part in (
        "`focusnet_small`, static-int8, 1.84 MB",
        "576 x 288 um around the worm, 192 x 96 pixels of 3 um",
        "720 planes of 90 specimens, recipe `default`, seed 3",
        "Training saw 640000 images, repeats counted, in 70.0 minutes of 70 allowed; its schedule followed",
        "on 400 images of 40 specimens",
        "(38 from `w-900` to `w-937`; 2 from `w-3` to `w-8`)",
        "| wrong sign | 1.25% | 1.00% |",
        "| sigma factor | 1.100 | 1.020 |",
        "**Exported although** static-int8 has 1.25% wrong signs.",
        "| all | 400 | 31.2 | 6.25 | 0.142 | 20.0 | 90.0 | -2.5 | 1.25% |",
        "| 0-110 | 7 | 31.2 | 6.25 | 0.142 | 20.0 | 90.0 | -2.5 | - |",
        "ratio 1.008",
        "```\nwormfocus export RUN\n```",
        "Made with torch 2.13.0.",
    ):
        assert part in text
    assert "simulated" not in text


def test_simulated_specimens_come_with_their_spread() -> None:
    rig = load_rig("worm_tracker_sim")
    assert rig.simulation is not None
    text = model_card(make_card(), [], rig, 1)
    low, high = rig.simulation.optics.na if isinstance(rig.simulation.optics.na, tuple) else (0, 0)
    assert low < high
    assert f"| optics.na | {low:g} | {high:g} |" in text
    assert "**simulated**, on the rig `worm_tracker_sim`" in text
    assert "never shown an image of a real microscope" in text
    assert "| axis." not in text
    for quantity in (
        "optics.coherence",
        "optics.spherical_waves",
        "optics.bands[0].shift_um",
        "optics.magnification",
        "worm.length_um",
        "worm.diameter_um",
        "plate.unevenness",
        "sensor.read_noise_e",
        "sensor.gamma",
    ):
        assert f"| {quantity} | " in text
    assert f"with {rig.simulation.optics.source_points} points, or 24 for each mm of defocus" in text


def test_a_rig_without_a_worm_is_described_as_what_it_is() -> None:
    card = make_card()
    fine = card.model_copy(update={"optics": card.optics.model_copy(update={"dof_um": 0.6})})
    text = model_card(fine, [], load_rig("slit_laser_sim"), 1)
    assert "worm," not in text
    assert "in the middle of the picture" in text
    assert "| beam.na_long" not in text, "it does not vary"
    assert "| alignment.spherical_waves | 0.14 | 0.16 |" in text
    assert "| all | 400 | 31.250 | 6.25 | 0.142 | 20.000 | 90.000 | -2.500 | 1.25% |" in text


def test_spread_takes_pairs_only() -> None:
    section = {"a": (1, 2), "b": 3.0, "c": {"d": [0.5, 1]}, "e": ({"f": (4, 5)}, {"f": 6}), "g": (1, 2, 3)}
    assert list(spread(section)) == [("a", 1, 2), ("c.d", 0.5, 1), ("e[0].f", 4, 5)]


def test_the_runs_that_it_learnt_from_are_named() -> None:
    card = make_card()
    ancestor = {
        "recipe": "default",
        "architecture": "convnextv2_tiny",
        "fingerprint": "fe" * 32,
        "specimens": 60,
        "seed": 4,
        "weights_sha256": "ba" * 32,
    }
    training = card.training.model_dump() | {
        "ancestors": [{"role": "weights", **ancestor}, {"role": "teacher", **ancestor, "seed": 5}],
        "frozen_layers": 12,
    }
    told = FocusCard.model_validate(card.model_dump() | {"training": training})
    text = model_card(told, ["x"], None, 1)
    assert "720 planes of its own stacks, and what the runs below had learnt; 90 specimens in all" in text
    assert (
        "- Fine-tuned from a run of recipe `default`, seed 4 (`convnextv2_tiny`, weights "
        "`babababababababa`), which had learnt from 60 specimens, fingerprint `fefefefefefefefe`. "
        "Its first 12 layers were kept.\n"
        "- Taught by a run of recipe `default`, seed 5"
    ) in text
    assert "Taught by" not in model_card(card, ["x"], None, 1)
    # A card of before there were such runs is read as one without.
    older = card.model_dump()
    del older["training"]["ancestors"], older["training"]["frozen_layers"]
    assert FocusCard.model_validate(older) == card
