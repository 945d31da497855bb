"""Paper 2 on the simulated slide scanner: the shipped bundle on other slides, by one patch and by nine."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.report import Row

__all__ = ["slide_rows"]

RIG, BUNDLE = "slide_sim", "slide"
PAPER_2 = {
    "10x, NA 0.3, DOF 10 um": "0.68 +- 0.58 um, 1/15 DOF (abstract, table 1)",
    "20x, NA 0.75, DOF 1 um": "0.14 +- 0.12 um, 1.4/10 DOF (table 1)",
}
RANGE_UM, PLANES = 6.0, 13
# First seeds: none that the bundle was trained on.
PATCHES, FIELDS = 910_000, 920_000


def slide_rows(folder: Path, number: int) -> list[Row]:
    """Render patches and whole fields of so many slides each, unless they are there, and judge them."""
    from edge.bundle import load_bundle
    from hw.config import load_rig
    from training.judge import judge_of_bundle
    from training.views import native_window, rgb_planes

    rig, bundle = load_rig(RIG), load_bundle(BUNDLE)
    judge = judge_of_bundle(bundle)
    true: list[NDArray[Any]] = []
    said: list[NDArray[Any]] = []
    for focus_um, stack in _stacks(folder / "patches", 72.0, PATCHES, number):
        window = native_window(rgb_planes(stack), stack.um_per_px, judge.spec)
        said.append(judge.predict(window)[0])
        true.append(focus_um - stack.positions_um)
    common = {
        "paper": 2,
        "rig": RIG,
        "network": bundle.card.architecture,
        "bundle": f"{BUNDLE} {bundle.card.flatbuffer_sha256[:12]}",
        "figure_of_the_paper": PAPER_2,
    }
    rows = [
        {
            "case": "one patch of 64 um",
            **common,
            "test_specimens": number,
            **_figures(np.concatenate(true), np.concatenate(said)),
        }
    ]
    errors, uneven, told = [], [], []
    unanswered = 0
    from calibration.focus_map.point import PointPlan

    plan = PointPlan()
    for focus_um, stack in _stacks(folder / "fields", None, FIELDS, number):
        for pixels, position in zip(rgb_planes(stack), stack.positions_um, strict=True):
            verdict = _verdict(pixels, plan, bundle, rig)
            if verdict is None:
                unanswered += 1
                continue
            errors.append(focus_um - position)
            told.append(verdict.offset_um)
            uneven.append(verdict.spread_um > plan.uneven_dof * rig.optics.dof_um)
    truth, answers, doubtful = np.array(errors), np.array(told), np.array(uneven)
    more = {"test_specimens": number, "unanswered": unanswered, "called_uneven": float(doubtful.mean())}
    for case, some in (
        ("nine patches of a field of 320 x 240 um", np.ones(len(truth), bool)),
        ("the same, fields whose patches agree within 1.5 DOF", ~doubtful),
    ):
        rows.append({"case": case, **common, **more, **_figures(truth[some], answers[some])})
    return rows


def _stacks(folder: Path, window_um: float | None, first: int, number: int) -> Any:
    """Render stacks unless they are there; yields focus and stack."""
    from calibration.label import read_label
    from calibration.simulate import StackPlan, simulate_stacks
    from calibration.stack import read_stack
    from hw.config import load_rig

    plan = StackPlan(PLANES, RANGE_UM, window_um, False)
    for made in simulate_stacks(load_rig(RIG), plan, range(first, first + number), folder):
        if made.path is not None:
            label = read_label(made.path)
            assert label is not None
            yield label.focus_um, read_stack(made.path)


def _verdict(pixels: NDArray[np.uint8], plan: Any, bundle: Any, rig: Any) -> Any:
    """Ask about the patches of one frame and put them together, as `wormfocus map` does."""
    from calibration.focus_map.patches import block_contrast, patch_boxes, weigh
    from wormfocus.map import BundleJudge

    judge = BundleJudge(bundle, rig)
    boxes = patch_boxes((pixels.shape[1], pixels.shape[0]), judge.patch_px)
    patches = [pixels[y : y + height, x : x + width] for x, y, width, height in boxes]
    shown = [patch for patch in patches if block_contrast(patch) >= plan.least_contrast]
    return weigh(
        [judge.judge(patch) for patch in shown], most_sigma_um=plan.most_sigma_dof * rig.optics.dof_um
    )


def _figures(true: NDArray[Any], said: NDArray[Any]) -> dict[str, Any]:
    from hw.config import load_rig
    from training.metrics import figures

    rig = load_rig(RIG)
    size = np.abs(said - true)
    away = np.abs(true)
    return {
        **figures(true, said, rig.axis.um_per_step, rig.optics.dof_um),
        "sd_abs_um": float(size.std()),
        # The nearest is what a second shot after the first one's move would leave.
        "mae_um_by_distance": {
            f"{low}-{high} um": float(size[(away >= low) & (away < high)].mean())
            for low, high in ((0, 1), (1, 2), (2, 4), (4, 6))
        },
    }
