"""The real camera of a rig: picamera2 on a Raspberry Pi."""
