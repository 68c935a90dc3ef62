"""Characters that a terminal would act upon: escaped on a terminal, untouched in a pipe."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from support import Provara

HOSTILE = "a\x7f\u009b31m\u202e\u0085x"


def on_a_terminal(provara: Provara, *arguments: str | Path) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [str(provara.executable), *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=theirs, stderr=theirs, env=provara.environment, cwd=provara.home
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() == 0, written
    return written.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "VAULT", "--format", "ndjson"],
        ["query", "VAULT", "--json"],
        ["query", "VAULT", "--format", "ndjson", "--fields", "payload.value"],
        ["query", "VAULT", "--format", "csv"],
        ["query", "VAULT", "--fields", "payload.value"],
        ["delta", "export", "VAULT", "--output", "-"],
        ["show", "VAULT", "ID"],
        ["show", "VAULT", "ID", "--json"],
    ],
    ids=" ".join,
)
def test_nothing_reaches_a_terminal(provara: Provara, tmp_path: Path, arguments: list[str]) -> None:
    vault = tmp_path / "v"
    provara.run("init", vault)
    data = json.dumps({"subject": "s", "predicate": "p", "value": HOSTILE}, ensure_ascii=False)
    provara.run("append", vault, "--type", "OBSERVATION", "--data", data)
    events = json.loads(provara.run("query", vault, "--last", "1", "--json").stdout)
    assert events[0]["payload"]["value"] == HOSTILE
    names = {"VAULT": str(vault), "ID": events[0]["event_id"]}
    command = [names.get(word, word) for word in arguments]
    shown = on_a_terminal(provara, *command)
    assert "31m" in shown
    assert not [c for c in HOSTILE if not c.isascii() and c in shown] and "\x7f" not in shown
    if "ndjson" in arguments:
        last = json.loads(shown.splitlines()[-1])
        assert last.get("payload.value") == HOSTILE or last["payload"]["value"] == HOSTILE
    if "ndjson" in arguments or "--json" in arguments or "-" in arguments:
        assert HOSTILE in provara.run(*command).stdout, "a pipe gets the log's own bytes"
