"""The energy that a processor says it has used, where it says so."""

from pathlib import Path

__all__ = ["EnergyMeter"]

_POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Counters of whole processors (Intel's and AMD's RAPL); a Raspberry Pi has none.

    They count everything that runs on the processor, and since 2020 only root may read them.

    Parameters
    ----------
    folder : the kernel's, with a folder for every counter

    Attributes
    ----------
    why_not : why there is nothing to read; empty where there is
    """

    def __init__(self, folder: Path = _POWERCAP) -> None:
        # Those of whole packages are numbered once; their parts have a second number.
        zones = sorted(zone for zone in folder.glob("*:*") if zone.name.count(":") == 1)
        self._zones: list[tuple[Path, int]] = []
        self.why_not = "" if zones else "this machine has no energy counter (RAPL)"
        for zone in zones:
            try:
                int((zone / "energy_uj").read_text())
                self._zones.append((zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())))
            except (OSError, ValueError) as error:
                self.why_not = f"{zone / 'energy_uj'} cannot be read ({type(error).__name__}); root may"
        if self._zones:
            self.why_not = ""

    def read(self) -> list[int]:
        """Return the counters, in microjoules; empty where there are none."""
        return [int(path.read_text()) for path, _ in self._zones]

    def used_j(self, before: list[int], after: list[int]) -> float | None:
        """Return the energy between two readings, J; None without counters. They start over at their end."""
        if not self._zones:
            return None
        spent = [
            (end - begin) % (limit + 1)
            for begin, end, (_, limit) in zip(before, after, self._zones, strict=True)
        ]
        return sum(spent) / 1e6
