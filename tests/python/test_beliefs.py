"""The built-in reducer over Python's events, against the shared vectors."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import provara
import pytest
from provara.errors import UsageError
from samples import VECTORS

CASES: list[dict[str, Any]] = json.loads((VECTORS / "beliefs.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[str(case["seed"]) for case in CASES])
def test_vectors(case: dict[str, Any]) -> None:
    state = provara.beliefs(case["events"])
    assert state == json.loads(case["canonical_state_json"])
    assert state["metadata"]["state_hash"] == case["state_hash"]


def test_there_are_vectors() -> None:
    assert len(CASES) >= 60


def test_events_are_left_alone_and_read_lazily() -> None:
    payload = {"subject": "s", "predicate": "p", "value": [1], "confidence": 0.9}
    event = {"type": "OBSERVATION", "event_id": "evt_1", "actor": "a", "payload": payload}
    before = json.dumps(event)
    state = provara.beliefs(item for item in [event, MappingProxyType(event)])
    assert json.dumps(event) == before
    assert state["metadata"]["event_count"] == 2
    assert state["local"]["s:p"]["confidence"] == 0.9


def test_no_events() -> None:
    state = provara.beliefs([])
    assert state["metadata"]["event_count"] == 0
    assert state["metadata"]["last_event_id"] is None


@pytest.mark.parametrize("events", [[1], ["text"], [{"a": float("nan")}], [{"a": {1}}]])
def test_what_is_no_event(events: Any) -> None:
    with pytest.raises(UsageError):
        provara.beliefs(events)
    with pytest.raises(TypeError):
        provara.beliefs(7)  # type: ignore[arg-type]


def test_an_exception_of_the_iterable_passes_through() -> None:
    def events() -> Any:
        yield {"type": "OBSERVATION"}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        provara.beliefs(events())
