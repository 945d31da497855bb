"""Pictures of results: PNG files, there whole or not at all."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from hw.errors import ConfigError
from hw.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_picture", "save_picture"]


def check_picture(path: Path | None) -> None:
    """Refuse a picture that could not be written, before anything is measured.

    Raises
    ------
    ConfigError
        No PNG, or no such folder.
    """
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{path}: pictures are PNG files; name one that ends in .png")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: its folder does not exist; make it, or name another")


def save_picture(figure: "Figure", path: Path, dpi: int) -> None:
    """Write a figure as PNG; a file that is there is replaced.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    png = BytesIO()
    figure.savefig(png, dpi=dpi, format="png")
    try:
        write_whole(path, png.getvalue())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); name another file") from error
