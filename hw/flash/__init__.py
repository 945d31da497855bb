"""From Raspberry Pi OS to a running rig: wheelhouse, first-boot files, install script, service."""
