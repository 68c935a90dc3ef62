"""Reading event logs: one JSON object a line, UTF-8, in the order in which they were appended.

Nothing is verified here: an event is given as it stands in the file.  Use
:meth:`provara.Vault.verify` to know what it is worth.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from provara import _native

__all__ = ["iter_events", "load_events"]


def iter_events(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Iterate over the events of a log, reading it as it goes.

    Integers become ``int`` and other numbers ``float``; each event is a fresh dict.  An integer
    beyond 2**53 - 1 is a ``float``, which is equal to what was appended, but an ``int`` in a log with
    lines in the form of an older tool, which wrote integers of any length.  Bytes
    after the last line end that are not a whole JSON value belong to an append that was never
    acknowledged, and are passed over.

    Args:
        path: the log, such as ``VAULT/events/events.ndjson``.

    Raises:
        OSError: the file cannot be read.
        provara.errors.InvalidEvidenceError: (a ``ValueError``) a line is not a JSON object,
            or has a key twice; the message names the line.
    """
    return _native.EventReader(os.fspath(path))


def load_events(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the events of a log as a list; see :func:`iter_events`."""
    return list(iter_events(path))
