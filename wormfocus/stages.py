"""What a long command is doing: a bar that moves in a terminal, and a few lines where stderr is a pipe."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["stage_teller", "watched"]

T = TypeVar("T")

LINES = 10
"""A loop gives this many lines to a pipe, and none where it has fewer turns."""


def stage_teller(bar: "Progress", task: "TaskID", title: str) -> Callable[[str], None]:
    """Return what shows the stage that a command is in, such as 'sweep 3 of 8'.

    A terminal shows every one in its place; elsewhere a line is printed for the first of those that differ in
    their numbers alone.

    Parameters
    ----------
    bar, task : shown on stderr
    title : stands before each stage
    """
    stage = ""

    def tell(what: str) -> None:
        nonlocal stage
        bar.update(task, description=f"{title}: {what}")
        kind = re.split(r"\d", what, maxsplit=1)[0]
        if not bar.console.is_terminal and kind != stage:
            bar.console.print(f"{title}: {what}", highlight=False, markup=False, soft_wrap=True)
        stage = kind

    return tell


def watched(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Yield the items of a loop and show on stderr how many of them are done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(title, total=total)
        for number, item in enumerate(items, 1):
            bar.update(task, completed=number)
            if not console.is_terminal and total >= LINES and number * LINES % total < LINES:
                console.print(f"{title}: {number} of {total}", highlight=False, markup=False)
            yield item
