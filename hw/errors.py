"""Every error that wormfocus raises on purpose has one root, and is also the builtin a caller would expect.

A message names the thing, the reason and the next step, in one line.
"""

__all__ = [
    "AxisFault",
    "BundleError",
    "CameraStalled",
    "CameraUnavailable",
    "ConfigError",
    "GpioUnavailable",
    "ProcessDied",
    "StackError",
    "WormfocusError",
]


class WormfocusError(Exception):
    """Root of all errors raised on purpose."""


class ConfigError(WormfocusError, ValueError):
    """A rig file, recipe or option is wrong."""


class StackError(WormfocusError, ValueError):
    """A z-stack, its label or a folder of stacks cannot be used."""


class BundleError(WormfocusError, ValueError):
    """A bundle is damaged, or does not fit the rig."""


class AxisFault(WormfocusError, RuntimeError):
    """The focus axis refuses or has latched a fault."""


class CameraStalled(WormfocusError, TimeoutError):
    """The camera delivered no frame within its bounded time."""


class CameraUnavailable(WormfocusError, RuntimeError):
    """The camera or its library is missing, or cannot do what the rig file asks for."""


class GpioUnavailable(WormfocusError, RuntimeError):
    """The GPIO library, chip or line that the rig file asks for cannot be had."""


class ProcessDied(WormfocusError, RuntimeError):
    """One of several processes that work together was ended from outside."""
