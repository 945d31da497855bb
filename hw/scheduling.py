"""Real-time scheduling for the thread that times steps."""

import os

__all__ = ["real_time"]

# Above ordinary programs, below the kernel's interrupt threads, which have 50.
PRIORITY = 20


def real_time() -> str:
    """Ask for SCHED_FIFO for this thread; return what it got: 'SCHED_FIFO 20', or 'ordinary' and why."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        return f"ordinary ({error.strerror})"
    return f"SCHED_FIFO {PRIORITY}"
