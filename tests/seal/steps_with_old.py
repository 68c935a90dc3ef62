"""Steps of an attack with what ever lay in the folder."""

from __future__ import annotations

import json
from collections.abc import Callable

from attacker import Attacker
from names import KEYS, LOG, SEAL, SIGNATURE
from writing import lines_of


def old_files(by: Attacker) -> None:
    """Some files as they once were."""
    source = by.rng.choice(by.history.rest)
    for path in sorted(set(source) | set(by.files)):
        if by.rng.random() < 0.5:
            if path in source:
                by.files[path] = source[path]
            else:
                by.files.pop(path, None)


def old_beside(by: Attacker) -> None:
    """Artifacts, policies and checkpoints as they once were, log and seal as they are."""
    source = by.rng.choice(by.history.rest)
    for path in set(by.beside()) | set(source):
        if path in {*SEAL, LOG, KEYS}:
            continue
        if path in source:
            by.files[path] = source[path]
        else:
            by.files.pop(path, None)


def old_state(by: Attacker) -> None:
    by.files = dict(by.rng.choice([*by.history.rest, *by.history.between]))


def old_seal(by: Attacker) -> None:
    """An old seal, and lines beyond it that may follow it."""
    source = by.rng.choice([*by.history.rest, *by.foreign.rest[:1]])
    sealed = lines_of(source[LOG])
    known = {json.loads(source[SIGNATURE])["merkle_root"][:32]}
    have = set(sealed)
    beyond = [line for line in by.lines if line not in have]
    if by.rng.random() < 0.4:
        # What two copies of the vault put behind the same seal.
        more = lines_of(by.rng.choice(by.foreign.rest)[LOG])
        beyond += [line for line in more if line not in have and line not in beyond]
    if by.rng.random() < 0.8:
        beyond = [line for line in beyond if json.loads(line).get("seal") in {None, *known}]
    kept = [line for line in beyond if by.rng.random() < 0.7]
    if beyond and by.rng.random() < 0.5:
        # One event less, and what its actor said after it.
        gone = by.rng.randrange(len(beyond))
        actor = json.loads(beyond[gone])["actor"]
        kept = [
            line
            for at, line in enumerate(beyond)
            if at < gone or json.loads(line)["actor"] != actor
        ]
    if by.rng.random() < 0.5:
        by.files = dict(source)
    by.set_lines([*sealed, *kept])
    by.files[SIGNATURE] = source[SIGNATURE]


def old_signature(by: Attacker) -> None:
    by.files[SIGNATURE] = by.rng.choice(by.history.rest)[SIGNATURE]


def old_intent(by: Attacker) -> None:
    if by.history.intents:
        intent = by.rng.choice(by.history.intents)
        by.files |= intent
        if len(intent) > 1 and by.rng.random() < 0.2:
            del by.files[max(intent)]


def payload_back(by: Attacker) -> None:
    """What a redaction took away."""
    before = {}
    for files in by.history.rest:
        for line in lines_of(files[LOG]):
            if b'"redacted":true' not in line:
                before[json.loads(line)["event_id"]] = line
    lines = by.lines
    for at, event in enumerate(by.events()):
        if b'"redacted":true' in lines[at] and event.get("event_id") in before:
            lines[at] = before[event["event_id"]]
    by.set_lines(lines)


STEPS: list[Callable[[Attacker], None]] = [
    old_files,
    old_beside,
    old_state,
    old_seal,
    old_seal,
    old_signature,
    old_intent,
    old_intent,
    payload_back,
]
