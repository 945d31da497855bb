"""The focus axis, measured through the camera: direction, backlash, settle time, scale, missed steps."""
