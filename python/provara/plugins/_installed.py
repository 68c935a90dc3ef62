"""Where an installed distribution comes from, as its installer noted it (PEP 610)."""

from __future__ import annotations

from typing import NamedTuple


class Home(NamedTuple):
    """Where a distribution was installed from that came from no index."""

    #: The project's directory or the URL; ``None`` where the installer noted none.
    place: str | None
    #: Whether the modules lie there still.
    editable: bool


def home_of(distribution: str) -> Home | None:
    """Return where a distribution was installed from, or ``None`` for an index of packages.

    Nothing is read unless a message needs it: the module that finds it is slow to import.
    """
    import json
    from importlib import metadata
    from urllib.parse import unquote, urlsplit

    try:
        found = metadata.distribution(distribution)
        text = found.read_text("direct_url.json")
        if text is None:
            # An installer writes METADATA; a source tree on the path has the older form.
            return Home(None, True) if found.read_text("METADATA") is None else None
        record = json.loads(text)
        url = record["url"]
        editable = record.get("dir_info", {}).get("editable") is True
        parts = urlsplit(url)
        return Home(unquote(parts.path) if parts.scheme == "file" else url, editable)
    except (
        Exception
    ):  # the record is a package's own word; where it tells nothing, no index is named
        return Home(None, False)
