"""A focus map as it is kept: points, the surface through them, time by kind; and how two of them compare."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.focus_map.point import MapPoint
from calibration.focus_map.station import KINDS
from calibration.focus_map.surface import Surface, fit_surface
from calibration.robust import robust_sigma
from hw.errors import StackError
from hw.whole_file import write_whole

__all__ = ["Comparison", "FocusMap", "check_comparable", "compare", "read_map", "write_map"]

SUSPECT_DEVIATIONS = 4.0
"""A measured point so many deviations off what all others say of it is marked, and kept."""


@dataclass(frozen=True)
class FocusMap:
    """A surveyed slide.

    Attributes
    ----------
    about : rig, method, bundle, grid and settings, as `map.json` tells them
    points : in the order in which they were visited
    """

    about: dict[str, Any]
    points: tuple[MapPoint, ...]

    @property
    def measured(self) -> list[MapPoint]:
        """The points with a plane of focus."""
        return [point for point in self.points if point.focus_um is not None]

    def surface(self) -> Surface:
        """Fit the surface through all measured points.

        Raises
        ------
        StackError
            There are too few.
        """
        measured = self.measured
        places = np.array([(point.x_um, point.y_um) for point in measured]).reshape(-1, 2)
        return fit_surface(places, np.array([point.focus_um for point in measured], np.float64))

    def seconds(self) -> dict[str, float]:
        """Time by kind and in all, s on the rig's clock."""
        spent = {kind: sum(point.seconds.get(kind, 0.0) for point in self.points) for kind in KINDS}
        return {**spent, "total": sum(spent.values())}

    def figures(self) -> dict[str, Any]:
        """Return what a map is judged by: counts, times, the surface and its leave-one-out error."""
        states = {
            state: sum(point.state == state for point in self.points)
            for state in ("shot", "scanned", "failed")
        }
        uneven = sum(point.reason.startswith("uneven") for point in self.points)
        figures: dict[str, Any] = {
            "points": len(self.points),
            **states,
            "uneven": uneven,
            "trim_um": next((point.told_um for point in self.points if point.told_um is not None), None),
            "shots": sum(point.shots for point in self.points),
            "planes": sum(point.planes for point in self.points),
            "seconds": {kind: round(value, 3) for kind, value in self.seconds().items()},
            "surface": None,
        }
        try:
            surface = self.surface()
        except StackError as error:
            figures["no_surface"] = str(error)
            return figures
        loo = surface.loo_um
        spread = max(robust_sigma(loo), 1e-9)
        heights = [point.focus_um for point in self.measured if point.focus_um is not None]
        figures["surface"] = {
            "range_um": float(np.ptp(heights)),
            "tilt_rad": list(surface.tilt_rad),
            "length_um": surface.length_um,
            "signal_um": surface.signal_um,
            "noise_um": surface.noise_um,
            "loo_rms_um": float(np.sqrt(np.mean(loo**2))),
            "loo_median_um": float(np.median(np.abs(loo))),
            "suspect": [
                [point.column, point.row]
                for point, off in zip(self.measured, loo, strict=True)
                if abs(off) > SUSPECT_DEVIATIONS * spread
            ],
        }
        return figures


@dataclass(frozen=True, eq=False)
class Comparison:
    """One map against another at the points that both measured: first minus second, um.

    Attributes
    ----------
    error_um : (N,)
    columns, rows : (N,) which points
    """

    error_um: NDArray[np.float64]
    columns: NDArray[np.int64]
    rows: NDArray[np.int64]

    def figures(self, dof_um: float) -> dict[str, Any]:
        """Return mean and deviation of the error and of its size, and the share within half a DOF."""
        error, size = self.error_um, np.abs(self.error_um)
        return {
            "n": len(error),
            "mean_um": float(error.mean()),
            "sd_um": float(error.std()),
            "mean_abs_um": float(size.mean()),
            "sd_abs_um": float(size.std()),
            "median_abs_um": float(np.median(size)),
            "max_abs_um": float(size.max()),
            "within_half_dof": float(np.mean(size <= dof_um / 2)),
        }


def compare(this: FocusMap, other: FocusMap) -> Comparison:
    """Compare two maps of one grid.

    Raises
    ------
    StackError
        They are of different grids, rigs or seeds, or have no measured point in common.
    """
    check_comparable(this.about, other)
    theirs = {(point.column, point.row): point.focus_um for point in other.measured}
    both = [
        (point.focus_um - focus, point.column, point.row)
        for point in this.measured
        if point.focus_um is not None and (focus := theirs.get((point.column, point.row))) is not None
    ]
    if not both:
        raise StackError("the two maps have no measured point in common; survey a place with more tissue")
    error, columns, rows = zip(*both, strict=True)
    return Comparison(np.array(error), np.array(columns), np.array(rows))


def check_comparable(about: Mapping[str, Any], other: FocusMap) -> None:
    """Check that a map, made already or still to be made, can be compared with another.

    Parameters
    ----------
    about : of the first: its rig, seed and places
    other : the second

    Raises
    ------
    StackError
        They are of different grids, rigs or seeds.
    """
    for key in ("rig", "seed", "places"):
        if about.get(key) != other.about.get(key):
            raise StackError(f"the two maps differ in {key}; compare maps of one slide and one grid")


def write_map(path: Path, focus_map: FocusMap) -> None:
    """Write a map with its surface at every point of the grid, whole or not at all.

    Raises
    ------
    StackError
        The file cannot be written.
    """
    figures = focus_map.figures()
    data = {**focus_map.about, "figures": figures, "points": _with_surface(focus_map, figures)}
    try:
        write_whole(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise StackError(f"{path}: cannot be written ({error.strerror}); check folder and space") from error


def read_map(path: Path) -> FocusMap:
    """Read a map.

    Raises
    ------
    StackError
        The file is missing or no focus map.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        points = tuple(point_from(each) for each in data.pop("points"))
    except OSError as error:
        raise StackError(
            f"{path}: cannot be read ({error.strerror}); give the map.json of a survey"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(f"{path}: is no focus map ({error}); give the map.json of a survey") from error
    data.pop("figures", None)
    return FocusMap(data, points)


def point_from(data: dict[str, Any]) -> MapPoint:
    """Return a point as it was written; what the surface says there is left out."""
    return MapPoint(**{key: value for key, value in data.items() if not key.startswith("surface_")})


def _with_surface(focus_map: FocusMap, figures: dict[str, Any]) -> Sequence[dict[str, Any]]:
    rows = [asdict(point) for point in focus_map.points]
    if figures["surface"] is None:
        return rows
    places = np.array([(point.x_um, point.y_um) for point in focus_map.points])
    heights, sigmas = focus_map.surface().at(places)
    for row, height, sigma in zip(rows, heights, sigmas, strict=True):
        row["surface_um"], row["surface_sigma_um"] = round(float(height), 4), round(float(sigma), 4)
    return rows
