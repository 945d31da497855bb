"""On the rig, every frame: track, crop, predict, decide, move; the session log."""
