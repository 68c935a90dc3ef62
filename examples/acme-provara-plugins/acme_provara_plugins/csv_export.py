"""The export format ``csv``: a table for spreadsheets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from provara.plugins import ExportPlugin
from provara.sync_v0 import iter_events

from acme_provara_plugins._progress import with_progress

COLUMNS = ["event_id", "type", "timestamp_utc", "actor", "payload"]

#: A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class CSVExportPlugin(ExportPlugin):
    """One row an event; the payload is JSON in the last column.

    Provara's own format of this name gives way to a plugin's.
    """

    name = "csv"

    def export(self, vault_path: str, output_path: str) -> None:
        """Write the table. The vault is only read; nothing but ``output_path`` is written."""
        log = Path(vault_path) / "events" / "events.ndjson"
        # newline="" leaves the line ends to the csv module, as RFC 4180 has them.
        with open(output_path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=COLUMNS)
            writer.writeheader()
            for event in with_progress(iter_events(log), self.name):
                row = {column: _plain(str(event.get(column, ""))) for column in COLUMNS[:-1]}
                row["payload"] = json.dumps(event.get("payload", {}), ensure_ascii=False)
                writer.writerow(row)


def _plain(cell: str) -> str:
    """Keep a cell from being run as a formula: whoever appends events chooses these texts."""
    return "'" + cell if cell.startswith(_FORMULA_STARTS) else cell
