"""The command-line application that every subcommand registers with."""

from typing import Annotated

import typer

from wormfocus import __version__

__all__ = ["app"]

app = typer.Typer(
    name="wormfocus",
    help="Single-shot autofocus for microscopes that follow a moving C. elegans.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wormfocus {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    print_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Single-shot autofocus for microscopes that follow a moving C. elegans."""
