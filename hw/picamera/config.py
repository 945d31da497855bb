"""The rig file's `picamera` section."""

from typing import Annotated, Literal

from pydantic import Field

from hw.section import Section

__all__ = ["PicameraConfig"]

Positive = Annotated[float, Field(gt=0)]
Pixels = Annotated[int, Field(gt=0)]


class PicameraConfig(Section):
    """How picamera2 runs the camera; sizes and frame rate are those of `camera`."""

    number: Annotated[int, Field(ge=0)] = Field(
        0, description="Which camera, as `rpicam-hello --list-cameras` counts them."
    )
    main_format: Literal["BGR888", "NV12"] = Field(
        "BGR888",
        description="What the camera delivers: BGR888, which is RGB in memory, from a Pi's ISP; NV12, turned "
        "into RGB by the processor, from a camera that has no better.",
    )
    preview_reduction: Annotated[int, Field(ge=0)] = Field(
        2,
        description="The tracker's stream has this share of `camera`'s width and height; 0 for none.",
    )
    sensor_width_px: Pixels | None = Field(
        None, description="Sensor mode; `camera.width_px` when absent. A larger one is cropped, never scaled."
    )
    sensor_height_px: Pixels | None = Field(None, description="Sensor mode; `camera.height_px` when absent.")
    crop_x_px: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Left edge of the picture in pixels of the sensor mode; in its middle when absent."
    )
    crop_y_px: Annotated[int, Field(ge=0)] | None = Field(None, description="Its upper edge, likewise.")
    readout_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Time from the first row's exposure to the last row's (rolling shutter), s."
    )
    exposure: Literal["fixed", "auto_then_lock", "camera"] = Field(
        "fixed",
        description="fixed: `camera.exposure_s` and `analogue_gain`; auto_then_lock: measured at the start, "
        "then locked at `camera.exposure_s` or shorter with the gain that it needs; camera: left to a camera "
        "that has no such controls.",
    )
    analogue_gain: Annotated[float, Field(ge=1)] = Field(1.0, description="Gain of a fixed exposure.")
    colour_gains: tuple[Positive, Positive] | None = Field(
        None, description="Red and blue gain; measured at the start, then locked, when absent."
    )
    auto_timeout_s: Positive = Field(
        4.0, description="Longest wait until exposure and white balance have settled, s; locked then anyway."
    )
    buffers: Annotated[int, Field(ge=4)] = Field(
        6, description="Frame buffers of each stream; the camera needs three, frames in use hold the rest."
    )
    start_timeout_s: Positive = Field(5.0, description="Longest wait for the first frame after a start, s.")
    restarts: Annotated[int, Field(ge=0)] = Field(
        2, description="Restarts of a stalled camera before it is given up."
    )
    restart_timeout_s: Positive = Field(
        5.0,
        description="Longest that a restart may take, besides its first frame, before the camera counts as "
        "hung, s.",
    )
