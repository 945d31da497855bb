"""Batches made ready while the one before is learnt from."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from training.batches import Batch, ShuffledBatches

__all__ = ["Ahead"]

_READY = 2


@dataclass(frozen=True, eq=False)
class Ahead:
    """The same batches in the same order, made by a thread of their own, a few of them ahead."""

    batches: ShuffledBatches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        source = iter(self.batches)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader") as thread:
            coming = deque(thread.submit(next, source, None) for _ in range(_READY))
            # Raises here whatever went wrong there.
            while (batch := coming.popleft().result()) is not None:
                coming.append(thread.submit(next, source, None))
                yield batch
