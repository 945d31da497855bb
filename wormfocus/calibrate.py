"""`wormfocus calibrate`: the group of commands that measure a rig."""

import typer

from wormfocus.application import app

__all__ = ["calibrate"]

calibrate = typer.Typer(
    help="Measure a rig with a target under the lens.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(calibrate, name="calibrate")
