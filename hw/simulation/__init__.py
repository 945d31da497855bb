"""A microscope simulated with wave optics, in virtual time, deterministic from its seed."""
