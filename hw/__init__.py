"""The rig: configuration, clock, camera, focus axis; simulated and replayed rigs."""
