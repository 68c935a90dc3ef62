from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from acme_provara_plugins import CSVExportPlugin, SplunkExportPlugin, _progress


def test_csv_holds_every_event(vault: Path, tmp_path: Path, events: list[dict[str, Any]]) -> None:
    output = tmp_path / "out.csv"
    CSVExportPlugin().export(str(vault), str(output))
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["event_id"] for row in rows] == [event["event_id"] for event in events]
    assert [json.loads(row["payload"]) for row in rows] == [event["payload"] for event in events]


def test_csv_cells_are_no_formulas(vault: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    CSVExportPlugin().export(str(vault), str(output))
    with output.open(newline="", encoding="utf-8") as file:
        assert [row["actor"] for row in csv.DictReader(file)] == ["gate", "'=gate()", "sensor"]


def test_splunk_objects(vault: Path, tmp_path: Path, events: list[dict[str, Any]]) -> None:
    output = tmp_path / "out.hec"
    SplunkExportPlugin().export(str(vault), str(output))
    objects = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [item["event"] for item in objects] == events
    assert {item["source"] for item in objects} == {"provara:vault-1"}
    assert {item["sourcetype"] for item in objects} == {"provara:event"}
    assert [item["time"] for item in objects] == [
        "1769860800.250000",
        "1769860801.000000",
        "-0.500000",
    ]
    assert objects[0]["fields"] == {
        "event_id": "evt_000000000000000000000001",
        "type": "com.acme.audit.login",
        "actor": "gate",
        "actor_key_id": "bp1_0000000000000000",
    }


@pytest.mark.parametrize("timestamp", ["yesterday", "2026-01-31T12:00:00", None])
def test_splunk_leaves_out_a_time_that_it_cannot_tell(
    vault: Path, tmp_path: Path, events: list[dict[str, Any]], timestamp: str | None
) -> None:
    log = vault / "events" / "events.ndjson"
    log.write_text(json.dumps({**events[0], "timestamp_utc": timestamp}) + "\n")
    output = tmp_path / "out.hec"
    SplunkExportPlugin().export(str(vault), str(output))
    assert "time" not in json.loads(output.read_text())


def test_exports_only_read_the_vault(vault: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in vault.rglob("*") if path.is_file()}
    for plugin in (CSVExportPlugin(), SplunkExportPlugin()):
        plugin.export(str(vault), str(tmp_path / plugin.name))
    assert {path: path.read_bytes() for path in vault.rglob("*") if path.is_file()} == before


def test_large_vaults_show_progress(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    vault: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(_progress, "EVERY", 2)
    CSVExportPlugin().export(str(vault), str(tmp_path / "out.csv"))
    captured = capsys.readouterr()
    assert captured.err == "csv: 2 events\n"
    assert captured.out == ""
