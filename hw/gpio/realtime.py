"""Real-time priority for the thread that sends steps."""

import os

__all__ = ["ask_for_real_time"]

# Above ordinary programs, below the kernel's own interrupt threads, which have 50.
PRIORITY = 40


def ask_for_real_time() -> str | None:
    """Put the calling thread under SCHED_FIFO, so that other programs do not hold up its steps.

    Returns
    -------
    str or None
        None when granted; otherwise why not, and what would help. Steps are only later then, never closer.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        return (
            f"steps without real-time priority ({error.strerror}); give the service LimitRTPRIO={PRIORITY} "
            "or CAP_SYS_NICE"
        )
    return None
