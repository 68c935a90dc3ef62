"""Steps of an attack that change the log."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import tree
import writing
from attacker import LATER, Attacker
from names import ADOPTION, KEY_ADDED, LOG, REDACTION, STATEMENT
from writing import lines_of, make_event


def drop_line(by: Attacker) -> None:
    lines = by.lines
    if len(lines) > 1:
        del lines[by.place()]
    by.set_lines(lines)


def drop_lines(by: Attacker) -> None:
    lines = by.lines
    some = {by.place() for _ in range(by.rng.randint(2, 4))}
    by.set_lines([line for at, line in enumerate(lines) if at not in some])


def truncate(by: Attacker) -> None:
    by.set_lines(by.lines[: by.place()])


def drop_actor_end(by: Attacker) -> None:
    """The last events of one actor: no chain breaks."""
    events, lines = by.events(), by.lines
    actors = sorted({str(event.get("actor")) for event in events[1:]})
    if not actors:
        return
    actor = by.rng.choice(actors)
    places = [at for at, event in enumerate(events) if at and event.get("actor") == actor]
    gone = set(places[-by.rng.randint(1, max(1, len(places))) :])
    by.set_lines([line for at, line in enumerate(lines) if at not in gone])


def drop_actors_after(by: Attacker) -> None:
    """Every event of some actors beyond a place."""
    events, lines, start = by.events(), by.lines, by.place()
    actors = sorted({str(event.get("actor")) for event in events[start:]})
    gone = {actor for actor in actors if by.rng.random() < 0.5}
    by.set_lines(
        [line for at, line in enumerate(lines) if at < start or events[at].get("actor") not in gone]
    )


def reorder(by: Attacker) -> None:
    lines = by.lines
    if len(lines) > 2:
        one, two = by.place(), by.place()
        lines[one], lines[two] = lines[two], lines[one]
    by.set_lines(lines)


def reorder_chains(by: Attacker) -> None:
    """Another order in which every chain still holds."""
    lines, events = by.lines, by.events()
    start = by.place()
    tail = [(str(events[at].get("actor")), lines[at]) for at in range(start, len(lines))]
    queues: dict[str, list[bytes]] = {}
    for actor, line in tail:
        queues.setdefault(actor, []).append(line)
    out = lines[:start]
    while queues:
        actor = by.rng.choice(sorted(queues))
        out.append(queues[actor].pop(0))
        if not queues[actor]:
            del queues[actor]
    by.set_lines(out)


def duplicate(by: Attacker) -> None:
    lines = by.lines
    lines.insert(by.place(), by.rng.choice(lines))
    by.set_lines(lines)


def insert_elsewhere(by: Attacker) -> None:
    """Lines of another vault, at the end or inside."""
    lines, pool = by.lines, by.pool()
    for _ in range(by.rng.randint(1, 3)):
        first = [line for line in pool if b'"prev_event_hash":null' in line]
        line = by.rng.choice(first if first and by.rng.random() < 0.7 else pool)
        at = len(lines) if by.rng.random() < 0.6 else by.place()
        lines.insert(at, line)
    by.set_lines(lines)


def whole_chain_elsewhere(by: Attacker) -> None:
    """A whole actor of another vault."""
    source = lines_of(by.rng.choice(by.foreign.rest)[LOG])[1:]
    actors = sorted({str(json.loads(line)["actor"]) for line in source})
    actor = by.rng.choice(actors)
    lines = by.lines + [line for line in source if json.loads(line)["actor"] == actor]
    by.set_lines(lines)


def append_own(by: Attacker) -> None:
    payload = {"forged": by.rng.random() < 2, "n": by.rng.randrange(1000)}
    by.set_lines([*by.lines, by.event(writing.NOTE, payload)])


def insert_own(by: Attacker) -> None:
    lines = by.lines
    lines.insert(by.place(), by.event(writing.NOTE, {"forged": True}, "mallory"))
    by.set_lines(lines)


def key_event(by: Attacker) -> None:
    """Revokes, promotes, adds or adopts with a key of the attacker's."""
    time, mine = LATER.now(), by.rng.choice(by.own)
    victim = by.rng.choice(by.history.keys)
    public = mine.entry()["public_key_b64"]
    roles = by.rng.choice([["root", "attestation"], ["attestation"], ["quorum"], []])
    signer = by.signer()
    kind, payload = by.rng.choice(
        [
            (
                "KEY_REVOCATION",
                {
                    "revoked_key_id": victim.key_id,
                    "reason": "x",
                    "trust_boundary_event_id": by.rng.choice(
                        [None, by.rng.choice(by.events()).get("event_id")]
                    ),
                    "revoked_at_utc": time,
                },
            ),
            (
                "KEY_PROMOTION",
                {
                    "new_key_id": mine.key_id,
                    "new_public_key_b64": public,
                    "algorithm": "Ed25519",
                    "roles": roles,
                    "promoted_by": signer.key_id,
                    "replaces_key_id": victim.key_id,
                    "promoted_at_utc": time,
                },
            ),
            (
                KEY_ADDED,
                {
                    "added_at_utc": time,
                    "algorithm": "Ed25519",
                    "key_id": mine.key_id,
                    "public_key_b64": public,
                    "roles": roles,
                },
            ),
            (
                ADOPTION,
                {
                    "found": {
                        "event_count": len(by.lines),
                        "log_sha256": writing.sha256(by.files.get(LOG, b"")),
                        "seal": "stale",
                        "tree_root": "0" * 64,
                    },
                    "seal_policy": {
                        "keys": [
                            writing.policy_key(key, ["root", "attestation"], time)
                            for key in by.rng.choice([by.own, [*by.own, *by.history.keys], [mine]])
                        ],
                        "version": 1,
                    },
                },
            ),
        ]
    )
    by.set_lines([*by.lines, by.event(kind, payload)])


def state_files(by: Attacker) -> None:
    count, root = writing.files_root(by.files)
    payload = {"file_count": count, "files_root": root}
    by.set_lines([*by.lines, by.event(STATEMENT, payload)])


def edit_member(by: Attacker) -> None:
    """Another value of one member; the id is derived anew, the signature is not good or own."""
    lines, at = by.lines, by.rng.randrange(len(by.lines))
    try:
        event = json.loads(lines[at])
    except ValueError:
        return
    if not isinstance(event, dict) or not event:
        return
    name = by.rng.choice(sorted(event))
    value = event[name]
    if isinstance(value, dict):
        value = {**value, "forged": True}
    elif isinstance(value, str):
        others = [e.get(name) for e in by.events() if e.get(name)]
        value = by.rng.choice([value + "x", "", None, *others])
    elif isinstance(value, int):
        value += by.rng.choice([1, -1, 2**53])
    else:
        value = by.rng.choice([0, "x", []])
    event[name] = value
    if by.rng.random() < 0.2:
        del event[name]
    if by.rng.random() < 0.5:
        event.pop("event_id", None)
        event.pop("sig", None)
        event["actor_key_id"] = by.signer().key_id
        lines[at] = writing.canonical(make_event(by.signer(), event))
    else:
        try:
            lines[at] = writing.canonical(event)
        except ValueError:
            return
    by.set_lines(lines)


def strip_seal(by: Attacker) -> None:
    lines, at = by.lines, by.place()
    event = json.loads(lines[at]) if at < len(lines) else {}
    if event.pop("seal", None) or event.pop("after", None):
        lines[at] = writing.canonical(event)
    by.set_lines(lines)


def forge_tombstone(by: Attacker) -> None:
    """Takes a payload away, in the name of a redaction that is there or that is made up."""
    lines, events, at = by.lines, by.events(), by.place()
    if at >= len(lines) or not events[at].get("event_id"):
        return
    redactions = [e["event_id"] for e in events if e.get("type") == REDACTION]
    redaction = by.rng.choice([*redactions, "evt_" + "0" * 24])
    if by.rng.random() < 0.5:
        payload = {
            "authority": "x",
            "reason": "OTHER",
            "target_event_id": events[at]["event_id"],
        }
        if by.rng.random() < 0.7:
            payload["target_leaf_hash"] = tree.leaf(lines[at]).hex()
        line = by.event(REDACTION, payload)
        redaction = json.loads(line)["event_id"]
        lines.append(line)
    original = by.rng.choice([None, "0" * 64])
    try:
        lines[at] = writing.tombstone(lines[at], redaction, "OTHER", original)
    except (ValueError, IndexError):
        return
    by.set_lines(lines)


def edit_tombstone(by: Attacker) -> None:
    """What is left of a redacted event is changed."""
    lines = by.lines
    stones = [at for at, line in enumerate(lines) if b'"redacted":true' in line]
    if not stones:
        return forge_tombstone(by)
    at = by.rng.choice(stones)
    event = json.loads(lines[at])
    if by.rng.random() < 0.4:
        name = by.rng.choice(sorted(event["payload"]))
        event["payload"][name] = by.rng.choice(["0" * 64, "OTHER ", True, "evt_" + "0" * 24])
    else:
        name = by.rng.choice(sorted(set(event) - {"payload"}))
        others = [e.get(name) for e in by.events() if e.get(name) is not None]
        event[name] = by.rng.choice([*others, "com.acme.other.type", None, 7])
    lines[at] = writing.canonical(event)
    return by.set_lines(lines)


def other_signature(by: Attacker) -> None:
    """The signature of one line is put into another, or is spelt otherwise."""
    lines, at = by.lines, by.rng.randrange(len(by.lines))
    event = json.loads(lines[at])
    raw = bytearray(base64.b64decode(event["sig"]))
    if by.rng.random() < 0.5:
        # S + L: the same signature by the equation, refused by RFC 8032.
        order = 2**252 + 27742317777372353535851937790883648493
        s = int.from_bytes(raw[32:], "little") + order
        raw[32:] = (s % 2**256).to_bytes(32, "little")
        event["sig"] = base64.b64encode(bytes(raw)).decode()
    else:
        event["sig"] = by.rng.choice(by.events()).get("sig")
    lines[at] = writing.canonical(event)
    by.set_lines(lines)


def cut_bytes(by: Attacker) -> None:
    log = by.files.get(LOG, b"")
    by.files[LOG] = log[: len(log) - by.rng.choice([1, 2, 40, 200])]


def respace(by: Attacker) -> None:
    """The same value in other bytes."""
    lines, at = by.lines, by.rng.randrange(len(by.lines))
    old, new = by.rng.choice(
        [(b",", b", "), (b":", b": "), (b"a", b"\\u0061"), (b"{", b"{ "), (b"1", b"1.0")]
    )
    lines[at] = lines[at].replace(old, new, 1)
    if by.rng.random() < 0.3:
        lines[at] += by.rng.choice([b" ", b"\r", b"\t"])
    by.set_lines(lines)


STEPS: list[Callable[[Attacker], None]] = [
    drop_line,
    drop_lines,
    truncate,
    drop_actor_end,
    drop_actors_after,
    reorder,
    reorder_chains,
    duplicate,
    insert_elsewhere,
    whole_chain_elsewhere,
    append_own,
    insert_own,
    key_event,
    state_files,
    edit_member,
    strip_seal,
    forge_tombstone,
    edit_tombstone,
    other_signature,
    cut_bytes,
    respace,
]
