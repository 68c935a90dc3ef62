"""Batches with types of plugins: which record is refused, and what is kept of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import Provara

NAME = "com.example.costly.event"

#: A schema that is quick for all data but such as has 'bad', for which it takes for ever.
PLUGIN = f"""
def level(n):
    deeper = {{"properties": {{"n": {{"$ref": f"#/$defs/{{n + 1}}"}}}}, "not": {{}}}}
    return {{"anyOf": [deeper, deeper]}}

class Event:
    name = "{NAME}"
    schema = {{
        "type": "object",
        "properties": {{"ok": {{"type": "boolean"}}, "bad": {{"$ref": "#/$defs/0"}}}},
        "$defs": {{str(n): level(n) for n in range(60)}} | {{"60": {{}}}},
    }}
    def validate(self, data): return not data.get("odd")
    def cli_command(self): return None
"""


def nested(depth: int) -> dict[str, object]:
    return {"n": nested(depth - 1)} if depth else {}


@pytest.fixture
def plugin(provara: Provara, tmp_path: Path) -> Provara:
    (tmp_path / "costly.py").write_text(PLUGIN)
    return provara.with_environment(PYTHONPATH=str(tmp_path), PROVARA_PLUGINS="costly:Event")


def record(**data: object) -> str:
    return json.dumps({"type": NAME, "data": data}) + "\n"


def test_the_record_that_could_not_be_judged_is_named(
    plugin: Provara, vault: Path, tmp_path: Path
) -> None:
    """The records of a group are judged together; one of them is the reason."""
    lines = tmp_path / "lines"
    lines.write_text(record(ok=True) * 500 + record(bad=nested(60)) + record(ok=True) * 10)
    before = (vault / "events" / "events.ndjson").read_bytes()
    outcome = plugin.run("append", vault, "--batch", lines, "--timeout", "3", expect=4)
    told = "Line 501 of the batch was refused; 500 events of the batch are in and sealed"
    assert told in outcome.stderr, str(outcome)
    after = (vault / "events" / "events.ndjson").read_bytes()
    assert after[len(before) :].count(b"\n") == 500
    plugin.run("verify", vault, "--strict")


def test_what_a_schema_and_a_plugin_refuse_is_kept(
    plugin: Provara, vault: Path, tmp_path: Path
) -> None:
    lines, rejects = tmp_path / "lines", tmp_path / "rejects"
    lines.write_text(
        "\n".join(
            (
                record(ok=True),
                record(ok=1),
                record(odd=True),
                record(ok=2),
                json.dumps({"type": "com.example.nobody.knows", "data": {}}),
                record(ok=False),
            )
        )
    )
    words: list[str | Path] = ["append", vault, "--batch", lines, "--rejects", rejects]
    for more in (["--dry-run"], []):
        outcome = plugin.run(*words, *more, expect=2)
        kept = [json.loads(line) for line in rejects.read_text().split("\n") if line]
        assert [(it["line"], it["code"]) for it in kept] == [
            (3, "schema"),
            (5, "plugin"),
            (7, "schema"),
            (9, "type"),
        ], str(outcome)
        assert "1 is not a boolean" in kept[0]["reason"]
        assert kept[2]["record"] == {"type": NAME, "data": {"ok": 2}}
    assert "4 records of the batch were refused; 2 events" in outcome.stderr
    listed = plugin.run("query", vault, "--type", NAME, "--format", "ndjson").stdout
    assert listed.count("\n") == 2
    # What ends the plugins ends the batch, and what was refused before is told all the same.
    lines.write_text(record(ok=3) + record(bad=nested(60)))
    plugin.run(*words, "--timeout", "3", expect=4)
    assert json.loads(rejects.read_text())["line"] == 1


def test_real_records_come_back_as_they_went_in(provara: Provara, tmp_path: Path) -> None:
    """The script of the benchmarks, with fewer records."""
    script = Path(__file__).resolve().parents[2] / "benches" / "real_records.py"
    done = subprocess.run(
        [sys.executable, script, "--count", "60", "--provara", provara.executable],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("csv equal") == 5
