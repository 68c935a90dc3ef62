"""Numbers from Python: what is appended is read as what compares equal, or refused."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from provara import Vault, _native, beliefs
from provara.errors import UsageError
from provara.plugins import PluginRegistry
from provara.sync_v0 import iter_events, load_events

LARGE: list[float] = [
    float(2**60),
    1e20,
    2.0**53,
    -(2.0**63),
    1e16,
    123456789012345680000.0,
    1e21,
    1.7976931348623157e308,
]


def last(vault: Vault) -> dict[str, Any]:
    event = json.loads(vault.log_path.read_bytes().splitlines()[-1])
    assert isinstance(event, dict)
    return event


def value_of(events: Iterable[dict[str, Any]]) -> object:
    *_, event = events
    return event["payload"]["value"]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.init(tmp_path / "vault")


def observation(value: object) -> dict[str, Any]:
    return {"subject": "a", "predicate": "b", "value": value}


@pytest.mark.parametrize("number", LARGE)
def test_a_float_is_read_as_the_same_float(vault: Vault, number: float) -> None:
    receipt = vault.append("OBSERVATION", observation([number, {"n": number}]))
    assert receipt.notes == ()
    expected = [number, {"n": number}]
    for found in (
        receipt.event["payload"]["value"],
        value_of(vault.events()),
        value_of(vault.events(type="OBSERVATION")),
        value_of(iter_events(vault.log_path)),
        vault.beliefs()["local"]["a:b"]["value"],
        vault.reduce("beliefs")["local"]["a:b"]["value"],
        beliefs(vault.events())["local"]["a:b"]["value"],
    ):
        assert found == expected
        assert isinstance(found, list) and type(found[0]) is float
    assert vault.verify(strict=True).valid
    # What was logged is taken again and gives the same bytes.
    logged = last(vault)["payload"]
    vault.append("OBSERVATION", value_of_payload(vault))
    assert last(vault)["payload"] == logged


def value_of_payload(vault: Vault) -> dict[str, Any]:
    *_, event = vault.events()
    payload = event["payload"]
    assert isinstance(payload, dict)
    return payload


def test_floats_of_all_exponents_come_back(vault: Vault) -> None:
    rng = random.Random(14)
    floats = []
    for exponent in range(0x7FF):
        bits = rng.getrandbits(1) << 63 | exponent << 52 | rng.getrandbits(52)
        floats.append(struct.unpack("<d", struct.pack("<Q", bits))[0])
    vault.append("OBSERVATION", observation(floats))
    found = value_of(vault.events())
    assert isinstance(found, list)
    assert [float(it).hex() for it in found] == [it.hex() for it in floats]
    raw = vault.log_path.read_bytes().splitlines()[-1]
    with vault.writer() as writer:
        for event in list(vault.events(type="OBSERVATION")):
            writer.append("OBSERVATION", event["payload"])
    again = vault.log_path.read_bytes().splitlines()[-1]

    def payload(line: bytes) -> bytes:
        return line[line.index(b'"payload"') : line.index(b'"prev_event_hash"')]

    assert payload(again) == payload(raw)


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**54, 10**20, 10**21, 10**22])
def test_an_int_that_a_float_holds_is_taken_and_noted(vault: Vault, number: int) -> None:
    receipt = vault.append("OBSERVATION", observation(number))
    assert len(receipt.notes) == 1
    assert receipt.notes[0].startswith("1 integer beyond ±(2^53-1) is kept"), receipt.notes
    assert value_of(vault.events()) == number
    with vault.writer() as writer:
        writer.append("OBSERVATION", observation([number, number]))
    assert writer.receipts[0].notes[0].startswith("2 integers beyond")


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**60, 10**23, 10**400])
def test_an_int_that_no_float_holds_is_refused(vault: Vault, number: int) -> None:
    before = vault.log_path.read_bytes()
    with pytest.raises(UsageError) as caught:
        vault.append("OBSERVATION", observation({"x.y": [1, number]}))
    text = str(caught.value)
    assert r"value.x\.y[1]: the number " in text and "write it as a str" in text
    if abs(number) < 2**200:
        assert f"float({number})" in text
    with pytest.raises(UsageError, match=r"^n: the number"):
        vault.append("OBSERVATION", {"n": number})
    writer = vault.writer()
    with pytest.raises(UsageError, match="write it as a str"):
        writer.append("OBSERVATION", observation(number))
        writer.flush()
    assert vault.log_path.read_bytes() == before


def test_beliefs_of_events_are_those_of_the_log(vault: Vault) -> None:
    for number in (float(2**60), 1e20, 9007199254740992.0, 1e22, 0.1):
        vault.append("OBSERVATION", observation(number))
        vault.append("OBSERVATION", {"subject": repr(number), "predicate": "is", "value": [number]})
    state = vault.beliefs()
    for events in (vault.events(), iter_events(vault.log_path), load_events(vault.log_path)):
        assert beliefs(events) == state


def older(path: Path, numbers: str) -> Path:
    line = '{"actor":"a","event_id":"x","payload":{"value":%s},"type":"OBSERVATION"}\n'
    path.write_text(line % "100000000000000000000" + line % numbers)
    return path


def test_integers_of_an_older_tool_stay_integers(tmp_path: Path) -> None:
    for numbers in ("1.0", "12345678901234567891", "[1e-07]"):
        first, _ = iter_events(older(tmp_path / "log", numbers))
        assert first["payload"]["value"] == 10**20
        assert type(first["payload"]["value"]) is int
    for numbers in ("1", "1e-7", "[100000000000000000000,1e+21]"):
        first, _ = iter_events(older(tmp_path / "log", numbers))
        assert type(first["payload"]["value"]) is float
    # However the log comes in pieces.
    path = older(tmp_path / "log", "1.0")
    for chunk in (1, 7, 100, 1 << 20):
        first, _ = _native.EventReader(str(path), path.stat().st_size, chunk)
        assert type(first["payload"]["value"]) is int
    with path.open("rb") as file:
        # Up to the first line there is none of an older tool.
        size = len(path.read_bytes().splitlines(keepends=True)[0])
        (only,) = _native.EventReader(file.fileno(), size)
        assert type(only["payload"]["value"]) is float
        first, _ = _native.EventReader(file.fileno(), path.stat().st_size)
        assert type(first["payload"]["value"]) is int


class Echo:
    name = "com.example.echo"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        payloads = [event["payload"] for event in events if event["type"] == "com.example.reading"]
        assert all(type(payload["n"]) is float for payload in payloads)
        return {"numbers": [payload["n"] for payload in payloads], "integers": [2**60, 10**30]}


class Reading:
    name = "com.example.reading"
    schema: dict[str, Any] = {"type": "object"}

    def __init__(self) -> None:
        self.seen: list[object] = []

    def validate(self, data: dict[str, Any]) -> bool:
        self.seen.append(data["n"])
        return True


def test_plugins_see_what_was_appended(tmp_path: Path) -> None:
    registry, reading = PluginRegistry(), Reading()
    registry.register_reducer(Echo())
    registry.register_event_type(reading)
    vault = Vault.init(tmp_path / "vault", registry=registry)
    numbers = [float(2**60), 1e20, 2**53]
    for number in numbers:
        vault.append("com.example.reading", {"n": number})
    assert reading.seen == numbers and all(type(it) is float for it in reading.seen)
    result = vault.reduce("com.example.echo")
    assert result["numbers"] == numbers
    assert result["integers"] == [2**60, 10**30]
    assert all(type(it) is int for it in result["integers"])


def test_infinities_and_nan_are_refused(vault: Vault) -> None:
    for number in (math.inf, -math.inf, math.nan):
        with pytest.raises(UsageError, match="is not JSON"):
            vault.append("OBSERVATION", observation(number))
