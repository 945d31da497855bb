"""Where stderr is a pipe, a long command says what it is doing, in a few lines."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from wormfocus.stages import stage_teller, watched


def told(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80)
    with Progress(console=console, transient=True, auto_refresh=False) as bar:
        tell = stage_teller(bar, bar.add_task("rig", total=None), "rig")
        for what in ("looking for [it]", "sweep 1 of 2, up", "sweep 2 of 2, down", "trip 1", "sweep 1 of 2"):
            tell(what)
        assert bar.tasks[0].description == "rig: sweep 1 of 2"
    return out.getvalue()


def test_a_line_for_each_stage_of_a_pipe_and_none_in_a_terminal() -> None:
    lines = ["rig: looking for [it]", "rig: sweep 1 of 2, up", "rig: trip 1", "rig: sweep 1 of 2"]
    assert [line for line in told(terminal=False).splitlines() if line.strip()] == lines
    assert "rig: trip 1\n" not in told(terminal=True)


@pytest.mark.parametrize(("total", "lines"), [(3, 0), (10, 10), (137, 10)])
def test_a_long_loop_tells_a_pipe_ten_times(
    total: int, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(watched(iter(range(total)), total, "labels")) == list(range(total))
    streams = capsys.readouterr()
    assert streams.out == ""
    said = [line for line in streams.err.splitlines() if line.strip()]
    assert len(said) == lines
    if lines:
        assert said[-1] == f"labels: {total} of {total}"
