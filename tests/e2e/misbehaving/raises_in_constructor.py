"""Cannot be constructed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class UnbuildableReducer:
    name = "com.example.unbuildable"

    def __init__(self) -> None:
        raise RuntimeError("the constructor is broken")

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {}
