"""What the thread that sends steps needs so that others do not hold it up."""

import os
import sys

__all__ = ["ask_for_real_time"]

# Above ordinary programs, below the kernel's own interrupt threads, which have 50.
PRIORITY = 40
# Python lets a thread that computes go on for 5 ms when another wants to run: two steps of the reference rig.
SWITCH_S = 5e-4


def ask_for_real_time() -> str | None:
    """Put the calling thread under SCHED_FIFO, and have the program's other threads give way sooner.

    Returns
    -------
    str or None
        None when granted; otherwise why not, and what would help. Steps are only later then, never closer.
    """
    sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        return (
            f"steps without real-time priority ({error.strerror}); give the service LimitRTPRIO={PRIORITY} "
            "or CAP_SYS_NICE"
        )
    return None
