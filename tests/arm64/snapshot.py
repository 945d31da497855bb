"""Every file below a folder with type, mode, owner, time of change of its content, and checksum."""

import hashlib
import os
import stat
import sys
from pathlib import Path

# Mounted or emptied by the machine that runs the root, not by what runs in it.
ELSEWHERE = ("proc", "sys", "dev", "run", "tmp")


def main(root: Path) -> int:
    for folder, folders, files in os.walk(root):
        folders.sort()
        if Path(folder) == root:
            folders[:] = [name for name in folders if name not in ELSEWHERE]
        for name in sorted((*folders, *files)):
            path = Path(folder, name)
            state = path.lstat()
            content = "-"
            if stat.S_ISLNK(state.st_mode):
                content = str(path.readlink())
            elif stat.S_ISREG(state.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            print(
                path.relative_to(root),
                stat.filemode(state.st_mode),
                f"{state.st_uid}:{state.st_gid}",
                state.st_mtime_ns,
                content,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
