"""A command that needs no plugin starts no Python and opens no plugin.

Three witnesses, each of which is first shown to notice: interpreters that record being
started, the kernel's notices of opened files, and a trace of system calls.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import Environment, Provara
from watching import Opened

WITHOUT_PLUGINS = {
    "version": ["--version"],
    "help": ["--help"],
    "verify": ["verify", "VAULT"],
    "verify-json": ["verify", "VAULT", "--json"],
    "replay": ["replay", "VAULT"],
    "reduce": ["reduce", "VAULT"],
    "manifest": ["manifest", "VAULT"],
    "checkpoint": ["checkpoint", "VAULT"],
    "init": ["init", "NEW"],
    "append-core": ["append", "VAULT", "--type", "OBSERVATION", "--data", '{"value":1}'],
    "completions": ["completions", "bash"],
}


@pytest.fixture
def prepared(acme: Provara, tmp_path: Path) -> Path:
    """A vault that holds a plugin's event, in an environment that has the plugin."""
    path = tmp_path / "vault"
    acme.run("init", path)
    acme.append(
        path,
        "com.acme.audit.login",
        {"user_id": "alice", "success": True, "ip_address": "10.0.0.1"},
    )
    return path


def words(name: str, vault: Path) -> list[str]:
    places = {"VAULT": str(vault), "NEW": str(vault.with_name("new"))}
    return [places.get(word, word) for word in WITHOUT_PLUGINS[name]]


def recorder(directory: Path, real: Path, note: Path) -> Path:
    """An interpreter that writes down that it was started, and then does its work."""
    directory.mkdir()
    for name in ("python3", "python", f"python3.{sys.version_info.minor}"):
        script = directory / name
        script.write_text(f'#!/bin/sh\necho "$0 $*" >> {note}\nexec {real} "$@"\n')
        script.chmod(0o755)
    return directory / "python3"


@pytest.fixture
def recording(acme: Provara, acme_environment: Environment, tmp_path: Path) -> tuple[Provara, Path]:
    """The executable with a recorder wherever it could look for an interpreter."""
    note = tmp_path / "started"
    python = recorder(tmp_path / "recorder", acme_environment.python, note)
    recorded = acme.with_environment(
        PROVARA_PYTHON=str(python), PATH=f"{python.parent}:/usr/bin:/bin"
    )
    return recorded, note


@pytest.mark.parametrize("name", WITHOUT_PLUGINS)
def test_no_interpreter_is_started(
    recording: tuple[Provara, Path], prepared: Path, name: str
) -> None:
    provara, note = recording
    provara.run(*words(name, prepared))
    assert not note.exists(), note.read_text()


def test_the_recorder_would_notice(recording: tuple[Provara, Path], prepared: Path) -> None:
    provara, note = recording
    assert "com.acme.audit.login" in provara.run("plugins", "list").stdout
    assert str(provara.environment["PROVARA_PYTHON"]) in note.read_text()


def watched(environment: Environment) -> list[Path]:
    """Where plugins, their metadata and our own Python files live.

    Not the standard library: other programs of this machine use it at the same time."""
    (packages,) = (environment.directory / "lib").glob("python3.*/site-packages")
    return [Path(directory) for directory, _, _ in os.walk(packages)]


watchable = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="inotify is of Linux (2026-11-22)"
)


@watchable
@pytest.mark.parametrize("name", WITHOUT_PLUGINS)
def test_no_plugin_file_is_opened(
    acme: Provara, acme_environment: Environment, prepared: Path, name: str
) -> None:
    with Opened(watched(acme_environment)) as opened:
        acme.run(*words(name, prepared))
    assert opened.seen == set()


@watchable
def test_the_watch_would_notice(acme: Provara, acme_environment: Environment) -> None:
    with Opened(watched(acme_environment)) as opened:
        acme.run("plugins", "list")
    assert any(path.name == "entry_points.txt" for path in opened.seen), opened.seen
    assert any("acme_provara_plugins" in path.parts for path in opened.seen), opened.seen


def trace(provara: Provara, log: Path, *arguments: str) -> str:
    """The calls that open files or start programs, of the command and all its children."""
    strace = shutil.which("strace")
    assert strace
    done = subprocess.run(
        [
            strace,
            "-f",
            "-qq",
            "-e",
            "trace=open,openat,openat2,execve,execveat",
            "-o",
            log,
            provara.executable,
            *arguments,
        ],
        capture_output=True,
        env=provara.environment,
        cwd=provara.home,
        timeout=120,
    )
    text = log.read_text()
    if "PTRACE_TRACEME" in done.stderr.decode() or not text:
        pytest.skip(f"strace may not trace here (2026-11-22): {done.stderr.decode().strip()}")
    assert done.returncode == 0, done.stderr.decode()
    return text


traced = pytest.mark.skipif(
    not shutil.which("strace"), reason="strace is not installed; inotify watches (2026-11-22)"
)

PYTHON_FILES = re.compile(
    r"\.pyc?\"|site-packages|dist-packages|libpython|entry_points|\.dist-info"
)


@traced
@pytest.mark.parametrize("name", WITHOUT_PLUGINS)
def test_the_trace_shows_neither(acme: Provara, prepared: Path, tmp_path: Path, name: str) -> None:
    text = trace(acme, tmp_path / "trace", *words(name, prepared))
    started = [line for line in text.splitlines() if "execve" in line]
    assert len(started) == 1, "the command itself, and nothing else:\n" + "\n".join(started)
    assert not PYTHON_FILES.search(text.replace(started[0], "")), text


@traced
def test_the_trace_would_show_it(acme: Provara, tmp_path: Path) -> None:
    text = trace(acme, tmp_path / "trace", "plugins", "list")
    assert "provara.plugins._host" in text
    assert PYTHON_FILES.search(text)
