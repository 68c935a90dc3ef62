"""The checker of docs/proofs.md beside `verify-proof`: neither takes a proof that somebody changed.

The checker is what a third party has who has only Python, so it is held to the same changes: of structure,
which a checker that looks at too little lets pass, and of single bytes. It runs with assertions switched off,
too.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import ROOT, Provara

Document = dict[str, Any]


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def stranger() -> tuple[str, str]:
    """A key of nobody, in Base64, and an event that it signed."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = key.public_key().public_bytes_raw()
    event = {
        "actor": "nurse",
        "actor_key_id": "bp1_" + hashlib.sha256(public).hexdigest()[:16],
        "payload": {"value": "never in the vault"},
        "prev_event_hash": None,
        "timestamp_utc": "2026-11-30T00:00:00Z",
        "ts_logical": 1,
        "type": "OBSERVATION",
    }
    event["event_id"] = "evt_" + hashlib.sha256(canonical(event).encode()).hexdigest()[:24]
    event["sig"] = base64.b64encode(key.sign(canonical(event).encode())).decode()
    return base64.b64encode(public).decode(), canonical(event)


def insert(place: int, at: object) -> Callable[[Document], None]:
    """Puts a stranger's event into the list, with his key."""

    def change(proof: Document) -> None:
        key, line = stranger()
        proof["keys"].append(key)
        proof["events"].insert(place, {"at": at, "line": line})

    return change


def at(value: object) -> Callable[[Document], None]:
    """Says that an event stands elsewhere."""

    def change(proof: Document) -> None:
        proof["events"][1]["at"] = value

    return change


def payload(value: Document, place: int = 1) -> Callable[[Document], None]:
    """Puts something in the place of a payload, with the hash of what it was."""

    def change(proof: Document) -> None:
        event = json.loads(proof["events"][place]["line"])
        digest = hashlib.sha256(canonical(event["payload"]).encode()).hexdigest()
        event["payload"] = {"original_payload_hash": digest, **value}
        proof["events"][place]["line"] = canonical(event)

    return change


def only_forged(proof: Document) -> None:
    insert(0, 9999)(proof)
    proof["events"], proof["proof"] = proof["events"][:1], []


def without_a_digest(proof: Document) -> None:
    proof["proof"].pop()


def exchanged(proof: Document) -> None:
    first, second = proof["events"][1:3]
    first["line"], second["line"] = second["line"], first["line"]


TOMBSTONE = {"redacted": True, "redaction_event_id": "evt_" + "0" * 24, "redaction_reason": "x"}

CHANGES: dict[str, Callable[[Document], None]] = {
    "an event twice at one place": insert(2, 2),
    "an event before the first": insert(0, -1),
    "an event between two": insert(1, 0.5),
    "an event beyond the end": insert(4, 9999),
    "an event that is the only one": only_forged,
    "a place that is a float": at(2.0),
    "a place that is a text": at("2"),
    "a place beyond 64 bits": at(2**64),
    "a payload that hashes to nothing known": payload({"value": 99999}),
    "a tombstone with one member more": payload({**TOMBSTONE, "value": 99999}),
    "a tombstone that says false": payload({**TOMBSTONE, "redacted": False}),
    "a tombstone in the place of what the rules read": payload(TOMBSTONE, 0),
    "a digest less": without_a_digest,
    "two events exchanged": exchanged,
}


class Proven:
    """A proof of lines 3 to 5 of a vault, and both who check it."""

    def __init__(self, provara: Provara, vault: Path, directory: Path):
        for number in range(4):
            facts = ("subject=patient", "predicate=dose", f"value={number}")
            words = [word for fact in facts for word in ("--set", fact)]
            provara.run("append", vault, "--actor", "nurse", "--type", "OBSERVATION", *words)
        self.provara = provara
        self.head = directory / "head"
        self.file = directory / "proof"
        provara.run("tree-head", vault, "--output", self.head)
        provara.run("prove", vault, "--lines", "3-5", "--head", self.head, "--output", self.file)
        self.text = self.file.read_text("utf-8")
        self.checker = directory / "check.py"
        page = (ROOT / "docs" / "proofs.md").read_text("utf-8")
        block = re.search(r"^`check\.py`:\n\n```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        assert block is not None
        self.checker.write_text(block[1], "utf-8")

    def verdicts(self, text: str) -> list[bool]:
        """What the executable and the checker, with and without assertions, say of a proof."""
        self.file.write_text(text, "utf-8")
        ours = self.provara.run("verify-proof", self.file, "--head", self.head, expect=None)
        verdicts = [ours.code == 0]
        for options in ([], ["-O"]):
            command = [sys.executable, *options, str(self.checker), str(self.file), str(self.head)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert (done.returncode == 0) == ("these are in" in done.stdout), done
            verdicts.append(done.returncode == 0)
        return verdicts


@pytest.fixture
def proven(provara: Provara, vault: Path, tmp_path: Path) -> Proven:
    return Proven(provara, vault, tmp_path)


def test_a_proof_is_taken_by_both(proven: Proven) -> None:
    assert proven.verdicts(proven.text) == [True, True, True]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_proof_is_taken_by_neither(proven: Proven, change: str) -> None:
    proof = copy.deepcopy(json.loads(proven.text))
    CHANGES[change](proof)
    assert proven.verdicts(canonical(proof) + "\n") == [False, False, False]


def test_no_changed_byte_is_taken(proven: Proven) -> None:
    for place in range(0, len(proven.text) - 1, 97):
        changed = proven.text[:place] + chr(ord(proven.text[place]) ^ 1) + proven.text[place + 1 :]
        assert not any(proven.verdicts(changed)), place


def test_what_is_withheld_is_shown_as_that(proven: Proven) -> None:
    proof = json.loads(proven.text)
    payload(TOMBSTONE)(proof)
    assert proven.verdicts(canonical(proof) + "\n") == [True, True, True]
    shown = proven.provara.run("verify-proof", proven.file, "--head", proven.head)
    assert "(payload withheld)" in shown.stdout and "redacted" not in shown.stdout
    command = [sys.executable, str(proven.checker), str(proven.file), str(proven.head)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "(payload withheld)" in printed and "redaction_reason" not in printed
