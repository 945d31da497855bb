"""`python -m wormfocus` is the `wormfocus` command."""

import sys

from wormfocus.command import main

if __name__ == "__main__":
    sys.exit(main())
