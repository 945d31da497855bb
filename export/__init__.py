"""Workstation: convert, quantize, verify and bundle a trained network."""
