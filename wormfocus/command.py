"""The `wormfocus` command: one function per subcommand, each in a module of its own."""

import sys

import click

from hw.errors import AxisFault, CameraStalled, WormfocusError
from wormfocus.application import app

__all__ = ["main"]

def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 success, 2 bad input (one line on stderr: what, why, next step), 1 any other failure, 130 interrupted.
    """
    try:
        result = app(args=arguments, standalone_mode=False)
    except (AxisFault, CameraStalled) as error:
        print(f"wormfocus: {error}", file=sys.stderr)
        return 1
    except WormfocusError as error:
        print(f"wormfocus: {error}", file=sys.stderr)
        return 2
    except click.ClickException as error:
        print(f"wormfocus: {error.format_message()}; see 'wormfocus --help'", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        print("wormfocus: interrupted", file=sys.stderr)
        return 130
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
