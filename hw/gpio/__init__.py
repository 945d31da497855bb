"""STEP, DIR and EN on the pins of a Raspberry Pi, by any of three libraries."""
