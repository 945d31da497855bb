"""wormfocus: single-shot autofocus for microscopes that follow a moving C. elegans."""

__all__ = ["__version__"]

__version__ = "0.1.0"
