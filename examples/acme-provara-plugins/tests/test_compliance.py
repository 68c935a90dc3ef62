from __future__ import annotations

import copy
from typing import Any

from acme_provara_plugins import ComplianceReducer


def test_reports_failed_logins_in_order(events: list[dict[str, Any]]) -> None:
    assert ComplianceReducer().reduce(iter(events)) == {
        "compliance_version": "1.0",
        "total_violations": 1,
        "violations": [
            {
                "event_id": "evt_000000000000000000000002",
                "violation": "failed_login",
                "timestamp": "2026-01-31T12:00:01+00:00",
            }
        ],
    }


def test_an_empty_log_has_no_violations() -> None:
    assert ComplianceReducer().reduce(iter([]))["total_violations"] == 0


def test_a_login_without_a_result_counts_as_failed(events: list[dict[str, Any]]) -> None:
    del events[0]["payload"]
    assert ComplianceReducer().reduce(iter(events))["total_violations"] == 2


def test_is_pure(events: list[dict[str, Any]]) -> None:
    reducer = ComplianceReducer()
    before = copy.deepcopy(events)
    assert reducer.reduce(iter(events)) == reducer.reduce(iter(events))
    assert events == before
