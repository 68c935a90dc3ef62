"""Logs that are long enough for another thread to read ahead: nothing of it shows but the time."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provara import Vault
from provara.errors import InvalidEvidenceError, ProvaraError
from provara.sync_v0 import iter_events

#: Enough lines for the other thread to be there: it starts after 256 KiB, in logs from 4 MiB on, which
#: are twice as many.
PLAIN = 10_000


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.init(tmp_path / "vault")


def event(number: int) -> dict[str, Any]:
    return {
        "actor": f"actor-{number % 7}",
        "event_id": f"evt_{number:024x}",
        "payload": {"n": number, "half": number / 2, "user": f"user-{number % 300}", "tags": []},
        "prev_event_hash": f"evt_{max(number - 7, 0):024x}",
        "sig": f"{number:088d}",
    }


def lines(first: int, count: int) -> Iterator[str]:
    return (json.dumps(event(number)) for number in range(first, first + count))


def write(vault: Vault, *parts: Iterator[str] | list[str]) -> None:
    vault.log_path.write_text("".join(f"{line}\n" for line in itertools.chain(*parts)), "utf-8")


def others() -> int:
    """How many threads read ahead in this process."""
    found = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # one that ended meanwhile
            found += task.joinpath("comm").read_text().strip() == "provara-read"
    return found


def wait_for_others(count: int) -> None:
    deadline = time.monotonic() + 10
    while others() != count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert others() == count


def peculiar(number: int) -> str:
    """A line whose like has to be told from the others: by its keys, its values, or how it is written."""
    deep: Any = number
    for _ in range(100):
        deep = [deep]
    same = f"actor-{number % 7}"
    values: list[Any] = [
        {},
        {"a": {}, "b": [], "c": "", "d": [[], {}, [{}]]},
        {"sig": "a", "actor": same, "payload": {"user": same}},
        {'é\n"\\': same, "text": "\0😀é\u2028" * (number % 5), "quote": '"\\/\b'},
        {"x" * 65: same, "y" * 64: same},
        {f"key-{number}": same, "then": {same: number}},
        {"deep": deep, "none": None, "flags": [True, False, None]},
        {"numbers": [0, -1, 2**53 - 1, -(2**53) + 1, 0.5, -0.0, 1e300, 5e-324, 1e22]},
        {"actor": same, "fresh": f"fresh-{number}", "large": 2**60 + number},
        {"actor": same, "again": f"fresh-{number - 1}", "list": [same] * (number % 4)},
        {"many": {f"k{n}": n for n in range(30)}},
        {"actor": same, "ids": [f"{n:0{number % 80}d}" for n in range(5)]},
    ]
    style, kind = divmod(number, len(values))
    value = values[kind]
    spaces: Any = (" , ", " : ") if style % 3 == 0 else (",", ":")
    return json.dumps(value, ensure_ascii=style % 2 == 0, separators=spaces)


def test_events_are_those_that_are_read_one_by_one(vault: Vault) -> None:
    long = json.dumps({"text": "é" * 700_000, "list": list(range(100_000))})
    mixed = (peculiar(n // 2) if n % 2 else json.dumps(event(n)) for n in range(24_000))
    write(vault, lines(0, PLAIN), mixed, [long], lines(0, PLAIN))
    # From the same bytes, on this thread alone. `repr` tells 1 from 1.0 and the order of keys.
    expected = [repr(event) for event in iter_events(vault.log_path)]
    assert len(expected) == 24_001 + 2 * PLAIN
    events = vault.events()
    for index, known in enumerate(expected):
        assert repr(next(events)) == known, f"line {index + 1}"
    assert next(events, None) is None
    assert [repr(event) for event in vault.events()] == expected
    assert json.loads(expected[0].replace("'", '"')) == event(0)


def test_large_integers_of_a_log_that_this_program_wrote_are_floats(vault: Vault) -> None:
    text = '{"actor":"a","value":1152921504606847000}'
    canonical = [f'{{"actor":"a","value":{number}}}' for number in range(5 * PLAIN)]
    write(vault, canonical, [text], canonical)
    found = list(vault.events())[5 * PLAIN]["value"]
    assert (type(found), found) == (float, 2.0**60)


def test_another_thread_reads_ahead(vault: Vault) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one processor")
    write(vault, lines(0, 40_000))
    wait_for_others(0)
    events = vault.events()
    next(events)
    assert others() == 0
    for _ in range(PLAIN):
        next(events)
    wait_for_others(1)
    del events
    wait_for_others(0)


def test_one_processor_reads_the_same(vault: Vault) -> None:
    write(vault, lines(0, 40_000))
    wait_for_others(0)
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        events = vault.events()
        for number in range(PLAIN):
            assert next(events) == event(number)
        assert others() == 0
    finally:
        os.sched_setaffinity(0, processors)


def test_events_share_no_dicts_and_lists(vault: Vault) -> None:
    write(vault, lines(0, 3 * PLAIN))
    for number, found in enumerate(vault.events()):
        assert found == event(number)
        found["payload"]["tags"].append(number)
        found["payload"]["user"] = found["more"] = "changed"
        del found["actor"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "1",
        "{",
        '{"actor":1,"sig":2,"actor":1}',
        '{"sig":"\\ud800"}',
        '{"sig":NaN}',
        "{}}",
    ],
)
def test_what_is_no_event_names_its_line(vault: Vault, line: str) -> None:
    write(vault, lines(0, PLAIN), [line], lines(PLAIN, PLAIN))
    events = vault.events()
    for number in range(PLAIN):
        assert next(events) == event(number)
    with pytest.raises(
        InvalidEvidenceError, match=f"line {PLAIN + 1} of '.*events.ndjson': "
    ) as far:
        next(events)
    assert next(events, None) is None
    wait_for_others(0)
    # It says what it says of a short log.
    write(vault, [line])
    with pytest.raises(InvalidEvidenceError) as near:
        next(vault.events())
    assert str(far.value).replace(f"line {PLAIN + 1} of", "line 1 of") == str(near.value)


def test_what_is_appended_meanwhile_is_not_among_them(vault: Vault) -> None:
    write(vault, lines(0, 2 * PLAIN))
    events = vault.events()
    for _ in range(PLAIN):
        next(events)
    with vault.log_path.open("a") as log:
        log.write("no event\n")
    assert sum(1 for _ in events) == PLAIN


def test_a_log_that_is_cut_meanwhile_is_refused(vault: Vault) -> None:
    count = 70_000  # beyond 16 MiB, from where on logs are mapped
    write(vault, lines(0, count))
    size = vault.log_path.stat().st_size
    assert size > 16 << 20
    events = vault.events()
    given = [next(events) for _ in range(PLAIN)]
    os.truncate(vault.log_path, size // 2)
    with pytest.raises(ProvaraError, match="while it was read"):
        given.extend(events)
    assert PLAIN < len(given) < count
    assert all(found == event(number) for number, found in enumerate(given))
    assert next(events, None) is None, "nothing follows an error"


def test_lines_stay_what_was_read_ahead_where_their_ends_are_written_over(vault: Vault) -> None:
    count = 70_000  # a log that is mapped
    # Left aside for its integer; and with the next line it is an event, too, once its end is another.
    pair = ['{"actor":"a","large":1152921504606847000}', '{"b":1}']
    write(vault, lines(0, PLAIN), pair, lines(PLAIN, count))
    events = vault.events()
    for _ in range(PLAIN - 5):
        next(events)
    time.sleep(0.5)  # until the other thread has read that far
    at = vault.log_path.read_bytes().index(b'}\n{"b"')
    with vault.log_path.open("r+b") as log:
        log.seek(at)
        log.write(b" , ")
    for _ in range(5):
        next(events)
    with pytest.raises(InvalidEvidenceError, match=f"line {PLAIN + 1} of "):
        list(events)
    assert next(events, None) is None


def test_a_child_goes_on_alone(vault: Vault) -> None:
    count = 4 * PLAIN
    write(vault, lines(0, count))
    # In the middle of what was read ahead, and before it is.
    for before in (PLAIN, 1):
        events = vault.events()
        given = [next(events) for _ in range(before)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads
            child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(30)
                rest = list(events)
                del events
                status = int([*given, *rest] != [event(number) for number in range(count)])
            finally:
                os._exit(status)
        assert [*given, *events] == [event(number) for number in range(count)]
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_may_take_turns(vault: Vault) -> None:
    count = 3 * PLAIN
    write(vault, lines(0, count))
    events = vault.events()
    given: list[dict[str, Any]] = []
    for _ in range(3):
        part = threading.Thread(target=lambda: given.extend(itertools.islice(events, PLAIN)))
        part.start()
        part.join()
    assert given == [event(number) for number in range(count)]


def test_threads_may_share_an_iterator(vault: Vault) -> None:
    write(vault, lines(0, 9 * PLAIN))
    events = vault.events()
    given: list[int] = []
    errors: list[Exception] = []

    def take() -> None:
        try:
            given.extend(found["payload"]["n"] for found in itertools.islice(events, PLAIN))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    # A child goes on, though another thread was at it when it came to be.
    children = []
    for _ in range(5):
        time.sleep(0.01)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(60)
                status = int(sum(1 for _ in events) < PLAIN)
            finally:
                os._exit(status)
        children.append(child)
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(given) == list(range(8 * PLAIN))
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


WITH_LITTLE_MEMORY = """
import resource
import sys
from pathlib import Path
from provara import Vault

events = Vault(sys.argv[1]).events()
next(events)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(1 + sum(1 for _ in events))
"""


@pytest.mark.parametrize("kibibytes", [512, 2112, 2240, 2560, 3072, 4096])
def test_where_memory_has_a_limit_events_are_read_one_by_one(vault: Vault, kibibytes: int) -> None:
    write(vault, lines(0, 4 * PLAIN))
    arguments = [sys.executable, "-c", WITH_LITTLE_MEMORY, str(vault.path), str(kibibytes << 10)]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, f"{4 * PLAIN}\n"), run.stderr


def anonymous() -> int:
    """The memory of this process that no file backs, in bytes."""
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) << 10


def test_what_is_read_ahead_is_bounded(vault: Vault) -> None:
    write(vault, lines(0, 160_000))
    assert vault.log_path.stat().st_size > 40 << 20
    events = vault.events()
    before = anonymous()
    for _ in range(PLAIN):
        next(events)
    time.sleep(0.5)
    assert anonymous() - before < 10 << 20
