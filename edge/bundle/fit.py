"""Whether a bundle's network fits a rig: a network is only as good as its optics are those it learned."""

from edge.bundle.card import FocusCard
from edge.bundle.window import window_px
from hw.config import RigConfig
from hw.errors import BundleError

__all__ = ["check_fits"]

# Training spreads the optics around the nominal ones; beyond these factors a network extrapolates.
# The depth of field goes with 1 / NA^2, so its factor is the square of the other.
NA_FACTOR = 1.25
DOF_FACTOR = NA_FACTOR**2
# Enlarging a window invents no detail: beyond this the fine structure that the network judges is missing.
MAX_UPSAMPLING = 1.3


def check_fits(card: FocusCard, rig: RigConfig) -> None:
    """Check that a network may judge focus on a rig.

    Raises
    ------
    BundleError
        It may not; one line that names the bundle, the rig and the reason.
    """
    reason = _misfit(card, rig)
    if reason:
        raise BundleError(
            f"bundle '{card.name}' (trained for rig '{card.rig}') does not fit rig '{rig.name}': {reason}; "
            "choose another bundle or train one for this rig"
        )


def _misfit(card: FocusCard, rig: RigConfig) -> str | None:
    if card.input.channels != 3:
        return f"it takes {card.input.channels} channel(s), frames have 3"
    if not _within(rig.optics.na, card.optics.na, NA_FACTOR):
        return f"NA {rig.optics.na:g}, trained for {card.optics.na:g}"
    if not _within(rig.optics.dof_um, card.optics.dof_um, DOF_FACTOR):
        return f"depth of field {rig.optics.dof_um:g} um, trained for {card.optics.dof_um:g} um"
    enlarged = rig.optics.um_per_px / card.input.um_per_px
    if enlarged > MAX_UPSAMPLING:
        return (
            f"its {card.input.um_per_px:g} um per pixel are finer than the camera's "
            f"{rig.optics.um_per_px:g} um: windows would be enlarged {enlarged:.2f} times, "
            f"at most {MAX_UPSAMPLING:g} is allowed"
        )
    width, height = window_px(card.input, rig.optics.um_per_px)
    if width > rig.camera.width_px or height > rig.camera.height_px:
        return (
            f"its field is {width}x{height} camera pixels, a frame has only "
            f"{rig.camera.width_px}x{rig.camera.height_px}"
        )
    travel_um = (rig.axis.max_steps - rig.axis.min_steps) * rig.axis.um_per_step
    if travel_um < card.trained_range_um:
        return (
            f"the axis travels {travel_um:g} um in all, the network sends it up to "
            f"{card.trained_range_um:g} um away"
        )
    return None


def _within(value: float, nominal: float, factor: float) -> bool:
    return nominal / factor <= value <= nominal * factor
