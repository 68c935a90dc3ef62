"""Progress of long exports, on stderr: stdout may be someone's data."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

#: A vault below this size is written before anyone wonders.
EVERY = 100_000


def with_progress(events: Iterable[dict[str, Any]], label: str) -> Iterator[dict[str, Any]]:
    """Pass events on, with a line on stderr after every 100,000 of them."""
    for count, event in enumerate(events, 1):
        yield event
        if count % EVERY == 0:
            print(f"{label}: {count:,} events", file=sys.stderr, flush=True)
