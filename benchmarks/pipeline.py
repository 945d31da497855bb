"""What everything but the network costs, of the network's time, at full camera resolution.

    python benchmarks/pipeline.py --folder WORK --json benchmarks/results/pipeline.json

A stack of full frames, 2028 x 1520 pixels with a worm in them, is simulated into the folder and replayed by
`wormfocus run --json` on a rig that follows the worm. A row has the means over all frames of one run's
`stage_ms`, and `rest_share`, all of them but `predict` over `predict`. Each turn runs the tracker as shipped
and, for comparison, looking at every whole frame. Nothing else should run on the machine.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from methods.report import Row, print_rows, write_report
from methods.rig_files import write_rig

from hw.config import load_rig

SEED, PLANES, RANGE_UM = 777, 21, 1000
LOOKS: dict[str, dict[str, float]] = {"as shipped": {}, "every frame, whole": {"look_every_s": 0}}


def main() -> None:
    """Simulate what is missing, run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="for the stack and the rig files")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    stack = simulated_stack(options.folder / "stack")
    rows: list[Row] = []
    for turn in range(options.turns):
        for name, tracking in LOOKS.items():
            rig = rig_file(options.folder / f"{name.replace(', ', ' ').replace(' ', '_')}.yaml", tracking)
            means = stage_means(rig, stack, options.bundle, options.seconds, options.folder / "run.json")
            rest = sum(mean for stage, mean in means.items() if stage != "predict")
            stages = {f"{stage}_ms": mean for stage, mean in means.items()}
            row = {"case": name, "bundle": options.bundle, "turn": turn, **stages}
            rows.append({**row, "rest_share": rest / means["predict"]})
            print_rows(rows[-1:])
            if options.json is not None:
                write_report(options.json, rows)


def simulated_stack(folder: Path) -> Path:
    """Return a stack of full frames, made where it is not there."""
    if not list(folder.glob("*.ome.tif")):
        plan = f"-n 1 --seed {SEED} --planes {PLANES} --range-um {RANGE_UM} --full --no-binned"
        wormfocus("simulate", "--rig", "worm_tracker_sim", *plan.split(), "--out", str(folder))
    return next(folder.glob("*.ome.tif"))


def rig_file(path: Path, tracking: dict[str, float]) -> Path:
    """Write the rig that replays the stack and follows its worm."""
    like = load_rig("worm_tracker_sim")
    changes = {
        "name": "replayed_worm",
        "optics": like.optics.model_dump(mode="json"),
        "camera": {"width_px": like.camera.width_px, "height_px": like.camera.height_px},
        "tracking": {"follow": True, **tracking},
        "replay": {"scale_from_stack": False},
    }
    return write_rig(path, "replay", changes)


def stage_means(rig: Path, stack: Path, bundle: str, seconds: float, report: Path) -> dict[str, float]:
    """Run once; return the mean time of every stage in ms."""
    with TemporaryDirectory() as sessions:
        wormfocus(
            *("run", "--rig", str(rig), "--stack", str(stack), "--bundle", bundle),
            *("--seconds", str(seconds), "--session", f"{sessions}/session", "--json", str(report)),
        )
    stages = json.loads(report.read_text(encoding="utf-8"))["stage_ms"]
    return {stage: figures["mean"] for stage, figures in stages.items()}


def wormfocus(*arguments: str) -> None:
    """Run a command of the project; its own words say why where it fails."""
    done = subprocess.run([sys.executable, "-m", "wormfocus", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr.strip() or done.stdout.strip())


if __name__ == "__main__":
    main()
