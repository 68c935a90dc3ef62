"""The reducer ``com.acme.compliance.monitor``: which events break ACME's policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provara.plugins import ReducerPlugin


class ComplianceReducer(ReducerPlugin):
    """Report every failed login.

    A reducer is a pure function of the events: no clock, no randomness, no files. It keeps
    nothing on ``self``, so that a second run starts from nothing, and it reads the iterator
    once, event by event, so that the log may be larger than memory.
    """

    name = "com.acme.compliance.monitor"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        """Return the violations in the order of the log."""
        violations = []
        for event in events:
            if event.get("type") != "com.acme.audit.login":
                continue
            # A log may hold events that were appended before this plugin was installed:
            # nothing about the payload is certain.
            if event.get("payload", {}).get("success") is not True:
                violations.append(
                    {
                        "event_id": event["event_id"],
                        "violation": "failed_login",
                        "timestamp": event["timestamp_utc"],
                    }
                )
        return {
            "compliance_version": "1.0",
            "total_violations": len(violations),
            "violations": violations,
        }
