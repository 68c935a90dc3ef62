"""Appended by us, read by others: the independent reader over vaults that the executable wrote."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import independent
import primitives
import pytest
from support import LOG, Provara, events, fingerprint


def assert_reads(vault: Path, count: int) -> None:
    """Another program finds every id, signature, chain, hash and the seal as they must be."""
    result = independent.check(vault, written=True)
    assert result.problems == []
    assert (len(result.events), result.legacy_form, result.legacy_id) == (count, 0, 0)


def test_a_new_vault(provara: Provara, tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    provara.run("init", vault, "--uid", "archive-7", "--actor", "registrar")
    assert_reads(vault, 2)
    first, second = events(vault)
    assert first["type"] == "GENESIS"
    assert first["actor"] == second["actor"] == "registrar"
    assert first["payload"]["uid"] == "archive-7"
    genesis = json.loads((vault / "identity" / "genesis.json").read_text())
    assert genesis["uid"] == "archive-7" and genesis["root_key_id"] == first["actor_key_id"]
    assert (vault / "state").is_dir() and (vault / "artifacts" / "cas").is_dir()
    mode = stat.S_IMODE((vault / "identity" / "private_keys.json").stat().st_mode)
    assert mode == 0o600
    provara.run("verify", vault, "--strict")


def test_a_vault_with_a_quorum_key(provara: Provara, tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    provara.run("init", vault, "--quorum")
    assert_reads(vault, 2)
    keys = json.loads((vault / "identity" / "keys.json").read_text())["keys"]
    assert [key["roles"] for key in keys] == [["root", "attestation"], ["quorum", "attestation"]]


def test_a_keyfile_elsewhere(provara: Provara, tmp_path: Path) -> None:
    vault, keyfile = tmp_path / "vault", tmp_path / "safe" / "keys.json"
    keyfile.parent.mkdir()
    provara.run("init", vault, "--private-keys", keyfile)
    assert stat.S_IMODE(keyfile.stat().st_mode) == 0o600
    assert not (vault / "identity" / "private_keys.json").exists()
    provara.append(vault, "OBSERVATION", {"value": 1}, "--keyfile", str(keyfile))
    named = provara.with_environment(PROVARA_KEYFILE=str(keyfile), PROVARA_ACTOR="sensor-1")
    named.append(vault, "OBSERVATION", {"value": 2})
    assert_reads(vault, 4)
    assert events(vault)[-1]["actor"] == "sensor-1"


# Data whose canonical form is easily got wrong. The event must carry the same JSON values.
AWKWARD: list[Any] = [
    {},
    {"float": 1.0, "zero": -0.0, "small": 1e-7, "large": 1e21, "third": 1 / 3, "min": 5e-324},
    {"edge": 9007199254740991, "negative": -9007199254740991, "point": 123456789.125},
    {"\U0001f600": "astral", "\ufb33": "after it by code unit", "é": "é", "e\u0301": "decomposed"},
    {"controls": "\x00\x01\x1f\x7f\u2028\u2029", "escapes": '"\\/\b\f\n\r\t', "tag": "</script>"},
    {"deep": [[[[[[[[{"a": [None, True, False]}]]]]]]]]},
    {"": {"": [""]}, "type": "EVIL", "sig": "none", "event_id": "evt_0"},
    {"10": 1, "9": 2, "A": 3, "a": 4, "_": 5},
    {"ligature": "\ufb01", "rtl": "\u05d0\u202e", "nul": "a\u0000b"},
]


@pytest.mark.parametrize("data", AWKWARD, ids=range(len(AWKWARD)))
def test_awkward_data(provara: Provara, vault: Path, data: dict[str, Any]) -> None:
    for text in (json.dumps(data, indent=3), json.dumps(data, ensure_ascii=False)):
        provara.run(
            "append",
            vault,
            "--type",
            "org.example.awkward.data",
            "--allow-unregistered",
            "--data",
            "-",
            stdin=text,
        )
    assert_reads(vault, 4)
    assert [event["payload"] for event in events(vault)[2:]] == [data, data]
    provara.run("verify", vault, "--strict")


def test_data_from_a_file(provara: Provara, vault: Path, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text('{"from": "a file"}')
    provara.append(vault, "org.example.from.file", f"@{file}", "--allow-unregistered")
    assert events(vault)[-1]["payload"] == {"from": "a file"}
    assert_reads(vault, 3)


def test_a_custom_type_keeps_its_letters_and_its_data(provara: Provara, vault: Path) -> None:
    data = {"subject": "door", "value": 1}
    provara.append(vault, "org.example.sensor_read-2", data, "--allow-unregistered")
    event = events(vault)[-1]
    assert (event["type"], event["payload"]) == ("org.example.sensor_read-2", data)


def name_of(data: str, blind: str | None = None) -> str:
    """The name that the writer gives to wrapped data, which is given in its canonical form."""
    member = "" if blind is None else f'"blind":"{blind}",'
    return "sha256:" + hashlib.sha256(f'{{{member}"value":{data}}}'.encode()).hexdigest()


def test_wrapping_of_observations(provara: Provara, vault: Path) -> None:
    provara.append(vault, "OBSERVATION", {"temperature": 4})
    provara.append(vault, "ASSERTION", {"subject": "door", "value": "open"}, "--confidence", "0.5")
    provara.append(vault, "OBSERVATION", {"subject": "door", "predicate": "state", "value": 1})
    provara.append(vault, "OBSERVATION", {"predicate": "state"}, "--blind")
    written = events(vault)[2:]
    blind = written[3]["payload"]["blind"]
    assert re.fullmatch(r"[0-9a-f]{32}", blind)
    assert [event["payload"] for event in written] == [
        {
            "subject": name_of('{"temperature":4}'),
            "predicate": "OBSERVATION",
            "timestamp": written[0]["timestamp_utc"],
            "value": {"temperature": 4},
        },
        {
            "subject": "door",
            "predicate": name_of('{"subject":"door","value":"open"}'),
            "timestamp": written[1]["timestamp_utc"],
            "value": {"subject": "door", "value": "open"},
            "confidence": 0.5,
        },
        {"subject": "door", "predicate": "state", "value": 1},
        {
            "subject": name_of('{"predicate":"state"}', blind),
            "predicate": "state",
            "timestamp": written[3]["timestamp_utc"],
            "value": {"predicate": "state"},
            "blind": blind,
        },
    ]
    assert_reads(vault, 6)


def test_free_form_statements_do_not_contest_each_other(provara: Provara, vault: Path) -> None:
    for text in ("a", "b", "a"):
        provara.append(vault, "OBSERVATION", {"text": text})
    first, second, _ = events(vault)[2:]
    state = json.loads(provara.run("replay", vault, "--json").stdout)
    assert state["contested"] == {}
    beliefs = {key: state["local"][key] for key in state["local"] if "sha256:" in key}
    assert beliefs == {
        f"{event['payload']['subject']}:OBSERVATION": {
            "actor": event["actor"],
            # What the reducer weighs an observation with that states none: the event has none.
            "confidence": 0.5,
            "evidence_count": 1,
            "provenance": event["event_id"],
            "timestamp": event["timestamp_utc"],
            "value": {"text": text},
        }
        for text, event in (("a", first), ("b", second))
    }


def test_chains_of_several_actors(provara: Provara, vault: Path) -> None:
    for number in range(12):
        actor = f"actor-{number % 3}"
        provara.append(
            vault, "OBSERVATION", {"n": number}, "--actor", actor, "--namespace", "canonical"
        )
    assert_reads(vault, 14)
    by_actor: dict[str, list[dict[str, Any]]] = {}
    for event in events(vault)[2:]:
        by_actor.setdefault(event["actor"], []).append(event)
        assert event["namespace"] == "canonical"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["timestamp_utc"])
    for chain in by_actor.values():
        assert [event["ts_logical"] for event in chain] == [1, 2, 3, 4]
        assert chain[0]["prev_event_hash"] is None


def test_the_receipt_is_the_event(provara: Provara, vault: Path) -> None:
    receipt = provara.append(vault, "OBSERVATION", {"n": 1}, "--json").json()
    event = events(vault)[-1]
    assert receipt["event_id"] == event["event_id"]
    assert (vault / "merkle_root.txt").read_text().strip() == receipt["merkle_root"]


def test_appends_at_the_same_time(provara: Provara, vault: Path) -> None:
    """No event is lost and no chain forks, whoever comes first."""

    def append(number: int) -> None:
        provara.append(vault, "OBSERVATION", {"n": number}, "--actor", f"a{number % 2}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(24)))
    assert_reads(vault, 26)
    stored = [event["payload"]["value"]["n"] for event in events(vault)[2:]]
    assert sorted(stored) == list(range(24))
    provara.run("verify", vault, "--strict")


def test_a_new_seal(provara: Provara, vault: Path) -> None:
    """A file put into the vault is a phantom until `manifest` makes the seal anew."""
    (vault / "artifacts" / "cas" / "scan.bin").write_bytes(b"\x00\x01")
    provara.run("verify", vault, expect=1)
    provara.run("manifest", vault)
    provara.run("verify", vault, "--strict")
    assert_reads(vault, 3)
    assert events(vault)[-1]["type"] == "com.provara.vault.files"
    listed = json.loads((vault / "manifest.json").read_text())["files"]
    assert "artifacts/cas/scan.bin" in [entry["path"] for entry in listed]


def test_a_checkpoint(provara: Provara, vault: Path) -> None:
    provara.append(vault, "OBSERVATION", {"subject": "door", "predicate": "state", "value": 1.0})
    provara.run("checkpoint", vault)
    path = vault / "checkpoints" / "0000000003.chk"
    raw = path.read_bytes()
    checkpoint = primitives.parse(raw)
    assert primitives.token_preserving(checkpoint) == raw.rstrip(b"\n")
    keys = independent.load_keys(vault, independent.Result())
    signature = primitives.decode_base64(checkpoint["sig"], 64)
    assert signature is not None
    message = primitives.token_preserving(primitives.without(checkpoint, "sig"))
    assert primitives.signature_holds(keys.public[checkpoint["key_id"]], signature, message)
    assert checkpoint["event_count"] == "3"
    assert_reads(vault, 3)
    provara.run("verify", vault, "--strict")


def test_the_existing_vaults_can_be_appended_to(provara: Provara, copied_corpus: Path) -> None:
    """A vault of another tool, with its own habits, takes our event and stays valid.

    Where its signature is of no state that the log goes on from, its owner has to look first.
    """
    for name in ("v_base200", "v_cli_append", "v_floats_python", "v_init_quorum"):
        vault = copied_corpus / name
        if name == "v_base200":
            refused = provara.run(
                "append", vault, "--type", "OBSERVATION", "--data", "{}", expect=1
            )
            assert "provara adopt" in refused.stderr
            provara.run("adopt", vault, "--yes")
        known = len(events(vault))
        provara.append(vault, "OBSERVATION", {"appended": "by another tool"}, "--actor", "auditor")
        result = independent.check(vault)
        assert result.problems == [], (name, result.problems)
        assert len(result.events) == known + 1
        provara.run("verify", vault)


@pytest.mark.parametrize("position", range(0, 100, 7))
def test_a_changed_byte_is_found_by_both(
    provara: Provara, vault: Path, tmp_path: Path, position: int
) -> None:
    provara.append(vault, "org.example.a.b", {"n": position}, "--allow-unregistered")
    copy = tmp_path / "changed"
    shutil.copytree(vault, copy)
    log = bytearray((copy / LOG).read_bytes())
    place = len(log) * position // 100
    log[place] ^= 0x01
    (copy / LOG).write_bytes(log)
    before = fingerprint(copy)
    assert independent.check(copy).errors
    provara.run("verify", copy, expect=1)
    assert fingerprint(copy) == before
