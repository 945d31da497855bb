"""The command-line application that every subcommand registers with."""

import typer

__all__ = ["app"]

app = typer.Typer(
    name="wormfocus",
    help="Single-shot autofocus for microscopes that follow a moving C. elegans.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root() -> None:
    """Single-shot autofocus for microscopes that follow a moving C. elegans."""
