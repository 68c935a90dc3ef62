"""Reducers that return what is not JSON, one for each way."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any


class SetReducer:
    name = "com.example.not_json.set"

    def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
        return {"actors": {"alice", "bob"}}


class NanReducer:
    name = "com.example.not_json.nan"

    def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
        return {"mean": float("nan")}


class InfinityReducer:
    name = "com.example.not_json.infinity"

    def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
        return {"rate": float("inf")}


class KeyReducer:
    name = "com.example.not_json.key"

    def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
        return {(1, 2): "a key that is no string"}


class CycleReducer:
    name = "com.example.not_json.cycle"

    def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
        cycle: dict[str, Any] = {}
        cycle["self"] = cycle
        return cycle


class SurrogateReducer:
    name = "com.example.not_json.surrogate"

    def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
        return {"text": "\ud800"}


class DateReducer:
    name = "com.example.not_json.date"

    def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
        return {"on": datetime.date(2026, 1, 1)}


class IntegerReducer:
    name = "com.example.not_json.integer"

    def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
        return {"count": 2**60}
