"""Z-stacks: what they are, and how they are read and written.

The code stands in `hw`, whose replayed rig reads stacks too.
"""

from hw.plane_folder import read_plane_folder, read_recording
from hw.zstack import STACK_SUFFIX, ZStack, find_stacks, read_stack, stack_name, write_stack

__all__ = [
    "STACK_SUFFIX",
    "ZStack",
    "find_stacks",
    "read_plane_folder",
    "read_recording",
    "read_stack",
    "stack_name",
    "write_stack",
]
