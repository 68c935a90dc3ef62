"""What the end-to-end tests share: the real executable, fresh environments, tree fingerprints."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
MISBEHAVING = HERE / "misbehaving"
# No single command of these tests takes a second on a quiet machine: a minute is a hang.
PATIENCE = 60.0
#: Where a vault has its events.
LOG = Path("events", "events.ndjson")


def installed_executable() -> Path:
    """The executable under test: the one that the wheel put beside this interpreter.

    It is never searched on PATH: a test must not pass on some other installation.
    """
    named = os.environ.get("PROVARA_E2E_EXECUTABLE")
    found = Path(named) if named else Path(sys.executable).parent / "provara"
    if not found.is_file():
        raise FileNotFoundError(f"no executable {found}: run the tests by `make test-…`")
    return found


def events(vault: Path) -> list[dict[str, Any]]:
    """The events of a log, as any JSON reader sees them."""
    return [json.loads(line) for line in (vault / LOG).read_bytes().splitlines()]


def wheels() -> Path:
    """The directory from which everything installs without a network (`make wheel` fills it)."""
    directory = Path(os.environ.get("PROVARA_WHEELS", ROOT / "build" / "wheels"))
    if not list(directory.glob("provara_protocol-*.whl")):
        raise FileNotFoundError(f"no wheel of provara-protocol in {directory}: run `make wheel`")
    return directory


@dataclass(frozen=True)
class Outcome:
    """What a finished command left: its exit code and both of its streams."""

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """The whole of stdout as one JSON document."""
        return json.loads(self.stdout)

    def __str__(self) -> str:
        return (
            f"$ {' '.join(self.arguments)}\nexit code {self.code}\n"
            f"--- stdout\n{self.stdout}--- stderr\n{self.stderr}"
        )


class Provara:
    """Runs an installed executable in an environment that holds nothing of the caller's."""

    def __init__(self, executable: Path, home: Path, extra: Mapping[str, str] | None = None):
        self.executable = executable
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "PATH": f"{executable.parent}:/usr/bin:/bin",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            **(extra or {}),
        }

    def with_environment(self, **extra: str) -> Provara:
        """The same executable with variables added."""
        return Provara(self.executable, self.home, {**self.environment, **extra})

    def run(
        self,
        *arguments: str | Path,
        stdin: bytes | str | None = None,
        cwd: Path | None = None,
        expect: int | None = 0,
        pass_fds: Sequence[int] = (),
    ) -> Outcome:
        """Runs one command. `expect` is the exit code it must have (None: any)."""
        words = tuple(str(argument) for argument in arguments)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [str(self.executable), *words],
            input=data if data is not None else b"",
            capture_output=True,
            env=self.environment,
            cwd=cwd or self.home,
            pass_fds=pass_fds,
            timeout=PATIENCE,
        )
        outcome = Outcome(
            ("provara", *words),
            done.returncode,
            done.stdout.decode("utf-8"),
            done.stderr.decode("utf-8"),
        )
        assert "panicked at" not in outcome.stderr, str(outcome)
        if expect is not None:
            assert outcome.code == expect, str(outcome)
        return outcome

    def append(
        self, vault: Path, event_type: str, data: Any, *more: str, expect: int | None = 0
    ) -> Outcome:
        """Appends one event; `data` may be text that is meant to be wrong."""
        text = data if isinstance(data, str) else json.dumps(data)
        return self.run("append", vault, "--type", event_type, "--data", text, *more, expect=expect)


# ----------------------------------------------------------------- environments


def run_checked(command: Sequence[str | Path], **options: Any) -> str:
    """Runs a tool of the test's own, and shows what it said when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"$ {' '.join(words)}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


class Environment:
    """A virtual environment of its own, with our wheel installed from the wheel directory."""

    def __init__(self, directory: Path, *extra: str):
        self.directory = directory
        self.bare(directory)
        self.pip("install", "provara-protocol", *extra)

    @staticmethod
    def bare(directory: Path) -> Path:
        """Makes an environment with nothing in it, and gives its interpreter."""
        run_checked([sys.executable, "-m", "venv", "--without-pip", directory])
        return directory / "bin" / "python"

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"

    @property
    def executable(self) -> Path:
        return self.directory / "bin" / "provara"

    def pip(self, *arguments: str | Path) -> str:
        """Runs the tests' own pip on this environment, never touching the network."""
        command, *rest = arguments
        offline: list[str | Path] = []
        if command == "install":
            offline = ["--no-index", "--find-links", wheels()]
        return run_checked(
            [
                sys.executable,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "--quiet",
                "--python",
                self.python,
                command,
                *offline,
                *rest,
            ]
        )

    def install_package(self, source: Path) -> None:
        """Builds and installs a package from its source with the tools of this environment."""
        copy = self.directory / "src" / source.name
        if copy.exists():
            shutil.rmtree(copy)
        shutil.copytree(
            source, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
        )
        self.pip("install", "--no-build-isolation", copy)

    def python_run(self, *arguments: str | Path, **options: Any) -> str:
        """Runs this environment's interpreter, without the caller's variables."""
        environment = {
            "PATH": f"{self.directory}/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.directory),
        }
        environment.update(options.pop("env", {}))
        return run_checked([self.python, *arguments], env=environment, **options)


# ------------------------------------------------------------------ fingerprints


def fingerprint(directory: Path) -> dict[str, tuple[str, int, int, str]]:
    """Every entry below a directory: kind, mode, time of change, hash of its bytes.

    Two equal fingerprints mean that names, bytes, modes and modification times are the
    same. Comparing dictionaries lets pytest show which entry differs.
    """
    entries: dict[str, tuple[str, int, int, str]] = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            kind, content = "link", os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            kind, content = "file", hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            kind, content = "directory" if stat.S_ISDIR(status.st_mode) else "other", ""
        name = path.relative_to(directory).as_posix()
        entries[name] = (kind, stat.S_IMODE(status.st_mode), status.st_mtime_ns, content)
    return entries


# --------------------------------------------------------------------- processes


def processes() -> dict[int, tuple[int, str]]:
    """Every process: its parent's id, and its state, which begins with `Z` once it has ended.

    From /proc where there is one, because small systems have no `ps`; others have no /proc.
    """
    found = {}
    if Path("/proc/self/stat").exists():
        for entry in Path("/proc").glob("[0-9]*/stat"):
            # Processes end while they are listed. Names stand in parentheses, and may hold any.
            with contextlib.suppress(OSError):
                words = entry.read_text(errors="replace").rpartition(")")[2].split()
                found[int(entry.parent.name)] = (int(words[1]), words[0])
        return found
    for line in run_checked(["ps", "-A", "-o", "pid=,ppid=,stat="]).splitlines():
        pid, parent, state = line.split()
        found[int(pid)] = (int(parent), state)
    return found


def descendants(pid: int) -> set[int]:
    """The process ids below a process."""
    found: set[int] = set()
    table = processes()
    pending = {pid}
    while pending:
        found |= pending
        pending = {child for child, (parent, _) in table.items() if parent in pending} - found
    return found - {pid}


def alive(pids: Iterable[int]) -> set[int]:
    """Those that still run. One that has ended and that nobody has waited for does not."""
    table = processes()
    return {pid for pid in pids if pid in table and not table[pid][1].startswith("Z")}


def wait_until_gone(pids: Iterable[int], seconds: float = 5.0) -> set[int]:
    """Waits for processes to end; gives those that have not when the time is up."""
    remaining = alive(pids)
    deadline = time.monotonic() + seconds
    while remaining and time.monotonic() < deadline:
        time.sleep(0.05)
        remaining = alive(remaining)
    return remaining


def default_signals() -> None:
    """What a command that a person started in a shell finds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Running:
    """A command that is still going, watched for a word on stderr.

    Nothing of it outlives the `with` block, whatever the test found.
    """

    def __init__(self, provara: Provara, *arguments: str | Path, pass_fds: Sequence[int] = ()):
        self.process = subprocess.Popen(
            [str(provara.executable), *(str(argument) for argument in arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=provara.environment,
            cwd=provara.home,
            start_new_session=True,
            pass_fds=pass_fds,
            # Tests that run in the background have interruptions ignored, and would pass that on.
            preexec_fn=default_signals,
        )
        self.children: set[int] = set()
        self.stderr = ""
        self.stdout = ""
        self._changed = threading.Condition()
        assert self.process.stderr is not None and self.process.stdout is not None
        self._readers = [
            threading.Thread(target=self._read, args=("stderr",), daemon=True),
            threading.Thread(target=self._read, args=("stdout",), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _read(self, name: str) -> None:
        stream = getattr(self.process, name)
        while chunk := os.read(stream.fileno(), 4096):
            with self._changed:
                setattr(self, name, getattr(self, name) + chunk.decode("utf-8", "replace"))
                self._changed.notify_all()

    def wait_for(self, word: str, seconds: float = PATIENCE) -> None:
        """Waits until stderr holds the word."""
        with self._changed:
            seen = self._changed.wait_for(
                lambda: word in self.stderr or self.process.poll() is not None, seconds
            )
        assert seen and word in self.stderr, f"no {word!r} on stderr:\n{self.stderr}"
        self.children = descendants(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, seconds: float = 10.0) -> int:
        """Waits for the command to end; a hang is a failure, and is cleaned up."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.stderr}") from None
        self._close(seconds)
        return code

    def kill(self) -> None:
        """Ends the command, where it still runs, and every process that it was seen to have."""
        family = set(self.children)
        if self.process.poll() is None:
            family |= {self.process.pid, *descendants(self.process.pid)}
        for pid in alive(family):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._close(PATIENCE)

    def _close(self, seconds: float) -> None:
        for reader in self._readers:
            reader.join(seconds)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


# -------------------------------------------------------------------- assertions


def readable(stderr: str) -> str:
    """Standard error with an error that is JSON (`--json`) written as it is for people."""
    lines = stderr.splitlines()
    if lines and lines[-1].startswith('{"schema":"provara.error.v1"'):
        error = json.loads(lines.pop())
        lines += [f"ERROR: {error['message']}", *(f"  {line}" for line in error["details"])]
        lines += [f"Fix: {error['fix']}"] if error["fix"] else []
    return "\n".join(lines)


def assert_one_error(outcome: Outcome) -> str:
    """Exactly one error with a `Fix:` line, nothing of our own internals. Returns the error."""
    text = readable(outcome.stderr)
    lines = text.splitlines()
    starts = [line for line in lines if line.startswith("ERROR: ")]
    fixes = [line for line in lines if line.startswith("Fix: ")]
    assert len(starts) == 1 and len(fixes) == 1, str(outcome)
    assert len(fixes[0]) > len("Fix: "), str(outcome)
    assert "/_host" not in outcome.stderr, str(outcome)
    begin = text.index(starts[0])
    end = text.index(fixes[0]) + len(fixes[0])
    assert begin < end, str(outcome)
    return text[begin:end]


#: For tests that are about the sandbox: left out where the system lacks a part of it (the fixture).
needs_sandbox = pytest.mark.usefixtures("sandboxed")
