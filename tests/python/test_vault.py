"""``provara.Vault``: everything a program does with a vault, with the in-process registry."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import provara
import pytest
from provara import AppendReceipt, Finding, Report, Vault
from provara.errors import (
    InvalidEvidenceError,
    PluginError,
    ProvaraError,
    UsageError,
    ValidationError,
    VaultError,
)
from provara.plugins import PluginRegistry
from samples import LOGIN, CountReducer, LoginEventPlugin


def tree(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below a directory: mode, modification time and bytes."""
    found = {}
    for entry in sorted(path.rglob("*")):
        data = entry.stat()
        body = entry.read_bytes() if entry.is_file() else b""
        found[str(entry.relative_to(path))] = (data.st_mode, data.st_mtime_ns, body)
    return found


def test_init(tmp_path: Path) -> None:
    vault = Vault.init(tmp_path / "v", uid="my vault", actor="me", quorum=True)
    assert vault.path == (tmp_path / "v").resolve()
    assert vault.log_path == vault.path / "events" / "events.ndjson"
    assert stat.S_IMODE(vault.default_keyfile.stat().st_mode) == 0o600
    assert json.loads((vault.path / "identity" / "genesis.json").read_text())["uid"] == "my vault"
    events = list(vault.events())
    assert [event["type"] for event in events] == ["GENESIS", "OBSERVATION"]
    assert {event["actor"] for event in events} == {"me"}
    report = vault.verify(strict=True)
    assert report.valid
    assert report.findings == ()
    assert report.event_count == 2
    assert os.fspath(vault) == str(vault.path)
    assert repr(vault) == f"Vault({str(vault.path)!r})"


def test_a_log_that_is_cut_under_its_reader_does_not_end_early(vault: Vault) -> None:
    """A log over 16 MiB is mapped into memory, and another program may cut it."""
    with vault.writer() as writer:
        for _ in range(18):
            data = {"subject": "s", "predicate": "p", "value": "x" * (1 << 20)}
            writer.append("OBSERVATION", data, actor="me")
    whole = vault.log_path.read_bytes()
    reading = vault.events()
    first = next(reading)
    assert first["type"] == "GENESIS"
    os.truncate(vault.log_path, 9 << 20)
    with pytest.raises(ProvaraError, match="while it was read"):
        list(reading)
    vault.log_path.write_bytes(whole)
    assert len(list(vault.events())) == 20
    # What is beyond the cut reads as zeros once the log has grown again, which are no event.
    reading = vault.events()
    next(reading)
    os.truncate(vault.log_path, 9 << 20)
    os.truncate(vault.log_path, len(whole))
    with pytest.raises(ProvaraError, match="while it was read"):
        list(reading)


def test_init_refuses_a_directory_in_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="empty"):
        Vault.init(tmp_path)
    assert tree(tmp_path) == before


def test_the_keyfile_may_live_elsewhere(tmp_path: Path) -> None:
    vault = Vault.init(tmp_path / "v", private_keys=tmp_path / "keys.json")
    assert not vault.default_keyfile.exists()
    with pytest.raises(VaultError, match="no keyfile"):
        vault.append("OBSERVATION", {"a": 1})
    vault.append("OBSERVATION", {"a": 1}, keyfile=tmp_path / "keys.json")
    assert vault.verify(strict=True).valid


def test_opening_what_is_no_vault(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="no vault at") as caught:
        Vault(tmp_path / "absent")
    assert isinstance(caught.value, OSError)
    with pytest.raises(VaultError, match="not a vault"):
        Vault(tmp_path)


def test_append(vault: Vault) -> None:
    receipt = vault.append("OBSERVATION", {"subject": "s", "predicate": "p", "value": 1.5})
    assert isinstance(receipt, AppendReceipt)
    assert receipt.line == 3
    assert receipt.actor == "provara_user"
    assert receipt.prev_event_hash is None
    assert receipt.ts_logical == 1
    event = list(vault.events())[-1]
    assert event == receipt.event
    assert event["event_id"] == receipt.event_id
    assert event["payload"] == {"subject": "s", "predicate": "p", "value": 1.5}
    second = vault.append("OBSERVATION", {"x": 1}, actor="provara_user", namespace="contested")
    assert second.prev_event_hash == receipt.event_id
    assert list(vault.events())[-1]["namespace"] == "contested"
    assert (vault.path / "merkle_root.txt").read_text().strip() == second.merkle_root
    assert vault.verify(strict=True).valid


def test_a_custom_type_carries_the_data_exactly(vault: Vault, registry: PluginRegistry) -> None:
    registry.register_event_type(LoginEventPlugin())
    vault.append("com.acme.audit.login", LOGIN)
    event = list(vault.events())[-1]
    assert event["type"] == "com.acme.audit.login"
    assert event["payload"] == LOGIN


def test_the_schema_refuses_with_the_specifications_text(
    vault: Vault, registry: PluginRegistry
) -> None:
    registry.register_event_type(LoginEventPlugin())
    before = tree(vault.path)
    with pytest.raises(ValidationError) as caught:
        vault.append("com.acme.audit.login", {**LOGIN, "ip_address": "192.168.1"})
    assert str(caught.value) == (
        "ERROR: Event validation failed for type 'com.acme.audit.login'.\n"
        "  Field: 'ip_address'\n"
        "  Error: '192.168.1' is not a valid IPv4 address\n"
        "  Schema: com.acme.audit.login v1.0\n"
        "Fix: Correct the payload to match the schema."
    )
    assert tree(vault.path) == before


def test_the_plugin_refuses(vault: Vault, registry: PluginRegistry) -> None:
    class Picky(LoginEventPlugin):
        def validate(self, data: dict[str, Any]) -> bool:
            data["user_id"] = "changed by the plugin"
            if data["success"]:
                raise ValueError("too good to be true")
            return False

    registry.register_event_type(Picky())
    with pytest.raises(ValidationError, match="Error: too good to be true\n"):
        vault.append("com.acme.audit.login", LOGIN)
    with pytest.raises(ValidationError, match=r"Error: validate\(\) returned False\n"):
        vault.append("com.acme.audit.login", {**LOGIN, "success": False})
    assert LOGIN["user_id"] == "alice"


def test_what_a_plugin_does_to_the_data_is_not_signed(
    vault: Vault, registry: PluginRegistry
) -> None:
    class Meddling(LoginEventPlugin):
        def validate(self, data: dict[str, Any]) -> bool:
            data["user_id"] = "mallory"
            return True

    registry.register_event_type(Meddling())
    vault.append("com.acme.audit.login", LOGIN)
    assert list(vault.events())[-1]["payload"]["user_id"] == "alice"


def test_an_unregistered_type_is_refused(vault: Vault) -> None:
    before = tree(vault.path)
    with pytest.raises(UsageError, match="allow_unregistered=True"):
        vault.append("com.acme.audit.lgoin", LOGIN)
    assert tree(vault.path) == before
    vault.append("com.acme.audit.lgoin", LOGIN, allow_unregistered=True)
    assert list(vault.events())[-1]["type"] == "com.acme.audit.lgoin"


def test_allowing_unregistered_types_does_not_silence_a_registered_one(
    vault: Vault, registry: PluginRegistry
) -> None:
    registry.register_event_type(LoginEventPlugin())
    with pytest.raises(ValidationError):
        vault.append("com.acme.audit.login", {}, allow_unregistered=True)


def test_an_alias_stands_for_its_type(vault: Vault, registry: PluginRegistry) -> None:
    class WithAlias(LoginEventPlugin):
        def cli_command(self) -> str:
            return "login"

    registry.register_event_type(WithAlias())
    assert vault.append("login", LOGIN).event_type == "com.acme.audit.login"
    # A full name keeps the letters that it is given in.
    assert vault.append("com.acme.Audit.LOGIN", LOGIN).event_type == "com.acme.Audit.LOGIN"


@pytest.mark.parametrize(
    ("event_type", "data", "options", "problem"),
    [
        ("GENESIS", {}, {}, "one GENESIS event"),
        ("observation", {"a": 1}, {}, "reserved for core types"),
        ("login", {}, {}, "not in reverse-domain notation"),
        ("OBSERVATION", {"a": 2**53 + 1}, {}, "a: the number 9007199254740993 cannot be kept"),
        ("OBSERVATION", {"a": float("inf")}, {}, "a: Infinity is not JSON"),
        ("OBSERVATION", {"a": {1: 2}}, {}, "a: the key 1 is of type int"),
        ("OBSERVATION", {"a": "\ud800"}, {}, "lone surrogate"),
        ("OBSERVATION", {"a": object()}, {}, "of type object"),
        ("OBSERVATION", {"a": 1}, {"namespace": "somewhere"}, "namespace 'somewhere'"),
        ("OBSERVATION", {"a": 1}, {"confidence": 1.5}, "from 0 to 1"),
        ("OBSERVATION", {"a": 1}, {"actor": ""}, "actor"),
        ("OBSERVATION", {"a": 1}, {"key_id": "bp1_zz"}, "is no key id"),
        ("OBSERVATION", {"a": 1}, {"key_id": "bp1_0123456789abcdef"}, "does not know the key"),
        ("com.a.b", {"a": 1}, {"confidence": 0.5, "allow_unregistered": True}, "confidence"),
        ("ATTESTATION", {}, {"confidence": 0.5}, "confidence"),
    ],
)
def test_bad_input_changes_nothing(
    vault: Vault, event_type: str, data: dict[str, Any], options: dict[str, Any], problem: str
) -> None:
    before = tree(vault.path)
    with pytest.raises(UsageError, match=problem):
        vault.append(event_type, data, **options)
    assert tree(vault.path) == before


def test_a_foreign_keyfile(vault: Vault, tmp_path: Path) -> None:
    other = Vault.init(tmp_path / "other")
    with pytest.raises(UsageError, match="belongs to this vault"):
        vault.append("OBSERVATION", {"a": 1}, keyfile=other.default_keyfile)


def test_events_are_filtered(vault: Vault) -> None:
    for number in range(4):
        vault.append("com.a.b", {"n": number}, actor=f"a{number % 2}", allow_unregistered=True)
    everything = list(vault.events())
    assert [event["payload"]["n"] for event in vault.events(type="com.a.b")] == [0, 1, 2, 3]
    assert [event["payload"]["n"] for event in vault.events(actor="a1")] == [1, 3]
    assert list(vault.events(type="com.a.b", actor="nobody")) == []
    middle = everything[3]["timestamp_utc"]
    assert list(vault.events(after=middle)) == everything[3:]
    assert list(vault.events(before=middle)) == everything[:3]
    moment = datetime.fromisoformat(middle.replace("Z", "+00:00"))
    elsewhere = moment.astimezone(timezone(timedelta(hours=5)))
    assert list(vault.events(after=elsewhere, before=elsewhere + timedelta(microseconds=1))) == [
        everything[3]
    ]
    with pytest.raises(UsageError, match="time zone"):
        vault.events(after=moment.replace(tzinfo=None))
    odd: dict[str, Any] = {
        "after": 3,
        "before": b"7d",
        "type": 3,
        "actor": ["x", None],
        "where": 1.5,
    }
    for name, value in odd.items():
        with pytest.raises(UsageError, match=f"'{name}' takes"):
            vault.events(**{name: value})
    with pytest.raises(UsageError, match="no time for before"):
        vault.events(before="yesterday")


def test_events_meet_conditions(vault: Vault) -> None:
    for value in (300, 900, 2**53 - 1, "900"):
        data = {"subject": "s", "predicate": "p", "value": value, "id.h": f"h{value}"}
        vault.append("OBSERVATION", data)

    def values(*where: str, **more: Any) -> list[Any]:
        events = vault.events(where=where, actor="provara_user", **more)
        return [event["payload"]["value"] for event in events]

    assert values("payload.value >= 900") == [900, 2**53 - 1]
    assert values("payload.value=900") == [900, "900"]
    assert values('payload["id.h"].startsWith("h9")', "payload.value != 900") == [2**53 - 1, "900"]
    assert values(after="1d", type=["GENESIS", "OBSERVATION"]) == [300, 900, 2**53 - 1, "900"]
    assert values(before="2w") == []
    one = [event["payload"]["value"] for event in vault.events(where='payload.value == "900"')]
    assert one == ["900"]
    for wrong in ("payload.value = 1", "payload", "f(x)"):
        with pytest.raises(UsageError, match="at character"):
            vault.events(where=wrong)
    with pytest.raises(UsageError, match="no time for after"):
        vault.events(after="yesterday")
    vault.append("OBSERVATION", {"subject": "s", "predicate": "p", "value": [1] * 6000})
    with pytest.raises(UsageError, match="20 million steps"):
        list(vault.events(where="payload.value.all(x, payload.value.all(y, x == y))"))


def test_events_are_fresh_and_stop_where_the_log_ended(vault: Vault) -> None:
    events = vault.events()
    vault.append("OBSERVATION", {"a": 1})
    seen = list(events)
    assert len(seen) == 2
    seen[0].clear()
    assert next(vault.events())["type"] == "GENESIS"


def test_verify_finds_a_change(vault: Vault) -> None:
    vault.append("OBSERVATION", {"subject": "a", "predicate": "b", "value": "true"})
    log = vault.log_path.read_bytes()
    vault.log_path.write_bytes(log.replace(b'"true"', b'"fals"'))
    report = vault.verify()
    assert isinstance(report, Report)
    assert not report.valid
    codes = {finding.code for finding in report.errors}
    assert {"PROVARA_E004", "PROVARA_E003"} <= codes
    finding = next(f for f in report.errors if f.code == "PROVARA_E004")
    assert isinstance(finding, Finding)
    assert finding.name == "EVENT_ID_MISMATCH"
    assert finding.line == 3
    assert finding.file == "events/events.ndjson"
    assert finding.severity == "error"
    assert str(finding).startswith("PROVARA_E004 events/events.ndjson:3 ")
    with pytest.raises(InvalidEvidenceError, match="the vault is invalid"):
        report.raise_if_invalid()


def test_strict_turns_warnings_into_errors(vault: Vault) -> None:
    # As an interrupted writer leaves it: the list of files is that of before.
    before = (vault.path / "manifest.json").read_bytes()
    vault.append("RECEIPT", {})
    (vault.path / "manifest.json").write_bytes(before)
    report = vault.verify()
    assert report.valid
    assert report.errors == ()
    assert [finding.code for finding in report.warnings] == ["PROVARA_W001"]
    strict = vault.verify(strict=True)
    assert not strict.valid
    assert len(strict.errors) == 1
    vault.append("RECEIPT", {})
    assert vault.verify(strict=True).valid


def test_a_blind_payload_cannot_be_guessed(vault: Vault) -> None:
    vault.append("RECEIPT", {"answer": "yes"}, blind=True)
    with vault.writer() as writer:
        writer.append("RECEIPT", {"answer": "yes"}, blind=True)
    first, second = (event["payload"] for event in list(vault.events())[-2:])
    assert first["answer"] == second["answer"] == "yes"
    assert len(first["blind"]) == len(second["blind"]) == 32
    assert first["blind"] != second["blind"]
    with pytest.raises(ProvaraError):
        vault.append("RECEIPT", {"blind": "x"}, blind=True)


def test_a_vault_without_a_seal_gets_one_on_request(vault: Vault) -> None:
    for name in ("manifest.json", "manifest.sig", "merkle_root.txt"):
        (vault.path / name).unlink()
    with pytest.raises(InvalidEvidenceError, match=r"no manifest\.sig"):
        vault.manifest()
    assert not (vault.path / "manifest.json").exists()
    vault.manifest(new_seal=True)
    assert vault.verify(strict=True).valid


def test_nothing_is_derived_from_what_does_not_verify(
    vault: Vault, registry: PluginRegistry, tmp_path: Path
) -> None:
    registry.register_reducer(CountReducer())
    vault.log_path.write_bytes(vault.log_path.read_bytes().replace(b"initialized", b"initialised"))
    for derive in (
        vault.beliefs,
        vault.reduce,
        lambda: vault.reduce("com.acme.count"),
        lambda: vault.export("ndjson", tmp_path / "out"),
        vault.checkpoint,
    ):
        with pytest.raises(ProvaraError):
            derive()
    assert vault.reduce("com.acme.count", unverified=True) == {"events": 2}
    assert vault.beliefs(unverified=True)["metadata"]["event_count"] == 2
    vault.export("ndjson", tmp_path / "out", unverified=True)


def test_reduce_without_a_plugin_is_the_summary(vault: Vault) -> None:
    receipt = vault.append("OBSERVATION", {"a": 1}, actor="me")
    summary = vault.reduce()
    assert summary == vault.summary()
    assert summary["event_count"] == 3
    assert summary["types"] == {"GENESIS": 1, "OBSERVATION": 2}
    assert summary["actors"]["me"]["head"] == receipt.event_id
    assert summary["last_event"] == receipt.event_id


def test_reduce(vault: Vault, registry: PluginRegistry) -> None:
    registry.register_reducer(CountReducer())
    assert vault.reduce("com.acme.count") == {"events": 2}
    with pytest.raises(UsageError, match=r"'x' \(there is: beliefs, com.acme.count, summary\)"):
        vault.reduce("x")


def test_the_built_in_reducers_give_way_to_plugins(vault: Vault, registry: PluginRegistry) -> None:
    assert vault.reduce("summary") == vault.summary()
    assert vault.reduce("Beliefs") == vault.beliefs()

    class Summary(CountReducer):
        name = "summary"

    registry.register_reducer(Summary())
    assert vault.reduce("summary") == {"events": 2}


@pytest.mark.parametrize("data", [[1], [("a", 1)], "text", None, 7])
def test_data_that_is_no_dict_is_refused(vault: Vault, data: Any) -> None:
    with pytest.raises(UsageError, match="the data of an event is a dict"):
        vault.append("OBSERVATION", data)
    with vault.writer() as writer, pytest.raises(UsageError, match="a dict, not of type"):
        writer.append("OBSERVATION", data)
    assert len(list(vault.events())) == 2


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (None, "returned None"),
        ({"a": {1}}, "a: an object of type set is not JSON"),
        ({"a": float("nan")}, "a: NaN is not JSON"),
        ({None: 1}, "the key None is of type NoneType"),
    ],
)
def test_what_a_reducer_returns_is_json(
    vault: Vault, registry: PluginRegistry, result: object, problem: str
) -> None:
    class Bad(CountReducer):
        def reduce(self, events: Iterator[dict[str, Any]]) -> Any:
            return result

    registry.register_reducer(Bad())
    with pytest.raises(PluginError, match=problem) as caught:
        vault.reduce("com.acme.count")
    assert caught.value.plugin == "com.acme.count"


def test_a_reducer_that_raises(vault: Vault, registry: PluginRegistry) -> None:
    class Bad(CountReducer):
        def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
            raise KeyError("x")

    registry.register_reducer(Bad())
    with pytest.raises(PluginError, match=r"raised in reduce\(\): KeyError: 'x'") as caught:
        vault.reduce("com.acme.count")
    assert isinstance(caught.value.__cause__, KeyError)


def test_beliefs_are_those_of_the_function(vault: Vault) -> None:
    vault.append("OBSERVATION", {"subject": "door", "predicate": "is", "value": "open"})
    beliefs = vault.beliefs()
    assert beliefs["local"]["door:is"]["value"] == "open"
    assert beliefs == provara.beliefs(vault.events())


def test_checkpoint(vault: Vault) -> None:
    path = vault.checkpoint()
    assert path == vault.path / "checkpoints" / "0000000002.chk"
    assert json.loads(path.read_bytes())["event_count"] == 2
    assert vault.verify(strict=True).valid


def test_the_global_registry_is_the_default(tmp_path: Path) -> None:
    from provara.plugins import registry

    vault = Vault.init(tmp_path / "v")

    class Mine(CountReducer):
        name = "com.example.test.vault.mine"

    registry.register_reducer(Mine())
    try:
        assert vault.reduce("com.example.test.vault.mine") == {"events": 2}
    finally:
        registry._records["reducer"].pop("com.example.test.vault.mine")
