"""The commands that make a bundle again are the whole truth, or left out."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the export extra")

from edge.bundle import FocusCard
from export.origin import Source, ancestor_records, commands, named_range, sources
from hw.config import load_rig
from training.labelled import collect
from training.prepared import prepare
from training.recipe import Recipe
from training.run import Ancestor, Run, load_run

NEW = Source(tuple(f"worm_tracker_sim-{seed}" for seed in range(900, 940)), 24, 1500.0, (240, 240), 3.1)
LEARNT = replace(NEW, specimens=tuple(f"worm_tracker_sim-{seed}" for seed in range(6)), planes=12)


@pytest.fixture(scope="module")
def run(small_run: Path) -> Run:
    return load_run(small_run)


def lines(run: Run, *sources: Source, mirrors: int = 1) -> list[str]:
    # Of a card, only these two are read.
    card = FocusCard.model_construct(quantization="static-int8", mirrors=mirrors, input_dtype="float32")
    return commands(run, sources, load_rig("worm_tracker_sim"), card, "b.tflite")


def test_folders_are_simulated_trained_on_and_tested_on(run: Run) -> None:
    assert lines(run, LEARNT, NEW) == [
        "wormfocus simulate --rig worm_tracker_sim --seed 0 -n 6 --planes 12 --range-um 1500 "
        "--window-um 744 --out STACKS",
        "wormfocus simulate --rig worm_tracker_sim --seed 900 -n 40 --planes 24 --range-um 1500 "
        "--window-um 744 --out NEW2",
        "wormfocus train --recipe small --seed 0 --stacks STACKS --out RUN",
        "wormfocus export RUN --stacks STACKS --stacks NEW2 --quantization static-int8 --out b.tflite",
    ]


@pytest.mark.parametrize(
    "source",
    [
        replace(NEW, specimens=NEW.specimens[:3] + NEW.specimens[4:]),
        replace(NEW, specimens=("worm-of-monday", *NEW.specimens)),
        replace(NEW, specimens=tuple(f"other_sim-{seed}" for seed in range(5))),
        replace(NEW, planes=None),
    ],
)
def test_what_no_single_command_simulates_has_none(run: Run, source: Source) -> None:
    assert [line.split()[1] for line in lines(run, source)] == ["train", "export"]


def test_the_runs_that_it_learnt_from_are_told(run: Run) -> None:
    ancestor = Ancestor(
        role="weights",
        folder="runs/first",
        recipe="big",
        network="resnet18",
        seed=7,
        fingerprint="ab" * 32,
        weights_sha256="cd" * 32,
        trained=("worm-1", "worm-2"),
        validated=("worm-3",),
    )
    teacher = ancestor.model_copy(update={"role": "teacher", "seed": 8})
    recipe = run.recipe.model_copy(update={"name": "big_fine_tuned", "freeze": 5})

    def told(recipe: Recipe) -> list[str]:
        record = run.record.model_copy(update={"ancestors": (ancestor, teacher), "recipe": recipe})
        return lines(replace(run, record=record))

    parent, other, train, _ = told(recipe)
    assert parent == "# PARENT: a run of recipe big, seed 7, whose weights have the SHA-256 cdcdcdcdcdcdcdcd"
    assert other.startswith("# TEACHER: a run of recipe big, seed 8")
    assert train == "wormfocus train --from PARENT --freeze 5 --seed 0 --stacks STACKS --out RUN"
    # By a recipe of its own, it has to be named.
    assert told(run.recipe)[2].startswith("wormfocus train --recipe small --from PARENT --seed 0")
    known = replace(run, record=run.record.model_copy(update={"ancestors": (ancestor,)}))
    assert known.learnt - run.learnt == {"worm-1", "worm-2", "worm-3"}
    assert known.trained - run.trained == {"worm-1", "worm-2"}
    (card,) = ancestor_records(known)
    assert (card.architecture, card.specimens, card.role) == ("resnet18", 2, "weights")


def test_mirrors_are_told(run: Run) -> None:
    assert lines(run, mirrors=2)[-1] == (
        "wormfocus export RUN --stacks STACKS --quantization static-int8 --mirrors 2 --out b.tflite"
    )


def test_camera_pixels_and_full_frames_are_told(run: Run) -> None:
    fine = lines(run, replace(NEW, um_per_px=1.55, shape=(480, 480)))[0]
    assert "--window-um 744 --no-binned" in fine
    assert "--range-um 1500 --full --out" in lines(run, replace(NEW, shape=(760, 1014)))[0]


def test_folders_may_come_in_another_order_than_they_were_decoded_in(run: Run, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, seeds in zip(folders, [range(4), range(4, 6)], strict=True):
        folder.mkdir()
        for seed in seeds:
            for path in run.stacks[0].glob(f"worm_tracker_sim-{seed}.*"):
                (folder / path.name).write_bytes(path.read_bytes())
    expected = {range(4), range(4, 6)}
    for order in (folders, folders[::-1]):
        labelled = collect(order, print)
        data = prepare(labelled, run.input, tmp_path / "cache")
        found = sources(labelled, data)
        assert {s.planes for s in found} == {12}
        assert [s.specimens for s in found] == [
            tuple(f"worm_tracker_sim-{seed}" for seed in seeds)
            for seeds in sorted(expected, key=lambda r: r.start, reverse=order != folders)
        ]
    assert len(list((tmp_path / "cache").glob("*/index.npz"))) == 1


def test_names_are_ordered_by_seed() -> None:
    assert named_range(["worm-10", "worm-9", "worm-100"]) == ("worm-9", "worm-100")
