"""The processes that a command forks for plugins before it reads a key have nothing of what it reads then."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import Provara, Running, descendants, wait_until_gone

PLUGIN = """
import sys, time

class Event:
    name = "com.example.waits.event"
    schema = {"type": "object"}
    def validate(self, data):
        print("WAITING", file=sys.stderr, flush=True)
        time.sleep(60)
        return True
    def cli_command(self): return None
"""

pytestmark = [
    pytest.mark.usefixtures("sandboxed"),
    pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc"),
]


def memory(pid: int) -> bytes:
    """What a process can read and write of its own."""
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            place, rights, *_ = line.split()
            first, last = (int(part, 16) for part in place.split("-"))
            if rights.startswith("rw"):
                mem.seek(first)
                parts.append(mem.read(last - first))
    return b"".join(parts)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def waiting(provara: Provara, tmp_path: Path) -> Provara:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "waits.py").write_text(PLUGIN)
    return provara.with_environment(PYTHONPATH=str(modules), PROVARA_PLUGINS="waits")


def started(waiting: Provara, vault: Path, data: Path) -> Running:
    words: list[str | Path] = ["append", vault, "--type", "com.example.waits.event"]
    words += ["--data", f"@{data}"]
    return Running(waiting, *words)


def applies_schemas(command: Running, provara: Provara) -> int:
    """The process that applies schemas: the executable once more."""
    (worker,) = (
        pid
        for pid in descendants(command.process.pid)
        if Path(f"/proc/{pid}/exe").samefile(provara.executable)
    )
    return worker


def assert_answers_only(worker: int) -> None:
    """The process has its socket, and pipes for what it prints."""
    held_open = {os.readlink(entry) for entry in Path(f"/proc/{worker}/fd").iterdir()}
    kinds = sorted(name.partition(":")[0] for name in held_open)
    assert kinds == ["/dev/null", "pipe", "pipe", "socket"]


def test_no_process_of_a_plugin_holds_a_key_or_a_descriptor(
    waiting: Provara, vault: Path, tmp_path: Path
) -> None:
    keys = json.loads((vault / "identity" / "private_keys.json").read_bytes())
    secrets = [base64.b64decode(key["private_key_b64"]) for key in keys["keys"]]
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"private": "said once 6b1f"}))
    with started(waiting, vault, data) as command:
        command.wait_for("WAITING")
        core = command.process.pid
        worker = applies_schemas(command, waiting)
        # Forked, not started anew: it has the words of its parent.
        assert Path(f"/proc/{worker}/cmdline").read_bytes().split(b"\0")[1] == b"append"
        held = memory(worker)
        assert b"com.example.waits.event" in held
        assert not [secret for secret in secrets if secret in held]
        assert_answers_only(worker)
        assert int(status(worker)["SigCgt"], 16) == 0
        assert status(worker)["Seccomp"] == "2"
        # The search finds what there is: the command itself holds its key.
        own = memory(core)
        assert [secret for secret in secrets if secret in own]


def test_launchers_end_with_a_command_that_is_killed(
    waiting: Provara, vault: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.json"
    os.mkfifo(data)
    with started(waiting, vault, data) as command:
        # It reads the data, which do not come, when its launchers wait already.
        with open(data, "w"):
            launchers = descendants(command.process.pid)
            assert len(launchers) == 2
            os.kill(command.process.pid, signal.SIGKILL)
            assert not wait_until_gone(launchers)


def test_what_a_shell_left_open_is_closed_to_schemas(waiting: Provara, vault: Path) -> None:
    batch = vault.parent / "batch.ndjson"
    batch.write_text('{"type":"com.example.waits.event","data":{}}\n')
    with open(vault / "identity" / "private_keys.json") as key:
        words: list[str | Path] = ["append", vault, "--batch", batch]
        with Running(waiting, *words, pass_fds=[key.fileno()]) as command:
            command.wait_for("WAITING")
            # A batch starts it anew, and the descriptor is the command's own.
            worker = applies_schemas(command, waiting)
            assert b"append" not in Path(f"/proc/{worker}/cmdline").read_bytes()
            inherited = Path(f"/proc/{command.process.pid}/fd/{key.fileno()}")
            assert inherited.samefile(vault / "identity" / "private_keys.json")
            assert_answers_only(worker)


def test_commands_hear_of_their_children_whatever_they_inherit(
    waiting: Provara, vault: Path, tmp_path: Path
) -> None:
    (tmp_path / "modules" / "waits.py").write_text(PLUGIN.replace("time.sleep(60)", "pass"))
    batch = tmp_path / "batch.ndjson"
    batch.write_text('{"type":"com.example.waits.event","data":{}}\n')
    one = ["--type", "com.example.waits.event", "--data", "{}"]
    for words in [one, ["--batch", str(batch)]]:
        done = subprocess.run(
            [waiting.executable, "append", vault, *words],
            env=waiting.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        )
        assert done.returncode == 0, done.stderr
