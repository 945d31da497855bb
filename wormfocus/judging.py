"""The options that `evaluate` and `compare` have in common."""

from pathlib import Path
from typing import Annotated

import typer

from wormfocus.autofocus import finite_each

__all__ = ["Field", "Full", "JsonFile", "Report", "RigName", "Seed", "Seen", "Stacks"]

Stacks = Annotated[list[Path], typer.Option(help="Folder of OME-TIFF stacks; may be given again.")]
RigName = Annotated[str | None, typer.Option(help="Rig whose steps and depth of field are used.")]
Seen = Annotated[bool, typer.Option("--seen", help="Allow specimens that were learnt from.")]
Full = Annotated[bool, typer.Option("--full", help="Show whole frames too, as a group of their own.")]
Field = Annotated[
    list[float] | None,
    typer.Option(
        min=1e-6, callback=finite_each, help="Show windows of this width too, um, shrunk; may be given again."
    ),
]
Report = Annotated[Path | None, typer.Option(help="Folder for a report with plots and the worst frames.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures here.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the bootstrap.")]
