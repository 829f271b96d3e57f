"""Lists a folder in the form of expected/: listing.py FOLDER. Any restore of a backup must give the backup's listing.

One line for each file, folder and link below FOLDER, sorted by path:

    kind mode uid:gid mtime size sha256 path

kind: f file, d folder, l link. mode: octal, `-` for a link. mtime: seconds since 1970, a dot, nine digits of nanoseconds
(1.5 s before 1970 is -2.500000000). size and sha256: of a file's content or a link's target, `-` for a folder. path:
each byte but letters, digits and `/._-` as `%` and two hexadecimal digits.
"""

import hashlib
import os
import stat
import sys
from urllib.parse import quote_from_bytes

SAFE = "/._-"


def listing(root: str) -> list[str]:
    """The lines for everything below `root`, itself left out."""
    paths = []
    for folder, folders, files in os.walk(os.fsencode(root)):
        paths += [os.path.join(folder, name) for name in folders + files]
    return [_line(path, os.path.relpath(path, os.fsencode(root))) for path in sorted(paths)]


def _line(path: bytes, shown: bytes) -> str:
    found = os.lstat(path)
    mtime = f"{found.st_mtime_ns // 10**9}.{found.st_mtime_ns % 10**9:09}"
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    if stat.S_ISDIR(found.st_mode):
        kind, size, digest = "d", "-", "-"
    elif stat.S_ISLNK(found.st_mode):
        target = os.readlink(path)
        kind, mode, size, digest = "l", "-", len(target), hashlib.sha256(target).hexdigest()
    else:
        with open(path, "rb") as file:
            kind, size, digest = "f", found.st_size, hashlib.file_digest(file, "sha256").hexdigest()
    return f"{kind} {mode} {found.st_uid}:{found.st_gid} {mtime} {size} {digest} {quote_from_bytes(shown, safe=SAFE)}"


if __name__ == "__main__":
    print("\n".join(listing(sys.argv[1])))
