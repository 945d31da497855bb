"""Workstation: networks, datasets, recipes, training and evaluation."""
