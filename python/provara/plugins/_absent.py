"""Calls that change a file's mode or times, for a file that is not there.

In the sandbox the kernel answers these calls with success and does nothing, whatever they name.
Programs rely on the one answer that must stay: that there is no such file.  ``Path.touch()``
makes a file only after ``utime`` has said so.  Python announces the calls to audit hooks (PEP 578)
before it makes them, whichever module asks.
"""

from __future__ import annotations

import os
import sys

_CALLS = frozenset({"os.chmod", "os.utime"})

_watching = False


def watch() -> None:
    """Begin to look; a hook cannot be taken away again."""
    global _watching
    if not _watching:
        _watching = True
        sys.addaudithook(_look)


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _CALLS:
        return
    path, directory = arguments[0], arguments[-1]
    if isinstance(path, (str, bytes)):
        # A link is there whatever it leads to.
        if isinstance(directory, int) and directory >= 0:
            os.stat(path, dir_fd=directory, follow_symlinks=False)
        else:
            os.stat(path, follow_symlinks=False)
