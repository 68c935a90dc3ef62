"""Many events at once, from Python."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from provara import Vault
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
