"""A sitting in several processes of this machine, one for each device.

They are begun by `multiprocessing`, each a new interpreter (CUDA does not live through a fork), from any
Python program. Lightning's own way `ddp` begins the whole command again in each, which a caller of `train`
cannot have; its `ddp_spawn` tells neither what its processes say nor which of their errors was the first.
"""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

from torch import distributed

from hw.clock import SystemClock
from hw.errors import ProcessDied, WormfocusError
from training.rank import Rank, join_ranks
from training.sitting import Sitting, sit

__all__ = ["sit_on_several"]

Tell = Callable[[str], None]


@dataclass(frozen=True)
class _Failure:
    """What went wrong in a process, and when, by the clock that all processes of a machine have."""

    at_s: float
    error: Exception


def sit_on_several(sitting: Sitting, devices: int, tell: Tell) -> None:
    """Train from the last checkpoint on, on several devices.

    Parameters
    ----------
    sitting : what there is to do
    devices : as many GPUs; without any, as many processes on the processor
    tell : takes the lines of epochs

    Raises
    ------
    ProcessDied
        One was killed; the others are ended.
    Exception
        What was raised first in any of them, which ended all: see `training.sitting.sit`.
    """
    spawn = multiprocessing.get_context("spawn")
    # Not as arguments, whose tensors would be shared: without GPUs all ranks would train the same ones.
    content = pickle.dumps(sitting)
    processes: dict[Connection, BaseProcess] = {}
    with tempfile.TemporaryDirectory(prefix="wormfocus-") as folder:
        meeting_place = str(Path(folder) / "ranks")
        try:
            for number in range(devices):
                reader, writer = spawn.Pipe(duplex=False)
                process: BaseProcess = spawn.Process(
                    target=_one_rank,
                    args=(Rank(number, devices), content, meeting_place, writer),
                    daemon=True,
                )
                process.start()
                # What is left of it is the process's: it ends with it.
                writer.close()
                processes[reader] = process
            _listen(processes, tell)
        finally:
            for process in processes.values():
                process.kill()
                process.join()
            if sitting.bar:
                _show_cursor()


def _listen(processes: dict[Connection, BaseProcess], tell: Tell) -> None:
    """Pass on what processes say until all have ended; raise what has gone wrong as soon as anything has."""
    speaking = dict(processes)
    while speaking:
        for reader in wait(list(speaking)):
            assert isinstance(reader, Connection)
            try:
                said = reader.recv()
            except EOFError:
                process = speaking.pop(reader)
                process.join()
                if process.exitcode:
                    _raise_first([], list(speaking), list(processes.values()))
            else:
                if isinstance(said, _Failure):
                    _raise_first([said], list(speaking), list(processes.values()))
                tell(said)


def _raise_first(
    failures: list[_Failure], speaking: Sequence[Connection], processes: Sequence[BaseProcess]
) -> NoReturn:
    """Raise the cause: others fail only because they miss the first, and after it."""
    for reader in speaking:
        try:
            while reader.poll():
                said = reader.recv()
                failures += [said] if isinstance(said, _Failure) else []
        except EOFError:
            continue
    killed = [process for process in processes if (process.exitcode or 0) < 0]
    if killed or not failures:
        what = f"by {signal.Signals(-(killed[0].exitcode or 0)).name}" if killed else "without a word"
        raise ProcessDied(
            f"one of {len(processes)} training processes was ended {what}; see whether memory is short, then "
            "give the same command again: it goes on from the last checkpoint"
        )
    raise min(failures, key=lambda failure: failure.at_s).error


def _one_rank(rank: Rank, content: bytes, meeting_place: str, writer: Connection) -> None:
    """Be one of the processes."""
    # An interruption from the keyboard reaches all of them, and the first program ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if rank.number:
        # They would be those of the first, again.
        warnings.simplefilter("ignore")
    try:
        join_ranks(rank, meeting_place)
        sit(pickle.loads(content), writer.send, rank)
        distributed.destroy_process_group()
    except Exception as error:
        failure = _Failure(SystemClock().now(), _sendable(error, rank))
        writer.send(failure)
        # At once: what libraries do at the end waits for the other ranks.
        os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _sendable(error: Exception, rank: Rank) -> Exception:
    """Return an error that gets through a pipe, with the place that it comes from."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, WormfocusError | OSError):
        error.add_note(f"In the process of rank {rank.number}:\n{traceback.format_exc()}")
    return error


def _show_cursor() -> None:
    """Undo what a progress bar does to the terminal, should its process have been ended."""
    from rich.console import Console

    Console().show_cursor()
