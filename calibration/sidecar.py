"""Small files beside a stack, written whole or not at all."""

from pathlib import Path

from hw.errors import StackError

__all__ = ["replace_text"]


def replace_text(path: Path, text: str) -> None:
    """Write a text file, replacing one that is there in one go.

    Raises
    ------
    StackError
        It cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise StackError(f"{path}: cannot be written ({error.strerror}); check folder and space") from error
