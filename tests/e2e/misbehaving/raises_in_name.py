"""Cannot say what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class NamelessReducer:
    @property
    def name(self) -> str:
        raise RuntimeError("the name is broken")

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {}
