"""The files that the process looks at while one distribution is loaded.

The executable remembers which names a distribution has for as long as none of these changes.  It is
the distribution's own process that says so, and it speaks of nobody else: one that leaves a file out
is taken for what it was.
"""

from __future__ import annotations

import os
import sys

#: More than these are not told; the executable then remembers nothing.
MAX_FILES = 20_000

#: What an audit event (PEP 578) names that a result may depend on.
_CALLS = frozenset({"open", "os.listdir", "os.scandir"})

_looked: set[str] = set()
_modules: frozenset[str] = frozenset()
_watching = False


def watch() -> None:
    """Begin to note what is looked at; a hook cannot be taken away again."""
    global _modules, _watching
    if not _watching:
        _watching = True
        _modules = frozenset(sys.modules)
        sys.addaudithook(_note)


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in _CALLS and len(_looked) <= MAX_FILES:
        path = arguments[0]
        if isinstance(path, (str, bytes)):
            _looked.add(os.path.abspath(os.fsdecode(path)))
        elif path is None:
            _looked.add(os.getcwd())


def files() -> list[str]:
    """Return all that was looked at, with the directories that it lies in and those of modules."""
    found = set(_looked)
    for name in sys.modules.keys() - _modules:
        path = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(path, str):
            # Of a compiled module the source is asked for its time, and not opened.
            found.add(os.path.abspath(path))
    parents = {os.path.dirname(path) for path in found}
    # What other programs compile there changes nothing.
    found.update(path for path in parents if os.path.basename(path) != "__pycache__")
    found.update(map(os.path.abspath, filter(None, sys.path)))
    return sorted(found)
