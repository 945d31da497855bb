"""The `wormfocus` command: one function per subcommand, each in a module of its own.

Importing such a module registers its command; what is heavy it imports inside the function, so that
`wormfocus --help` stays quick.
"""

import importlib
import pkgutil
import re
import sys

import typer

import wormfocus
from hw.errors import AxisFault, CameraStalled, ProcessDied, WormfocusError
from wormfocus.application import app

__all__ = ["main"]

# What a rig does without, and the extra that brings it.
_EXTRAS = {
    "torch": "train",
    "lightning": "train",
    "scipy": "train",
    "timm": "train",
    "ray": "sweep",
    "litert_torch": "export",
    "ai_edge_quantizer": "export",
}

_PLAIN_WORDS = {
    "Value error, ": "",
    "Input should be a valid integer.*": "give a whole number",
    "Input should be a valid number.*": "give a number",
    r"Input should be greater than or equal to (\S+)": r"give \1 or more",
    r"Input should be less than or equal to (\S+)": r"give at most \1",
}


def _register_commands() -> None:
    for module in pkgutil.iter_modules(wormfocus.__path__):
        if module.name != "__main__":
            importlib.import_module(f"wormfocus.{module.name}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; without arguments it prints the help.

    Parameters
    ----------
    arguments : what follows `wormfocus`, by default from the command line

    Returns
    -------
    int
        0 success, 2 bad input (one line on stderr: what, why, next step), 130 interrupted, 1 any other
        failure.
    """
    _register_commands()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        result = app(args=given or ["--help"], prog_name="wormfocus", standalone_mode=False)
    except (AxisFault, CameraStalled, ProcessDied) as error:
        return _fail(str(error), 1)
    except WormfocusError as error:
        return _fail(str(error), 2)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(
            f"this command is for a workstation and needs {error.name}; pip install 'wormfocus[{extra}]', or "
            f"in a clone pip install -e '.[{extra}]'",
            2,
        )
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", None) or "wormfocus"
        return _fail(f"{_plainly(error.format_message()).rstrip('.')}; see '{command} --help'", 2)
    return result if isinstance(result, int) else 0


def _plainly(message: str) -> str:
    """Say in plain words what the library that checks options says of them in its own."""
    for theirs, ours in _PLAIN_WORDS.items():
        message = re.sub(theirs, ours, message)
    return message


def _fail(message: str, status: int) -> int:
    # One line, whatever the message: a program that calls us reads the last line of stderr.
    print(f"wormfocus: {' '.join(message.split())}", file=sys.stderr)
    return status
