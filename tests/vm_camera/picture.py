"""The picture that the virtual camera shows: fields of known colour, and a worm on grey agar."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
UM_PER_PX = 5.0
# Field by field from the left, RGB; 80 pixels wide and 64 high, at the upper edge.
COLOURS = [
    (200, 40, 40),
    (40, 200, 40),
    (40, 40, 200),
    (200, 200, 40),
    (40, 200, 200),
    (200, 40, 200),
    (230, 230, 230),
    (30, 30, 30),
]
FIELD = (80, 64)
WORM_CENTRE = (330, 300)


def draw():
    """Return the picture, (H, W, 3) uint8, RGB."""
    image = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    for number, colour in enumerate(COLOURS):
        image[: FIELD[1], number * FIELD[0] : (number + 1) * FIELD[0]] = colour
    along = np.linspace(-90, 90, 60)
    points = np.stack([WORM_CENTRE[0] + along, WORM_CENTRE[1] + 25 * np.sin(along / 28)], axis=1)
    cv2.polylines(image, [np.round(points).astype(np.int32)], False, (70, 70, 70), 16, cv2.LINE_AA)
    # The tracker measures contrast against noise: a picture without any is no picture to it.
    noise = np.random.default_rng(0).normal(0, 2, (HEIGHT, WIDTH, 1))
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def write(folder):
    """Write the picture as a JPEG file, the only one in its folder, and return what JPEG left of it, RGB."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "000.jpg"
    cv2.imwrite(str(path), draw()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return cv2.imread(str(path))[..., ::-1]
