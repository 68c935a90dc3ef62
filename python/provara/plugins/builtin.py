"""The export formats that come with Provara: ``csv``, ``ndjson`` and ``json``.

They are fallbacks: none of them is in the registry, so a plugin that takes one of these names
registers without a collision and is used.  To make one of them count as registered, register
it: ``registry.register_export(CSVExporter())``.

The formats themselves are written by the core, the same way as by ``provara export``.
"""

from __future__ import annotations

from provara import _native
from provara.plugins.protocols import ExportPlugin

__all__ = ["NAMES", "CSVExporter", "JSONExporter", "NDJSONExporter", "get"]


class CSVExporter:
    """A table for spreadsheets, one event a row (RFC 4180, UTF-8).

    Columns: ``event_id``, ``type``, ``timestamp_utc``, ``actor``, ``payload`` (as JSON).
    """

    name = "csv"

    def export(self, vault_path: str, output_path: str) -> None:
        """Write the table."""
        _native.snapshot(vault_path).export(self.name, output_path)


class NDJSONExporter:
    """The events as they stand in the log, one a line."""

    name = "ndjson"

    def export(self, vault_path: str, output_path: str) -> None:
        """Write the lines."""
        _native.snapshot(vault_path).export(self.name, output_path)


class JSONExporter:
    """The events as one JSON array."""

    name = "json"

    def export(self, vault_path: str, output_path: str) -> None:
        """Write the array."""
        _native.snapshot(vault_path).export(self.name, output_path)


_ALL: tuple[type[CSVExporter | NDJSONExporter | JSONExporter], ...] = (
    CSVExporter,
    JSONExporter,
    NDJSONExporter,
)

#: The names of the built-in formats, sorted.
NAMES: tuple[str, ...] = tuple(cls.name for cls in _ALL)


def get(name: str) -> ExportPlugin | None:
    """Return the built-in format of this name, or ``None``."""
    for cls in _ALL:
        if cls.name == name.casefold():
            return cls()
    return None
