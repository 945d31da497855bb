"""The way over a grid on which neighbours in time are neighbours in place."""

from collections.abc import Iterator

__all__ = ["boustrophedon"]


def boustrophedon(lines: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield all places of a grid as (line, step along it), every other line backwards."""
    for line in range(lines):
        for step in range(length) if line % 2 == 0 else reversed(range(length)):
            yield line, step
