"""Sweeps: many runs of one recipe with other values, shared out by Ray Tune over one machine or a cluster."""
