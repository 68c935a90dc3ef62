"""What libraries expect of a process, in the sandbox: a temporary directory, semaphores, and an error
that names the call that failed.
"""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest
from support import Provara, Running, assert_one_error, needs_sandbox

PLUGINS = """
import os

def work(events=None, output=None):
{work}

class Event:
    name = "com.example.work.event"
    schema = {{"type": "object"}}
    def validate(self, data):
        work()
        return True
    def cli_command(self): return None

class Reducer:
    name = "com.example.work.reducer"
    def reduce(self, events): return {{"got": str(work(events))}}

class Export:
    name = "work"
    def export(self, vault_path, output_path):
        text = str(work(None, output_path))
        if not os.path.exists(output_path):
            with open(output_path, "w") as file: file.write(text)
"""


def working(provara: Provara, directory: Path, work: str) -> Provara:
    """The executable with plugins of each kind that all do the same."""
    modules = directory / "modules"
    modules.mkdir(exist_ok=True)
    body = textwrap.indent(textwrap.dedent(work).strip(), "    ")
    (modules / "work.py").write_text(PLUGINS.format(work=body))
    return provara.with_environment(PYTHONPATH=str(modules), PROVARA_PLUGINS="work")


def commands(vault: Path, output: Path) -> list[list[str | Path]]:
    return [
        ["append", vault, "--type", "com.example.work.event", "--data", "{}"],
        ["reduce", vault, "--plugin", "com.example.work.reducer"],
        ["export", vault, "--format", "work", "--output", output, "--force"],
    ]


def places(stderr: str) -> list[Path]:
    """The directories that plugins said they have."""
    return [Path(said.split()[0]) for said in stderr.split("PLACE ")[1:]]


SAY = "import sys\nprint('PLACE', os.environ['TMPDIR'], file=sys.stderr, flush=True)\n"

WORKS = {
    "a pool of threads": """
        from multiprocessing.pool import ThreadPool
        with ThreadPool(4) as pool:
            return sum(pool.map(abs, range(100)))
        """,
    "locks of multiprocessing": """
        import multiprocessing
        queue = multiprocessing.SimpleQueue()
        queue.put(7)
        lock, limit = multiprocessing.RLock(), multiprocessing.BoundedSemaphore(1)
        with lock, lock, limit:
            assert not limit.acquire(timeout=0.01)
        try:
            limit.release()
        except ValueError:
            return queue.get()
        """,
    "copies of files": """
        import shutil, tempfile
        place = tempfile.mkdtemp()
        shutil.copytree(os.path.dirname(os.__file__) + "/json", place + "/json")
        shutil.copy2(__file__, place + "/again")
        return len(os.listdir(place))
        """,
    "files that are touched": """
        import pathlib, tempfile
        place = pathlib.Path(tempfile.mkdtemp())
        (place / "new").touch()
        (place / "new").touch()
        absent = place / "absent"
        for change in (os.utime, lambda path: os.chmod(path, 0o600)):
            for path in (absent, str(absent), os.fsencode(absent)):
                try:
                    change(path)
                except FileNotFoundError:
                    continue
                raise AssertionError(path)
        with open(place / "new") as file:
            os.utime(file.fileno())
        return sorted(os.listdir(place))
        """,
    "archives": """
        import io, tarfile, tempfile, zipfile
        place = tempfile.mkdtemp()
        with zipfile.ZipFile(place + "/a.zip", "w") as archive:
            archive.write(__file__, "inside.py")
        zipfile.ZipFile(place + "/a.zip").extractall(place + "/zip")
        with tarfile.open(place + "/a.tar.gz", "w:gz") as archive:
            archive.add(place + "/zip", "inside")
        tarfile.open(place + "/a.tar.gz").extractall(place + "/tar")
        return os.path.getsize(place + "/tar/inside/inside.py")
        """,
    "a database that sorts on disk": """
        import sqlite3
        database = sqlite3.connect("")
        database.execute("pragma cache_size = 10")
        database.execute("create table t (x)")
        rows = ((str(n * 7919 % 10007) * 60,) for n in range(4000))
        database.executemany("insert into t values (?)", rows)
        return len(database.execute("select x from t order by x").fetchall())
        """,
    "the own control group": """
        with open("/proc/self/cgroup") as file:
            return len(file.read()) > 0
        """,
}


@needs_sandbox
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_what_libraries_do_works(provara: Provara, vault: Path, tmp_path: Path, work: str) -> None:
    there = working(provara, tmp_path, SAY + textwrap.dedent(work))
    for command in commands(vault, tmp_path / "out"):
        [place] = places(there.run(*command, "--sandbox=require").stderr)
        assert not place.exists()
    there.run("verify", vault)


@needs_sandbox
def test_each_run_has_a_fresh_directory(provara: Provara, vault: Path, tmp_path: Path) -> None:
    """Also the second run of a reducer that is checked: what the first one left would give it away."""
    there = working(
        provara,
        tmp_path,
        """
        import tempfile
        place = tempfile.gettempdir()
        left = os.listdir(place)
        open(os.path.join(place, "left"), "w").close()
        return left
        """,
    )
    words = ["reduce", str(vault), "--plugin", "com.example.work.reducer", "--sandbox=require"]
    for more in ([], ["--check"]):
        assert there.run(*words, *more).json() == {"got": "[]"}
    # Where it lies is another place each time, which a result must not depend on.
    there = working(provara, tmp_path, "return os.environ['TMPDIR']")
    error = assert_one_error(there.run(*words, "--check", expect=4))
    assert "gave two results" in error, error
    shown = there.run(*words).json()["got"]
    assert shown.startswith(f"/dev/shm/provara-{os.geteuid()}/") and not Path(shown).exists()


SLOW = f"""
import time
os.makedirs(os.environ["TMPDIR"] + "/deep/er")
open(os.environ["TMPDIR"] + "/deep/er/left", "w").close()
{SAY}
time.sleep(60)
"""


@needs_sandbox
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_command_leaves_is_removed_by_the_next(
    provara: Provara, vault: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """A signal that the command can answer leaves nothing at all."""
    for command in commands(vault, tmp_path / "out"):
        there = working(provara, tmp_path, SLOW)
        with Running(there, *command, "--sandbox=require") as running:
            running.wait_for("PLACE /")
            [place] = places(running.stderr)
            running.signal(number)
            running.finish()
        left = place / "deep" / "er" / "left"
        assert left.exists() == (number == signal.SIGKILL)
        # The next, of whatever kind: a reducer's is in memory, the others' are on a disk.
        another = next(it for it in commands(vault, tmp_path / "out") if it[0] != command[0])
        working(provara, tmp_path, "return 1").run(*another, "--sandbox=require")
        assert not place.exists()


@needs_sandbox
def test_nothing_that_is_not_temporary_is_removed(
    provara: Provara, vault: Path, tmp_path: Path
) -> None:
    """Whatever lies where the temporary directories would be."""
    there = working(provara, tmp_path, "return 1")
    user = f"provara-{os.geteuid()}"
    for place in ("vaults", "projects"):
        base = tmp_path / place
        base.mkdir()
        named = base / user
        if place == "vaults":
            provara.run("init", named)
        else:
            (named / "project").mkdir(parents=True)
            (named / "project" / "a.py").write_text("code")
        named.chmod(0o700)
        before = sorted(named.rglob("*"))
        chosen = there.with_environment(TMPDIR=str(base))
        for command in commands(vault, tmp_path / "out"):
            chosen.run(*command, "--sandbox=require")
        assert sorted(named.rglob("*")) == before
        if place == "vaults":
            provara.run("verify", named)


@needs_sandbox
def test_no_temporary_directory_lies_in_a_vault(
    provara: Provara, vault: Path, tmp_path: Path
) -> None:
    there = working(provara, tmp_path, "return os.environ['TMPDIR']")
    inside = vault / "tmp"
    inside.mkdir()
    there = there.with_environment(TMPDIR=str(inside))
    out = tmp_path / "out"
    there.run("export", vault, "--format", "work", "--output", out, "--sandbox=require")
    assert out.read_text().startswith("/tmp/provara-")
    assert list(inside.iterdir()) == []
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    there = there.with_environment(TMPDIR=str(chosen))
    there.run("export", vault, "--format", "work", "--output", out, "--force", "--sandbox=require")
    assert Path(out.read_text()).parent.parent == chosen


REFUSED = {
    # The last call that Python tells of was another one, on another line, and allowed.
    "import fcntl\n"
    "fd = os.open(__file__, os.O_RDONLY)\n"
    "os.listdir(os.path.dirname(os.__file__))\n"
    "fcntl.flock(fd, fcntl.LOCK_EX)": "fcntl.flock(",
    "place = os.environ['TMPDIR'] + '/f'\n"
    "open(place, 'w').close()\n"
    "os.mknod(place + 'x')": "os.mknod(place + 'x')",
    "place = os.environ['TMPDIR'] + '/f'\n"
    "open(place, 'w').close()\n"
    "os.link(place, place + '2')": "os.link('",
    "open(os.__file__).close()\n"
    "open('/etc/passwd').close()": "open('/etc/passwd')",
    "import subprocess\n"
    "os.listdir('/usr/share')\n"
    "subprocess.run(['true'])": "subprocess.Popen((",
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize(("work", "named"), REFUSED.items())
def test_the_call_that_failed_is_named(
    provara: Provara, vault: Path, tmp_path: Path, work: str, named: str
) -> None:
    there = working(provara, tmp_path, work)
    command = commands(vault, tmp_path / "out")[2]
    error = assert_one_error(there.run(*command, "--sandbox=require", expect=4))
    assert f"it tried {named}" in error and "--sandbox=off" in error, error


SUSPECTED = [
    ("raise ValueError('IO Error: cannot open it: Permission denied')", "may read nothing"),
    ("import sqlite3\nplace = os.path.dirname(os.path.dirname(__file__))\n"
     "sqlite3.connect(place + '/x.db').execute('create table t(x)')",
     "may write nothing"),
    ("raise RuntimeError('mmap failed to reserve 0x180000000 bytes')", "limits for memory"),
    ("import sys\nprint('memory allocation of 9 bytes failed', file=sys.stderr, flush=True)\n"
     "os.abort()", "limits for memory"),
]  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize(("work", "rule"), SUSPECTED)
def test_what_smells_of_the_sandbox_names_a_rule(
    provara: Provara, vault: Path, tmp_path: Path, work: str, rule: str
) -> None:
    """One line says which rule it may be, and how to find out. Without a sandbox it is not."""
    there = working(provara, tmp_path, work)
    for command in commands(vault, tmp_path / "out"):
        for sandbox, expected in [("--sandbox=require", 1), ("--sandbox=off", 0)]:
            outcome = there.run(*command, sandbox, expect=None)
            if outcome.code == 0:
                assert sandbox == "--sandbox=off" and (tmp_path / "x.db").exists()
                (tmp_path / "x.db").unlink()
                continue
            lines = [line for line in outcome.stderr.splitlines() if "may be why" in line]
            assert len(lines) == expected, str(outcome)
            assert all(rule in line and "--sandbox=off shows" in line for line in lines), lines
