"""Make `import torchvision` work where its build does not match torch's.

A torchvision built for CUDA beside a torch built for the CPU fails on import with "operator torchvision::nms
does not exist": its compiled half cannot be loaded, and its Python half then describes operators that nobody
declared. timm and Lightning only need the Python half. Declaring the operators is enough for that.

Import this module before either of them. Where torchvision loads by itself, it does nothing.
"""

import sys

import torch

__all__ = ["declared_operators"]

_OPERATORS = ("nms", "qnms")


def _declare_if_missing() -> torch.library.Library | None:
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return None
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    # What the failed import left behind would be taken for the whole package.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


# Kept for the life of the process: the declarations go when the library object does.
declared_operators = _declare_if_missing()
