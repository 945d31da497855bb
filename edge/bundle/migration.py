"""Cards of earlier schema versions, brought up to today's one version at a time.

A change of the card that older programs may ignore needs no new version: a new key with a default. Any other
change raises `edge.bundle.card.SCHEMA_VERSION` and adds a step here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from hw.errors import BundleError

__all__ = ["MIGRATIONS", "Migration", "migrated"]

Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes a card of one version as JSON gives it, and returns it as the next version has it."""

# From each earlier version. There is one version so far, so there is nothing to bring up to it.
MIGRATIONS: Final[Mapping[int, Migration]] = {}


def migrated(
    card: dict[str, Any], version: int, current: int, steps: Mapping[int, Migration] = MIGRATIONS
) -> dict[str, Any]:
    """Return a card as version `current` has it; one that is as new is returned as it is.

    Parameters
    ----------
    card : as read, not validated
    version : what it says it is
    current : at least that
    steps : from each version to the next

    Raises
    ------
    BundleError
        The card is of a version that no step is known from, or is no card of that version.
    """
    for earlier in range(version, current):
        step = steps.get(earlier)
        if step is None:
            oldest = min((*steps, current))
            raise BundleError(
                f"its card has schema version {version}, this wormfocus reads {oldest} to {current}; "
                "export the bundle again"
            )
        try:
            card = {**step(card), "schema_version": earlier + 1}
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"its card is none of schema version {earlier} ({type(error).__name__}: {error}); "
                "export the bundle again"
            ) from error
    return card
