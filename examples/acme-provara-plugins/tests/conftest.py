from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

EVENTS: list[dict[str, Any]] = [
    {
        "type": "com.acme.audit.login",
        "event_id": "evt_000000000000000000000001",
        "actor": "gate",
        "actor_key_id": "bp1_0000000000000000",
        "timestamp_utc": "2026-01-31T12:00:00.250000Z",
        "payload": {"user_id": "alice", "success": True, "ip_address": "192.168.1.1"},
    },
    {
        "type": "com.acme.audit.login",
        "event_id": "evt_000000000000000000000002",
        "actor": "=gate()",
        "actor_key_id": "bp1_0000000000000000",
        "timestamp_utc": "2026-01-31T12:00:01+00:00",
        "payload": {"user_id": 'münch, "m"', "success": False, "ip_address": "192.168.1.2"},
    },
    {
        "type": "OBSERVATION",
        "event_id": "evt_000000000000000000000003",
        "actor": "sensor",
        "timestamp_utc": "1969-12-31T23:59:59.5Z",
        "payload": {"subject": "door", "predicate": "is", "value": "open\nwide"},
    },
]


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return copy.deepcopy(EVENTS)


@pytest.fixture
def vault(tmp_path: Path, events: list[dict[str, Any]]) -> Path:
    """A directory with the parts of a vault that an export reads."""
    vault = tmp_path / "vault"
    (vault / "events").mkdir(parents=True)
    (vault / "identity").mkdir()
    lines = [json.dumps(event, ensure_ascii=False) + "\n" for event in events]
    (vault / "events" / "events.ndjson").write_text("".join(lines), encoding="utf-8")
    (vault / "identity" / "genesis.json").write_text('{"uid": "vault-1"}', encoding="utf-8")
    return vault
