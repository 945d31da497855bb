"""Which pixels of the sensor go where: the main picture, the tracker's preview, and the crop.

One pixel of the picture is always one pixel of the sensor's mode: the rig's `um_per_px` holds, and nothing
is resampled. A picture smaller than the mode is cut out of it.
"""

from dataclasses import dataclass

from hw.errors import ConfigError
from hw.picamera.config import PicameraConfig

__all__ = ["Layout", "Rectangle", "lay_out"]

Size = tuple[int, int]
# Left, top, width, height.
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in pixels of the sensor's mode, (width, height).

    Attributes
    ----------
    main : the picture
    preview : the whole picture again, smaller, for the tracker; None for none
    sensor : the sensor's mode
    crop : where in the mode the picture lies
    """

    main: Size
    preview: Size | None
    sensor: Size
    crop: Rectangle

    def scaler_crop(self, whole: Rectangle) -> Rectangle:
        """Return the crop in the sensor's native pixels.

        Parameters
        ----------
        whole : what the mode shows of the sensor, native pixels; libcamera's largest `ScalerCrop`
        """
        x_scale, y_scale = whole[2] / self.sensor[0], whole[3] / self.sensor[1]
        return (
            whole[0] + round(self.crop[0] * x_scale),
            whole[1] + round(self.crop[1] * y_scale),
            round(self.crop[2] * x_scale),
            round(self.crop[3] * y_scale),
        )


def lay_out(width_px: int, height_px: int, section: PicameraConfig) -> Layout:
    """Lay out streams and crop for a picture of `camera.width_px` by `camera.height_px`.

    Raises
    ------
    ConfigError
        Sizes that do not go together; the message starts with the key.
    """
    if width_px % 2 or height_px % 2:
        raise ConfigError(f"camera: {width_px}x{height_px} px; a Pi camera needs an even width and height")
    reduction = section.preview_reduction
    preview = None
    if reduction:
        preview = (width_px // reduction, height_px // reduction)
        # A YUV picture has one colour sample for two pixels, either way.
        if width_px % (2 * reduction) or height_px % (2 * reduction):
            raise ConfigError(
                f"picamera.preview_reduction: {reduction} does not divide {width_px}x{height_px} px into "
                "even numbers; choose another, or 0 for no preview"
            )
    sensor = (section.sensor_width_px or width_px, section.sensor_height_px or height_px)
    if sensor[0] < width_px or sensor[1] < height_px:
        raise ConfigError(
            f"picamera.sensor_width_px: the mode of {sensor[0]}x{sensor[1]} px is smaller than the picture "
            f"of {width_px}x{height_px} px; make camera.width_px and height_px fit"
        )
    spare = (sensor[0] - width_px, sensor[1] - height_px)
    x = spare[0] // 2 if section.crop_x_px is None else section.crop_x_px
    y = spare[1] // 2 if section.crop_y_px is None else section.crop_y_px
    if x > spare[0] or y > spare[1]:
        raise ConfigError(
            f"picamera.crop_x_px: a picture of {width_px}x{height_px} px at ({x}, {y}) leaves the mode of "
            f"{sensor[0]}x{sensor[1]} px; at most ({spare[0]}, {spare[1]})"
        )
    return Layout((width_px, height_px), preview, sensor, (x, y, width_px, height_px))
