"""`wormfocus demo`: the main job on the simulated rig."""

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from wormfocus.application import app
from wormfocus.autofocus import MethodName, finite, open_parts, show_figures, write_json
from wormfocus.run import run_recorded

RIG, BUNDLE = "worm_tracker_sim", "default"


@app.command("demo")
def demo(
    seconds: Annotated[float, typer.Option(min=0.1, callback=finite, help="Virtual time.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another worm on another plate.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the session; numbered when taken.")] = Path("demo"),
    method: Annotated[MethodName, typer.Option(help="How to focus.")] = MethodName.network,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Keep a simulated crawling worm in focus: figures here, the picture in a folder."""
    folder = free_folder(out)
    with open_parts(RIG, BUNDLE, method, seed=seed) as parts:
        begin = perf_counter()
        figures = run_recorded(parts, seconds, folder)
        show_figures(figures, parts.rig, perf_counter() - begin)
        notice = parts.rig.notice
    print(f"picture: {folder / 'summary.png'}")
    if json_file is not None:
        write_json(json_file, {"rig": RIG, "notice": notice, "seed": seed, **figures.as_dict()})


def free_folder(wanted: Path) -> Path:
    """Return `wanted`, or the first of wanted-2, wanted-3, ... that does not exist or is empty."""
    folder, number = wanted, 1
    while folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder
