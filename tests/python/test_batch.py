"""Many events at once, from Python."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from provara import Vault, _native
from provara.errors import BatchError, UsageError, VaultError


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Vault.init(tmp_path / "vault")


def events(count: int) -> list[dict[str, Any]]:
    return [
        {
            "type": "OBSERVATION",
            "data": {"subject": "door", "predicate": "n", "value": n},
            "actor": f"actor-{n % 3}",
        }
        for n in range(count)
    ]


def test_many_events_are_appended_in_their_order(vault: Vault) -> None:
    receipts = vault.append_many(iter(events(50)))
    assert [receipt.line for receipt in receipts] == list(range(3, 53))
    assert receipts[3].prev_event_hash == receipts[0].event_id
    values = [event["payload"]["value"] for event in vault.events(type="OBSERVATION")]
    assert values[-50:] == list(range(50))
    assert vault.verify(strict=True).valid
    assert vault.append_many([]) == []


def test_the_first_refused_event_is_named(vault: Vault) -> None:
    for bad in (
        {"type": "GENESIS", "data": {}},
        {"type": "OBSERVATION"},
        {"type": "OBSERVATION", "data": {}, "colour": "red"},
        {"type": "OBSERVATION", "data": {"n": 2**60}},
        {"type": "com.example.nobody.knows", "data": {}},
        {"type": 1, "data": {}},
        {"type": "OBSERVATION", "data": {}, "actor": 1},
        {"type": "OBSERVATION", "data": {}, "confidence": "high"},
        5,
        None,
        [["type", "OBSERVATION"]],
    ):
        before = vault.summary()["event_count"]
        with pytest.raises(BatchError, match="event 2 was refused") as raised:
            vault.append_many([*events(2), cast("dict[str, Any]", bad), *events(1)])
        assert (raised.value.index, raised.value.appended) == (2, 2)
        assert vault.summary()["event_count"] == before + 2
        with pytest.raises(BatchError) as raised:
            vault.append_many([*events(2), cast("dict[str, Any]", bad), *events(1)], atomic=True)
        assert (raised.value.index, raised.value.appended) == (2, 0)
        assert vault.summary()["event_count"] == before + 2
    assert vault.verify(strict=True).valid


def test_what_fails_later_does_not_hide_what_is_in(vault: Vault) -> None:
    writer = vault.writer()
    for event in events(2):
        writer.append(event["type"], event["data"])
    writer.flush()
    writer.append("OBSERVATION", {"value": 3})
    away = vault.path.rename(vault.path.parent / "away")
    with pytest.raises(VaultError, match="after 2 events that are in the log and sealed: "):
        writer.flush()
    away.rename(vault.path)
    assert vault.verify(strict=True).event_count == 4
    # What could not even be begun still waits.
    assert len(writer.flush()) == 1


def test_a_writer_keeps_what_it_took(vault: Vault) -> None:
    with vault.writer(allow_unregistered=True) as writer:
        writer.append("com.example.test.note", {"text": "one"}, actor="alice")
        with pytest.raises(UsageError):
            writer.append("com.example.test.note", {"text": float("nan")})
        assert len(writer.flush()) == 1
        writer.append("com.example.test.note", {"text": "two"}, actor="alice")
    assert [receipt.ts_logical for receipt in writer.receipts] == [1, 2]
    with pytest.raises(RuntimeError), vault.writer() as writer:
        writer.append("OBSERVATION", {"value": 3})
        raise RuntimeError("in the block")
    assert vault.summary()["event_count"] == 5
    with pytest.raises(RuntimeError), vault.writer(atomic=True) as writer:
        writer.append("OBSERVATION", {"value": 3})
        raise RuntimeError("in the block")
    assert vault.summary()["event_count"] == 5
    assert vault.verify(strict=True).valid


def test_what_was_never_flushed_is_told(vault: Vault) -> None:
    before = vault.summary()["event_count"]
    with vault.writer() as writer:
        writer.append("OBSERVATION", events(1)[0]["data"])
    with pytest.raises(UsageError, match="has ended"):
        writer.append("OBSERVATION", events(1)[0]["data"])
    forgotten = vault.writer()
    forgotten.append("OBSERVATION", events(1)[0]["data"])
    with pytest.warns(ResourceWarning, match="not in the log: 1"):
        del forgotten
        gc.collect()
    assert vault.summary()["event_count"] == before + 1


def test_what_the_iterable_raises_comes_through(vault: Vault) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from events(3)
        raise KeyError("mine")

    before = vault.summary()["event_count"]
    with pytest.raises(KeyError, match="mine"):
        vault.append_many(broken(), atomic=True)
    assert vault.summary()["event_count"] == before
    with pytest.raises(KeyError, match="mine"):
        vault.append_many(broken())
    assert vault.summary()["event_count"] == before + 3


def test_receipts_tell_of_data_that_was_wrapped(vault: Vault) -> None:
    note = "became the 'value' of the payload"
    assert note in vault.append("OBSERVATION", {"weight": 3}).notes[0]
    receipts = vault.append_many([{"type": "ASSERTION", "data": {"weight": 3}}, *events(1)])
    assert note in receipts[0].notes[0]
    assert receipts[1].notes == ()


def test_a_repeated_event_is_appended_once(vault: Vault) -> None:
    data = {"subject": "door", "predicate": "is", "value": 1}
    first = vault.append("OBSERVATION", data, idempotency_key="k")
    again = vault.append("OBSERVATION", data, idempotency_key="k")
    assert (first.repeated, again.repeated) == (False, True)
    assert again.event_id == first.event_id
    assert again.event == first.event
    assert first.event["idempotency_key"] == "k"
    with pytest.raises(UsageError, match="idempotency key 'k' of 'provara_user' is that of evt_"):
        vault.append("OBSERVATION", data | {"value": 2}, idempotency_key="k")
    with pytest.raises(UsageError, match="is empty"):
        vault.append("OBSERVATION", data, idempotency_key="")
    many = [{"type": "OBSERVATION", "data": data, "idempotency_key": key} for key in "akbab"]
    receipts = vault.append_many(many)
    assert [receipt.repeated for receipt in receipts] == [False, True, False, True, True]
    assert receipts[3].event_id == receipts[0].event_id
    with vault.writer() as writer:
        writer.append("OBSERVATION", data, idempotency_key="b")
        writer.append("OBSERVATION", data, actor="bob", idempotency_key="b")
    assert [receipt.repeated for receipt in writer.receipts] == [True, False]
    assert len(list(vault.events(type="OBSERVATION"))) == 1 + 4
    assert vault.verify(strict=True).valid


@pytest.mark.parametrize(
    "bad",
    [
        {"Keywords": -9223372036854775808},
        {"n": 2**60},
        {"deep": {"er": [1, {"n": float("inf")}]}},
    ],
)
def test_a_bad_event_raises_and_no_other_is_lost(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, bad: dict[str, Any]
) -> None:
    monkeypatch.setattr("provara.writer.VaultWriter.GROUP", 7)
    before = vault.summary()["event_count"]
    refused = 0
    with vault.writer() as writer:
        for number in range(40):
            data: dict[str, Any] = {"subject": "s", "predicate": "n", "value": number}
            try:
                writer.append("OBSERVATION", data | bad if number % 10 == 3 else data)
            except UsageError:
                refused += 1
    assert (refused, len(writer.receipts)) == (4, 36)
    assert vault.summary()["event_count"] == before + 36
    values = [event["payload"]["value"] for event in vault.events(type="OBSERVATION")][-36:]
    assert values == [number for number in range(40) if number % 10 != 3]
    assert vault.verify(strict=True).valid


@pytest.mark.parametrize(
    "kind", ["GENESIS", "com.provara.vault.adopted", "com.provara.vault.files"]
)
def test_what_only_a_command_writes_is_refused_at_once(vault: Vault, kind: str) -> None:
    writer = vault.writer(allow_unregistered=True)
    with pytest.raises(UsageError):
        writer.append(kind, {})
    with pytest.raises(UsageError, match="actor"):
        writer.append("OBSERVATION", {}, actor="")
    assert writer.flush() == []


def test_an_event_that_the_log_decides_is_written_at_once(vault: Vault) -> None:
    unknown = {"target_event_id": "evt_" + "0" * 24, "reason": "x"}
    redaction = "com.provara.redaction"
    with vault.writer(allow_unregistered=True) as writer:
        writer.append("OBSERVATION", events(1)[0]["data"])
        with pytest.raises(UsageError):
            writer.append(redaction, unknown)
        assert len(writer.receipts) == 1
        writer.append("OBSERVATION", events(1)[0]["data"])
    assert len(writer.receipts) == 2
    with vault.writer(allow_unregistered=True, atomic=True) as writer:
        with pytest.raises(UsageError, match="atomic batch"):
            writer.append(redaction, unknown)
        writer.append("OBSERVATION", events(1)[0]["data"])
    assert len(writer.receipts) == 1


def test_what_is_refused_for_the_state_of_the_vault_is_told(vault: Vault) -> None:
    writer = vault.writer()
    for event in events(3):
        writer.append(event["type"], event["data"])
    vault.append("com.provara.vault.seal", {"reason": "the end"}, allow_unregistered=True)
    with pytest.raises(BatchError, match=r"event 0 was refused \(and 2 after it\)") as raised:
        writer.flush()
    assert (raised.value.index, raised.value.appended, writer.receipts) == (0, 0, [])
    assert writer.flush() == []


def test_a_writer_notices_that_its_vault_was_replaced(vault: Vault) -> None:
    older = vault.path.parent / "older"
    shutil.copytree(vault.path, older)
    writer = vault.writer()
    writer.append("OBSERVATION", events(1)[0]["data"])
    (receipt,) = writer.flush()
    vault.path.rename(vault.path.parent / "away")
    older.rename(vault.path)
    stood = {path: path.read_bytes() for path in vault.path.rglob("*") if path.is_file()}
    writer.append("OBSERVATION", events(1)[0]["data"])
    with pytest.raises(VaultError, match=f"does not hold {receipt.event_id} any more") as raised:
        writer.flush()
    assert "the 1 event that it had acknowledged" in str(raised.value)
    assert len(writer.receipts) == 1
    assert stood == {path: path.read_bytes() for path in vault.path.rglob("*") if path.is_file()}
    # What could not be written waits for the right log.
    vault.path.rename(vault.path.parent / "wrong")
    (vault.path.parent / "away").rename(vault.path)
    assert len(writer.flush()) == 1
    assert vault.verify(strict=True).valid


def in_child(check: Any) -> None:
    """Run ``check`` in a fork of this process."""
    child = os.fork()
    if not child:
        try:
            check()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_writer_belongs_to_the_process_that_made_it(vault: Vault) -> None:
    before = vault.summary()["event_count"]
    with vault.writer() as writer:
        writer.append("OBSERVATION", events(1)[0]["data"])

        def check() -> None:
            for call in (
                writer.flush,
                lambda: writer.append("OBSERVATION", events(1)[0]["data"]),
                lambda: writer.__exit__(None, None, None),
            ):
                with pytest.raises(UsageError, match="belongs to process"):
                    call()
            writer.__exit__(RuntimeError, RuntimeError(), None)
            # Its own is another matter.
            with vault.writer() as own:
                own.append("OBSERVATION", events(1)[0]["data"], actor="child")

        in_child(check)
    assert vault.summary()["event_count"] == before + 2
    assert vault.verify(strict=True).valid


def test_a_child_holds_no_lock_of_its_parents_threads(vault: Vault) -> None:
    many = threading.Thread(target=lambda: vault.append_many(events(20_000)))
    many.start()
    forked = 0
    while many.is_alive():
        if not (held := _native.held_descriptors()):
            time.sleep(0.001)
            continue
        child = os.fork()
        if not child:
            still = [fd for fd, *file in held if open_file(fd) == file]
            os._exit(len(still))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        forked += 1
        if forked > 3:
            break
    many.join()
    assert forked and not _native.held_descriptors()
    assert vault.verify(strict=True).valid


def open_file(descriptor: int) -> list[int]:
    try:
        there = os.fstat(descriptor)
    except OSError:
        return []
    return [there.st_dev, there.st_ino]


def test_an_event_has_the_same_limit_in_every_way(vault: Vault) -> None:
    """8 MiB of payload, as on the command line and over MCP."""
    most = 8 << 20

    def data(length: int) -> dict[str, str]:
        around = len('{"predicate":"p","subject":"s","value":""}')
        return {"subject": "s", "predicate": "p", "value": "x" * (length - around)}

    vault.append("OBSERVATION", data(most))
    assert len(vault.append_many([{"type": "OBSERVATION", "data": data(most)}])) == 1
    before = vault.summary()["event_count"]
    with pytest.raises(UsageError, match="8388609 bytes, and 8 MiB are the most"):
        vault.append("OBSERVATION", data(most + 1))
    with pytest.raises(BatchError, match="8 MiB are the most"):
        vault.append_many([{"type": "OBSERVATION", "data": data(most + 1)}])
    assert vault.summary()["event_count"] == before
