"""Steps of an attack that change the files beside the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import writing
from attacker import LATER, Attacker
from honest import intent_between
from names import INTENT, KEYS, LOG, MANIFEST


def flip_byte(by: Attacker) -> None:
    path = by.rng.choice(sorted(by.files))
    data = bytearray(by.files[path])
    if data:
        at = by.rng.randrange(len(data))
        data[at] ^= 1 << by.rng.randrange(8)
    by.files[path] = bytes(data)


def insert_bytes(by: Attacker) -> None:
    path = by.rng.choice(sorted(by.files))
    data = by.files[path]
    at = by.rng.choice([0, len(data), by.rng.randrange(len(data) + 1)])
    by.files[path] = data[:at] + by.rng.choice([b"\n", b" ", b"x", b"\0"]) + data[at:]


def edit_file(by: Attacker) -> None:
    """A policy or an artifact says something else, in its own form."""
    path = by.rng.choice(by.beside())
    data = by.files[path]
    try:
        value = json.loads(data)
        value["forged"] = True
        if path.endswith("safety_policy.json"):
            value["action_classes"]["L3"]["offline_allowed"] = True
        by.files[path] = json.dumps(value).encode()
    except (ValueError, KeyError, TypeError):
        by.files[path] = data + b"!"


def retime(by: Attacker) -> None:
    """The manifest is of another time, and otherwise as it was."""
    manifest = json.loads(by.files[MANIFEST])
    manifest["created_at_utc"] = LATER.now()
    by.files[MANIFEST] = writing.canonical(manifest)


def remove_file(by: Attacker) -> None:
    by.files.pop(by.rng.choice(by.beside()), None)


def add_file(by: Attacker) -> None:
    names = [
        "artifacts/evil.bin",
        "artifacts/cas/evil",
        "state/evil",
        "evil",
        "policies/evil.json",
        "identity/evil.json",
        "checkpoints/0000000003.chk",
        "events/other.ndjson",
        "identity/private_keys.json.bak",
    ]
    by.files[by.rng.choice(names)] = by.rng.choice([b"", b"evil", b"{}"])


def swap_files(by: Attacker) -> None:
    one, two = by.rng.choice(by.beside()), by.rng.choice(by.beside())
    by.files[one], by.files[two] = by.files[two], by.files[one]


def foreign_file(by: Attacker) -> None:
    source = by.rng.choice(by.foreign.rest)
    path = by.rng.choice(sorted(set(source) - {LOG}))
    by.files[path] = source[path]


def forge_checkpoint(by: Attacker) -> None:
    """A checkpoint signed by a key of the attacker's."""
    lines, events = by.lines, by.events()
    count = by.rng.randrange(1, len(lines) + 1)
    signer = by.signer()
    statement: dict[str, Any] = {
        "event_count": count,
        "key_id": signer.key_id,
        "last_event_id": events[count - 1].get("event_id"),
        "merkle_root": "0" * 64,
        "signed_at_utc": LATER.now(),
        "spec_version": "1.0",
        "state": {"archived": {}, "canonical": {}, "contested": {}, "local": {}},
    }
    statement["sig"] = signer.sign(writing.canonical(statement))
    by.files[f"checkpoints/{count:010}.chk"] = writing.canonical(statement)


def edit_keys(by: Attacker) -> None:
    """`keys.json` lists a key of the attacker's, or says something else of a key."""
    try:
        document = json.loads(by.files[KEYS])
        keys = document["keys"]
        choice = by.rng.randrange(5)
        if choice == 0:
            keys.append(by.rng.choice(by.own).entry())
        elif choice == 1:
            keys.insert(0, by.rng.choice(by.own).entry())
        elif choice == 2:
            entry = by.rng.choice(keys)
            entry["status"] = "active" if entry["status"] == "revoked" else "revoked"
        elif choice == 3:
            by.rng.choice(keys)["roles"] = by.rng.choice([["root", "attestation"], []])
        else:
            keys.remove(by.rng.choice(keys))
    except (KeyError, ValueError, IndexError, AttributeError, TypeError):
        return
    by.keys = (json.dumps(document, indent=2) + "\n").encode()
    by.files[KEYS] = by.keys


def leave_beside(by: Attacker) -> None:
    """Names that writers use: an intent, temporary files."""
    name = by.rng.choice([INTENT, ".provara-tmp-" + "0" * 24, "events/.provara-tmp-x"])
    by.files[name] = by.rng.choice([b"", b"{}", b'{"type":"provara_intent_v2"}'])


def forge_intent(by: Attacker) -> None:
    """An intent that would lead to what stands here now, under a seal of the attacker's."""
    after = dict(by.files)
    writing.reseal(after, by.signer(), LATER.now())
    intent = intent_between(by.history.current, after)
    if intent:
        by.files = {**by.history.current, **intent}


STEPS: list[Callable[[Attacker], None]] = [
    flip_byte,
    insert_bytes,
    edit_file,
    retime,
    remove_file,
    add_file,
    swap_files,
    foreign_file,
    forge_checkpoint,
    edit_keys,
    leave_beside,
    forge_intent,
]
