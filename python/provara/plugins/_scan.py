"""Finding entry points without :mod:`importlib.metadata`, for the host process.

Importing that module costs more than all the rest of the host's start, on every command that
needs a plugin.  What it would find is a short read away: the ``entry_points.txt`` of each
distribution on ``sys.path``.  Where anything unusual is in play (a finder with a notion of
distributions of its own, an archive on the path), :func:`entry_points` declines, and the caller
asks :mod:`importlib.metadata`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_STANDARD_FINDERS = frozenset({"BuiltinImporter", "FrozenImporter", "PathFinder"})


class Distribution:
    """The part of a distribution's metadata that messages show."""

    __slots__ = ("name", "version")

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version


class EntryPoint:
    """What the registry uses of ``importlib.metadata.EntryPoint``."""

    __slots__ = ("directory", "dist", "name", "value")

    def __init__(self, name: str, value: str, dist: Distribution, directory: str = "") -> None:
        self.name = name
        self.value = value
        self.dist = dist
        #: Where the distribution's metadata lies.
        self.directory = directory

    def load(self) -> Any:
        """Import the module and return the object in it."""
        module, _, attribute = self.value.split("[", 1)[0].strip().partition(":")
        module = module.strip()
        __import__(module)
        found: Any = sys.modules[module]
        for name in filter(None, attribute.strip().split(".")):
            found = getattr(found, name)
        return found


def entry_points(group: str) -> list[EntryPoint] | None:
    """Return the entry points of a group, or ``None`` where this module cannot be sure."""
    for finder in sys.meta_path:
        standard = getattr(finder, "__name__", None) in _STANDARD_FINDERS
        if not standard and hasattr(finder, "find_distributions"):
            return None
    found: list[EntryPoint] = []
    seen: set[str] = set()
    for entry in dict.fromkeys(sys.path):
        if os.path.isfile(entry):
            return None
        for directory in _distributions(entry):
            name = _key(os.path.basename(directory))
            # Of two versions of one distribution the first on the path counts. What an upgrade
            # left behind, a directory without the file that makes it metadata, is none.
            if name not in seen and _is_metadata(directory):
                seen.add(name)
                found += _points(directory, group)
    return found


def _distributions(entry: str) -> list[str]:
    try:
        with os.scandir(entry or ".") as entries:
            names = [item.name for item in entries]
    except OSError:
        return []
    return [
        os.path.join(entry, name)
        for name in sorted(names)
        if name.endswith((".dist-info", ".egg-info"))
    ]


def _is_metadata(directory: str) -> bool:
    """Tell whether a directory has the file that names its distribution."""
    if directory.endswith(".egg-info"):
        # One file, in the oldest form.
        return os.path.exists(os.path.join(directory, "PKG-INFO")) or os.path.isfile(directory)
    return os.path.exists(os.path.join(directory, "METADATA"))


def _key(directory: str) -> str:
    """Return the normalised name of the distribution that a metadata directory belongs to."""
    name = directory.rpartition(".")[0].partition("-")[0]
    return name.lower().replace(".", "_").replace("-", "_")


def _points(directory: str, group: str) -> Iterator[EntryPoint]:
    text = _read(os.path.join(directory, "entry_points.txt"))
    if text is None or group not in text:
        return
    distribution = _identity(directory)
    section = None
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == group:
            name, separator, value = line.partition("=")
            if separator:
                yield EntryPoint(name.strip(), value.strip(), distribution, directory)


def _identity(directory: str) -> Distribution:
    """Read name and version from the headers of the metadata."""
    text = _read(os.path.join(directory, "METADATA"))
    if text is None:
        text = _read(os.path.join(directory, "PKG-INFO")) or ""
    headers = {"name": "", "version": ""}
    for line in text.splitlines():
        if not line:
            break
        label, _, value = line.partition(":")
        if headers.get(label.lower()) == "":
            headers[label.lower()] = value.strip()
    name = headers["name"] or os.path.basename(directory).partition("-")[0]
    return Distribution(name, headers["version"])


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return None
