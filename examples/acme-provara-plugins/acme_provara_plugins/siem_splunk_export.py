"""The export format ``siem-splunk``: events for Splunk's HTTP Event Collector (HEC).

The output is what the collector's endpoint ``/services/collector/event`` takes: JSON objects,
one a line here. Send it with, for example::

    provara export VAULT --format siem-splunk --output events.hec
    curl https://splunk.example:8088/services/collector/event \
        -H "Authorization: Splunk $TOKEN" --data-binary @events.hec
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from provara.plugins import ExportPlugin
from provara.sync_v0 import iter_events

from acme_provara_plugins._progress import with_progress

SOURCETYPE = "provara:event"

#: Members of an event that become indexed fields, so that searches need not open the event.
INDEXED = ("event_id", "type", "actor", "actor_key_id")

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class SplunkExportPlugin(ExportPlugin):
    """One HEC object a line, in the order of the log.

    ``time`` is the event's own time in seconds since 1970, ``source`` names the vault by its
    uid, and ``event`` is the whole event with its signature, so that what Splunk shows can be
    checked against the vault.
    """

    name = "siem-splunk"

    def export(self, vault_path: str, output_path: str) -> None:
        """Write the objects."""
        vault = Path(vault_path)
        source = f"provara:{_uid(vault)}"
        events = iter_events(vault / "events" / "events.ndjson")
        with open(output_path, "w", encoding="utf-8", newline="\n") as file:
            for event in with_progress(events, self.name):
                json.dump(_envelope(event, source), file, ensure_ascii=False)
                file.write("\n")


def _uid(vault: Path) -> str:
    genesis = json.loads((vault / "identity" / "genesis.json").read_text(encoding="utf-8"))
    return str(genesis["uid"])


def _envelope(event: dict[str, Any], source: str) -> dict[str, Any]:
    """Put an event into the collector's envelope."""
    envelope: dict[str, Any] = {
        "source": source,
        "sourcetype": SOURCETYPE,
        "fields": {name: event[name] for name in INDEXED if isinstance(event.get(name), str)},
        "event": event,
    }
    time = _epoch_seconds(event.get("timestamp_utc"))
    if time is not None:
        # Without `time` the collector would put the moment of its arrival.
        envelope["time"] = time
    return envelope


def _epoch_seconds(timestamp: object) -> str | None:
    """Return seconds since 1970 with six decimals, as text: a float would round them."""
    if not isinstance(timestamp, str):
        return None
    try:
        moment = datetime.fromisoformat(_normalised(timestamp))
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    delta = moment - _EPOCH
    micros = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}{micros // 1_000_000}.{micros % 1_000_000:06d}"


def _normalised(timestamp: str) -> str:
    """Give a timestamp the form that ``fromisoformat`` of every Python from 3.10 on reads."""
    if timestamp.endswith(("Z", "z")):
        timestamp = timestamp[:-1] + "+00:00"
    main, dot, rest = timestamp.partition(".")
    if not dot:
        return timestamp
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{main}.{digits[:6]:0<6}{rest[len(digits) :]}"
