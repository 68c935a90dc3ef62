"""Logs as Python sees them: strict JSON, numbers, fresh dicts, and honest errors."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from provara import _native
from provara.errors import InvalidEvidenceError, UsageError
from provara.sync_v0 import iter_events, load_events


def log(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_bytes(data)
    return path


def test_load_and_iterate(tmp_path: Path) -> None:
    path = log(tmp_path, b'{"a":1}\n{"a":2}\n')
    assert load_events(path) == [{"a": 1}, {"a": 2}]
    assert load_events(str(path)) == [{"a": 1}, {"a": 2}]
    events = iter_events(path)
    assert next(events) == {"a": 1}
    assert next(events) == {"a": 2}
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(events)


def test_an_empty_log(tmp_path: Path) -> None:
    assert load_events(log(tmp_path, b"")) == []


def test_iteration_is_lazy(tmp_path: Path) -> None:
    path = log(tmp_path, b'{"a":1}\nnot json\n')
    events = iter_events(path)
    assert next(events) == {"a": 1}
    with pytest.raises(InvalidEvidenceError, match="line 2 of"):
        next(events)
    with pytest.raises(StopIteration):
        next(events)


def test_a_missing_log() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load_events("/no/such/file")
    assert os.fspath(caught.value.filename) == "/no/such/file"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"1",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":01}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":1}}',
        b"\xef\xbb\xbf{}",
        b'{"a":1',
    ],
)
def test_what_is_no_event_names_its_line(tmp_path: Path, line: bytes) -> None:
    path = log(tmp_path, b"{}\n" + line + b"\n{}\n")
    with pytest.raises(InvalidEvidenceError, match=r"line 2 of '.*events\.ndjson': ") as caught:
        load_events(path)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("tail", "count"), [(b'{"a":2}', 2), (b'{"a":', 1), (b"\0\0", 1)])
def test_a_tail_without_a_line_end(tmp_path: Path, tail: bytes, count: int) -> None:
    assert len(load_events(log(tmp_path, b'{"a":1}\n' + tail))) == count


def test_lines_longer_than_a_read(tmp_path: Path) -> None:
    events = [{"n": n, "text": "é" * (n * 100_000)} for n in range(6)]
    data = "".join(json.dumps(event, ensure_ascii=n % 2 == 0) + "\n"
                   for n, event in enumerate(events))  # fmt: skip
    assert load_events(log(tmp_path, data.encode())) == events


def test_a_reader_stops_at_its_length(tmp_path: Path) -> None:
    path = log(tmp_path, b'{"a":1}\n{"a":2}\n')
    assert list(_native.EventReader(str(path), 8)) == [{"a": 1}]
    assert list(_native.EventReader(str(path), 0)) == []
    for chunk in (1, 7, 8, 9):
        assert list(_native.EventReader(str(path), 16, chunk)) == [{"a": 1}, {"a": 2}]
    with pytest.raises(InvalidEvidenceError, match="became shorter"):
        list(_native.EventReader(str(path), 100))


def test_a_reader_leaves_the_descriptor_alone(tmp_path: Path) -> None:
    fd = os.open(log(tmp_path, b'{"a":1}\n{"a":2}\n'), os.O_RDONLY)
    try:
        assert list(_native.EventReader(fd)) == [{"a": 1}, {"a": 2}]
        assert list(_native.EventReader(fd, 8)) == [{"a": 1}]
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        list(_native.EventReader(fd))


def test_events_share_nothing(tmp_path: Path) -> None:
    first, second = load_events(log(tmp_path, b'{"a":{"b":[]}}\n' * 2))
    first["a"]["b"].append(1)
    assert second == {"a": {"b": []}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 2**63),
        ("-" + "9" * 400, -int("9" * 400)),
        ("1.0", 1.0),
        ("-0.0", -0.0),
        ("1e3", 1000.0),
        ("1E-7", 1e-7),
        ("5e-324", 5e-324),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ('"\\u0000\\ud83d\\ude00"', "\0😀"),
        (" [ true , false , null ] ", [True, False, None]),
        ('{"":{}}', {"": {}}),
    ],
)
def test_values(text: str, value: Any) -> None:
    parsed = _native.parse_json(text)
    assert parsed == value
    assert type(parsed) is type(value)
    assert _native.parse_json(text.encode()) == value
    if isinstance(value, float):
        assert math.copysign(1, parsed) == math.copysign(1, value)


def test_parsing_agrees_with_json() -> None:
    text = json.dumps({"k" * n: [n, n / 7, str(n), {"n": None}] for n in range(400)})
    assert _native.parse_json(text) == json.loads(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1.0, -0.0, 1e-7, 1e16, 123456789012345678901234567890]},
         '{"b":1,"a":[1.0,-0.0,1e-07,1e+16,123456789012345678901234567890]}'),
        ((1, (2,)), "[1,[2]]"),
        (True, "true"),
        ("\x00\x1f\"\\/é\u2028", '"\\u0000\\u001f\\"\\\\/é\u2028"'),
    ],
)  # fmt: skip
def test_writing(value: Any, text: str) -> None:
    assert _native.to_json(value) == text
    assert json.loads(text) == json.loads(json.dumps(value))


def test_subclasses_of_json_types_are_json() -> None:
    from collections import OrderedDict
    from enum import Enum, IntEnum

    class Level(IntEnum):
        HIGH = 3

    class Name(str, Enum):
        A = "a"

    assert _native.to_json(OrderedDict(level=Level.HIGH, name=Name.A)) == '{"level":3,"name":"a"}'


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "NaN is not JSON"),
        ({"a": [0, float("-inf")]}, "a[1]: Infinity is not JSON"),
        ({"a": {"b": {2: 1}}}, "a.b: the key 2 is of type int, not a string"),
        ({"a": [b"x"]}, "a[0]: an object of type bytes is not JSON"),
        ({"\udc80": 1}, "a string with a lone surrogate is not JSON"),
        ({"a": 10**5000}, "a: an integer with too many digits"),
        ({"a": iter([])}, "a: an object of type list_iterator is not JSON"),
    ],
)
def test_what_is_not_json_is_named(value: Any, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        _native.to_json(value)
    assert str(caught.value) == problem


def test_nesting_is_bounded() -> None:
    deep: Any = 0
    for _ in range(128):
        deep = [deep]
    assert _native.to_json(deep) == "[" * 128 + "0" + "]" * 128
    with pytest.raises(UsageError, match="nested deeper than 128"):
        _native.to_json([deep])


def test_canonical_json() -> None:
    assert _native.canonical_json({"b": 1.0, "a": -0.0, "é": 1e21}) == (
        '{"a":0,"b":1,"é":1e+21}'.encode()
    )
    with pytest.raises(UsageError, match="beyond"):
        _native.canonical_json([2**53])
