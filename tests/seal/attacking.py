"""What somebody can do who writes a vault's files and holds no key of it, as random steps.

An attack begins with the vault as it is, changes log and files, and then makes everything that can
be made without a key look right again: keys.json, manifest.json, merkle_root.txt. What it puts into
the place of manifest.sig is the rest of the choice. Further classes hand it more: what ever lay in
the folder, or a key that was revoked.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tree
import writing
from forge import Signer
from honest import History, PaperOwner, intent_between, live
from names import (
    ADOPTION,
    INTENT,
    KEY_ADDED,
    KEYFILE,
    KEYS,
    LOG,
    MANIFEST,
    REDACTION,
    ROOT,
    SEAL,
    SIGNATURE,
    STATEMENT,
)
from oracle_keys import KeyJudge, written
from writing import Files, joined, lines_of, make_event

#: Later than every honest event.
LATER = writing.Clock(10**15)


@dataclass
class Attacker:
    """One attack in the making."""

    history: History
    foreign: History
    rng: random.Random
    #: Whether what ever lay in the folder is at hand.
    old: bool = False
    #: A key of the vault that was revoked, if the attacker holds it.
    stolen: Signer | None = None
    files: Files = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = dict(self.history.current)
        self.own = [Signer(f"own {self.rng.random()}") for _ in range(self.rng.randint(1, 3))]
        self.signers = [*self.own, *([self.stolen] * 3 if self.stolen else [])]
        self.keys: bytes | None = None
        self.finished = False

    # ---- the log

    @property
    def lines(self) -> list[bytes]:
        return lines_of(self.files.get(LOG, b""))

    def set_lines(self, lines: list[bytes]) -> None:
        self.files[LOG] = joined(lines)

    def events(self) -> list[dict[str, Any]]:
        found = []
        for line in self.lines:
            try:
                value = json.loads(line)
            except ValueError:
                value = {}
            found.append(value if isinstance(value, dict) else {})
        return found

    def place(self) -> int:
        """A line that is not the first."""
        return self.rng.randrange(1, max(2, len(self.lines)))

    def pool(self) -> list[bytes]:
        """Lines from elsewhere: of the vault with the same keys, and what lay in the folder."""
        lines = [line for files in self.foreign.rest for line in lines_of(files[LOG])]
        if self.old:
            lines += [line for files in self.history.rest for line in lines_of(files[LOG])]
        return lines

    def signer(self) -> Signer:
        return self.rng.choice(self.signers)

    def event(self, kind: str, payload: Any, actor: str | None = None) -> bytes:
        """A new line by a key of the attacker's, at the end of an actor's chain."""
        events = [event for event in self.events() if event]
        actors = sorted({str(event.get("actor")) for event in events})
        actor = actor or self.rng.choice([*actors, "mallory"])
        chain = [event for event in events if event.get("actor") == actor]
        members: dict[str, Any] = {
            "actor": actor,
            "payload": payload,
            "prev_event_hash": chain[-1].get("event_id") if chain else None,
            "timestamp_utc": LATER.now(),
            "ts_logical": int(chain[-1].get("ts_logical") or 0) + 1 if chain else 1,
            "type": kind,
        }
        names = [event["seal"] for event in events if event.get("seal")]
        now = self.seal_name()
        name = self.rng.choice([now, now, None, *names[-2:]])
        if name:
            members["seal"] = name
        elif events and self.rng.random() < 0.7:
            members["after"] = events[-1].get("event_id")
        signer = self.signer()
        if self.rng.random() < 0.1:
            # Under the name of another key.
            members["actor_key_id"] = self.rng.choice(self.history.keys).key_id
        return writing.canonical(make_event(signer, members))

    def seal_name(self) -> str | None:
        try:
            return str(json.loads(self.files[SIGNATURE])["merkle_root"])[:32]
        except (KeyError, ValueError, TypeError):
            return None

    # ---- steps on the log

    def drop_line(self) -> None:
        lines = self.lines
        if len(lines) > 1:
            del lines[self.place()]
        self.set_lines(lines)

    def drop_lines(self) -> None:
        lines = self.lines
        some = {self.place() for _ in range(self.rng.randint(2, 4))}
        self.set_lines([line for at, line in enumerate(lines) if at not in some])

    def truncate(self) -> None:
        self.set_lines(self.lines[: self.place()])

    def drop_actor_end(self) -> None:
        """The last events of one actor: no chain breaks."""
        events, lines = self.events(), self.lines
        actors = sorted({str(event.get("actor")) for event in events[1:]})
        if not actors:
            return
        actor = self.rng.choice(actors)
        places = [at for at, event in enumerate(events) if at and event.get("actor") == actor]
        gone = set(places[-self.rng.randint(1, max(1, len(places))) :])
        self.set_lines([line for at, line in enumerate(lines) if at not in gone])

    def drop_actors_after(self) -> None:
        """Every event of some actors beyond a place."""
        events, lines, start = self.events(), self.lines, self.place()
        actors = sorted({str(event.get("actor")) for event in events[start:]})
        gone = {actor for actor in actors if self.rng.random() < 0.5}
        self.set_lines(
            [
                line
                for at, line in enumerate(lines)
                if at < start or events[at].get("actor") not in gone
            ]
        )

    def reorder(self) -> None:
        lines = self.lines
        if len(lines) > 2:
            one, two = self.place(), self.place()
            lines[one], lines[two] = lines[two], lines[one]
        self.set_lines(lines)

    def reorder_chains(self) -> None:
        """Another order in which every chain still holds."""
        lines, events = self.lines, self.events()
        start = self.place()
        tail = [(str(events[at].get("actor")), lines[at]) for at in range(start, len(lines))]
        queues: dict[str, list[bytes]] = {}
        for actor, line in tail:
            queues.setdefault(actor, []).append(line)
        out = lines[:start]
        while queues:
            actor = self.rng.choice(sorted(queues))
            out.append(queues[actor].pop(0))
            if not queues[actor]:
                del queues[actor]
        self.set_lines(out)

    def duplicate(self) -> None:
        lines = self.lines
        lines.insert(self.place(), self.rng.choice(lines))
        self.set_lines(lines)

    def insert_elsewhere(self) -> None:
        """Lines of another vault, at the end or inside."""
        lines, pool = self.lines, self.pool()
        for _ in range(self.rng.randint(1, 3)):
            first = [line for line in pool if b'"prev_event_hash":null' in line]
            line = self.rng.choice(first if first and self.rng.random() < 0.7 else pool)
            at = len(lines) if self.rng.random() < 0.6 else self.place()
            lines.insert(at, line)
        self.set_lines(lines)

    def whole_chain_elsewhere(self) -> None:
        """A whole actor of another vault."""
        source = lines_of(self.rng.choice(self.foreign.rest)[LOG])[1:]
        actors = sorted({str(json.loads(line)["actor"]) for line in source})
        actor = self.rng.choice(actors)
        lines = self.lines + [line for line in source if json.loads(line)["actor"] == actor]
        self.set_lines(lines)

    def append_own(self) -> None:
        payload = {"forged": self.rng.random() < 2, "n": self.rng.randrange(1000)}
        self.set_lines([*self.lines, self.event(writing.NOTE, payload)])

    def insert_own(self) -> None:
        lines = self.lines
        lines.insert(self.place(), self.event(writing.NOTE, {"forged": True}, "mallory"))
        self.set_lines(lines)

    def key_event(self) -> None:
        """Revokes, promotes, adds or adopts with a key of the attacker's."""
        time, mine = LATER.now(), self.rng.choice(self.own)
        victim = self.rng.choice(self.history.keys)
        public = mine.entry()["public_key_b64"]
        roles = self.rng.choice([["root", "attestation"], ["attestation"], ["quorum"], []])
        signer = self.signer()
        kind, payload = self.rng.choice(
            [
                (
                    "KEY_REVOCATION",
                    {
                        "revoked_key_id": victim.key_id,
                        "reason": "x",
                        "trust_boundary_event_id": self.rng.choice(
                            [None, self.rng.choice(self.events()).get("event_id")]
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
                            "event_count": len(self.lines),
                            "log_sha256": writing.sha256(self.files.get(LOG, b"")),
                            "seal": "stale",
                            "tree_root": "0" * 64,
                        },
                        "seal_policy": {
                            "keys": [
                                writing.policy_key(key, ["root", "attestation"], time)
                                for key in self.rng.choice(
                                    [self.own, [*self.own, *self.history.keys], [mine]]
                                )
                            ],
                            "version": 1,
                        },
                    },
                ),
            ]
        )
        self.set_lines([*self.lines, self.event(kind, payload)])

    def state_files(self) -> None:
        count, root = writing.files_root(self.files)
        payload = {"file_count": count, "files_root": root}
        self.set_lines([*self.lines, self.event(STATEMENT, payload)])

    def edit_member(self) -> None:
        """Another value of one member; the id is derived anew, the signature is not good or own."""
        lines, at = self.lines, self.rng.randrange(len(self.lines))
        try:
            event = json.loads(lines[at])
        except ValueError:
            return
        if not isinstance(event, dict) or not event:
            return
        name = self.rng.choice(sorted(event))
        value = event[name]
        if isinstance(value, dict):
            value = {**value, "forged": True}
        elif isinstance(value, str):
            others = [e.get(name) for e in self.events() if e.get(name)]
            value = self.rng.choice([value + "x", "", None, *others])
        elif isinstance(value, int):
            value += self.rng.choice([1, -1, 2**53])
        else:
            value = self.rng.choice([0, "x", []])
        event[name] = value
        if self.rng.random() < 0.2:
            del event[name]
        if self.rng.random() < 0.5:
            event.pop("event_id", None)
            event.pop("sig", None)
            event["actor_key_id"] = self.signer().key_id
            lines[at] = writing.canonical(make_event(self.signer(), event))
        else:
            try:
                lines[at] = writing.canonical(event)
            except ValueError:
                return
        self.set_lines(lines)

    def strip_seal(self) -> None:
        lines, at = self.lines, self.place()
        event = json.loads(lines[at]) if at < len(lines) else {}
        if event.pop("seal", None) or event.pop("after", None):
            lines[at] = writing.canonical(event)
        self.set_lines(lines)

    def forge_tombstone(self) -> None:
        """Takes a payload away, in the name of a redaction that is there or that is made up."""
        lines, events, at = self.lines, self.events(), self.place()
        if at >= len(lines) or not events[at].get("event_id"):
            return
        redactions = [e["event_id"] for e in events if e.get("type") == REDACTION]
        redaction = self.rng.choice([*redactions, "evt_" + "0" * 24])
        if self.rng.random() < 0.5:
            payload = {
                "authority": "x",
                "reason": "OTHER",
                "target_event_id": events[at]["event_id"],
            }
            if self.rng.random() < 0.7:
                payload["target_leaf_hash"] = tree.leaf(lines[at]).hex()
            line = self.event(REDACTION, payload)
            redaction = json.loads(line)["event_id"]
            lines.append(line)
        original = self.rng.choice([None, "0" * 64])
        try:
            lines[at] = writing.tombstone(lines[at], redaction, "OTHER", original)
        except (ValueError, IndexError):
            return
        self.set_lines(lines)

    def edit_tombstone(self) -> None:
        """What is left of a redacted event is changed."""
        lines = self.lines
        stones = [at for at, line in enumerate(lines) if b'"redacted":true' in line]
        if not stones:
            return self.forge_tombstone()
        at = self.rng.choice(stones)
        event = json.loads(lines[at])
        if self.rng.random() < 0.4:
            name = self.rng.choice(sorted(event["payload"]))
            event["payload"][name] = self.rng.choice(["0" * 64, "OTHER ", True, "evt_" + "0" * 24])
        else:
            name = self.rng.choice(sorted(set(event) - {"payload"}))
            others = [e.get(name) for e in self.events() if e.get(name) is not None]
            event[name] = self.rng.choice([*others, "com.acme.other.type", None, 7])
        lines[at] = writing.canonical(event)
        return self.set_lines(lines)

    def other_signature(self) -> None:
        """The signature of one line is put into another, or is spelt otherwise."""
        lines, at = self.lines, self.rng.randrange(len(self.lines))
        event = json.loads(lines[at])
        raw = bytearray(base64.b64decode(event["sig"]))
        if self.rng.random() < 0.5:
            # S + L: the same signature by the equation, refused by RFC 8032.
            order = 2**252 + 27742317777372353535851937790883648493
            s = int.from_bytes(raw[32:], "little") + order
            raw[32:] = (s % 2**256).to_bytes(32, "little")
            event["sig"] = base64.b64encode(bytes(raw)).decode()
        else:
            event["sig"] = self.rng.choice(self.events()).get("sig")
        lines[at] = writing.canonical(event)
        self.set_lines(lines)

    def cut_bytes(self) -> None:
        log = self.files.get(LOG, b"")
        self.files[LOG] = log[: len(log) - self.rng.choice([1, 2, 40, 200])]

    def respace(self) -> None:
        """The same value in other bytes."""
        lines, at = self.lines, self.rng.randrange(len(self.lines))
        old, new = self.rng.choice(
            [(b",", b", "), (b":", b": "), (b"a", b"\\u0061"), (b"{", b"{ "), (b"1", b"1.0")]
        )
        lines[at] = lines[at].replace(old, new, 1)
        if self.rng.random() < 0.3:
            lines[at] += self.rng.choice([b" ", b"\r", b"\t"])
        self.set_lines(lines)

    # ---- steps on files

    def flip_byte(self) -> None:
        path = self.rng.choice(sorted(self.files))
        data = bytearray(self.files[path])
        if data:
            at = self.rng.randrange(len(data))
            data[at] ^= 1 << self.rng.randrange(8)
        self.files[path] = bytes(data)

    def insert_bytes(self) -> None:
        path = self.rng.choice(sorted(self.files))
        data = self.files[path]
        at = self.rng.choice([0, len(data), self.rng.randrange(len(data) + 1)])
        self.files[path] = data[:at] + self.rng.choice([b"\n", b" ", b"x", b"\0"]) + data[at:]

    def beside(self) -> list[str]:
        return sorted(path for path in self.files if path not in {*SEAL, LOG, KEYS})

    def edit_file(self) -> None:
        """A policy or an artifact says something else, in its own form."""
        path = self.rng.choice(self.beside())
        data = self.files[path]
        try:
            value = json.loads(data)
            value["forged"] = True
            if path.endswith("safety_policy.json"):
                value["action_classes"]["L3"]["offline_allowed"] = True
            self.files[path] = json.dumps(value).encode()
        except (ValueError, KeyError, TypeError):
            self.files[path] = data + b"!"

    def retime(self) -> None:
        """The manifest is of another time, and otherwise as it was."""
        manifest = json.loads(self.files[MANIFEST])
        manifest["created_at_utc"] = LATER.now()
        self.files[MANIFEST] = writing.canonical(manifest)

    def remove_file(self) -> None:
        self.files.pop(self.rng.choice(self.beside()), None)

    def add_file(self) -> None:
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
        self.files[self.rng.choice(names)] = self.rng.choice([b"", b"evil", b"{}"])

    def swap_files(self) -> None:
        one, two = self.rng.choice(self.beside()), self.rng.choice(self.beside())
        self.files[one], self.files[two] = self.files[two], self.files[one]

    def foreign_file(self) -> None:
        source = self.rng.choice(self.foreign.rest)
        path = self.rng.choice(sorted(set(source) - {LOG}))
        self.files[path] = source[path]

    def forge_checkpoint(self) -> None:
        """A checkpoint signed by a key of the attacker's."""
        lines, events = self.lines, self.events()
        count = self.rng.randrange(1, len(lines) + 1)
        signer = self.signer()
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
        self.files[f"checkpoints/{count:010}.chk"] = writing.canonical(statement)

    def edit_keys(self) -> None:
        """`keys.json` lists a key of the attacker's, or says something else of a key."""
        try:
            document = json.loads(self.files[KEYS])
            keys = document["keys"]
            choice = self.rng.randrange(5)
            if choice == 0:
                keys.append(self.rng.choice(self.own).entry())
            elif choice == 1:
                keys.insert(0, self.rng.choice(self.own).entry())
            elif choice == 2:
                entry = self.rng.choice(keys)
                entry["status"] = "active" if entry["status"] == "revoked" else "revoked"
            elif choice == 3:
                self.rng.choice(keys)["roles"] = self.rng.choice([["root", "attestation"], []])
            else:
                keys.remove(self.rng.choice(keys))
        except (KeyError, ValueError, IndexError, AttributeError, TypeError):
            return
        self.keys = (json.dumps(document, indent=2) + "\n").encode()
        self.files[KEYS] = self.keys

    def leave_beside(self) -> None:
        """Names that writers use: an intent, temporary files."""
        name = self.rng.choice([INTENT, ".provara-tmp-" + "0" * 24, "events/.provara-tmp-x"])
        self.files[name] = self.rng.choice([b"", b"{}", b'{"type":"provara_intent_v2"}'])

    def forge_intent(self) -> None:
        """An intent that would lead to what stands here now, under a seal of the attacker's."""
        after = dict(self.files)
        writing.reseal(after, self.signer(), LATER.now())
        intent = intent_between(self.history.current, after)
        if intent:
            self.files = {**self.history.current, **intent}

    # ---- steps with what lay in the folder

    def old_files(self) -> None:
        """Some files as they once were."""
        source = self.rng.choice(self.history.rest)
        for path in sorted(set(source) | set(self.files)):
            if self.rng.random() < 0.5:
                if path in source:
                    self.files[path] = source[path]
                else:
                    self.files.pop(path, None)

    def old_beside(self) -> None:
        """Artifacts, policies and checkpoints as they once were, log and seal as they are."""
        source = self.rng.choice(self.history.rest)
        for path in set(self.beside()) | set(source):
            if path in {*SEAL, LOG, KEYS}:
                continue
            if path in source:
                self.files[path] = source[path]
            else:
                self.files.pop(path, None)

    def old_state(self) -> None:
        self.files = dict(self.rng.choice([*self.history.rest, *self.history.between]))

    def old_seal(self) -> None:
        """An old seal, and lines beyond it that may follow it."""
        source = self.rng.choice([*self.history.rest, *self.foreign.rest[:1]])
        sealed = lines_of(source[LOG])
        known = {json.loads(source[SIGNATURE])["merkle_root"][:32]}
        have = set(sealed)
        beyond = [line for line in self.lines if line not in have]
        if self.rng.random() < 0.4:
            # What two copies of the vault put behind the same seal.
            more = lines_of(self.rng.choice(self.foreign.rest)[LOG])
            beyond += [line for line in more if line not in have and line not in beyond]
        if self.rng.random() < 0.8:
            beyond = [line for line in beyond if json.loads(line).get("seal") in {None, *known}]
        kept = [line for line in beyond if self.rng.random() < 0.7]
        if beyond and self.rng.random() < 0.5:
            # One event less, and what its actor said after it.
            gone = self.rng.randrange(len(beyond))
            actor = json.loads(beyond[gone])["actor"]
            kept = [
                line
                for at, line in enumerate(beyond)
                if at < gone or json.loads(line)["actor"] != actor
            ]
        if self.rng.random() < 0.5:
            self.files = dict(source)
        self.set_lines([*sealed, *kept])
        self.files[SIGNATURE] = source[SIGNATURE]

    def old_signature(self) -> None:
        self.files[SIGNATURE] = self.rng.choice(self.history.rest)[SIGNATURE]

    def old_intent(self) -> None:
        if self.history.intents:
            intent = self.rng.choice(self.history.intents)
            self.files |= intent
            if len(intent) > 1 and self.rng.random() < 0.2:
                del self.files[max(intent)]

    def payload_back(self) -> None:
        """What a redaction took away."""
        before = {}
        for files in self.history.rest:
            for line in lines_of(files[LOG]):
                if b'"redacted":true' not in line:
                    before[json.loads(line)["event_id"]] = line
        lines = self.lines
        for at, event in enumerate(self.events()):
            if b'"redacted":true' in lines[at] and event.get("event_id") in before:
                lines[at] = before[event["event_id"]]
        self.set_lines(lines)

    # ---- the end: what can be made without a key

    def finish(self) -> None:
        rng = self.rng
        if self.finished or rng.random() < 0.12:
            return
        if rng.random() < 0.8:
            self.fix_keys()
        choice = rng.random()
        if choice < 0.75:
            self.relist()
        elif choice < 0.9:
            self.relist_stale()
        self.sign()
        if rng.random() < 0.2:
            self.name_root()

    def fix_keys(self) -> None:
        """`keys.json` as it follows from the log, or as it followed from a part of it."""
        if self.keys is not None and self.rng.random() < 0.7:
            return
        try:
            judged = KeyJudge(self.files)
            judged.read_log()
            judged.find_keys()
        except (AttributeError, KeyError, TypeError, ValueError):
            return
        folds = judged.folds
        self.files[KEYS] = written(self.rng.choice([folds[-1], folds[-1], self.rng.choice(folds)]))

    def relist(self) -> None:
        times = [LATER.now(), LATER.now().replace("Z", "+00:00")]
        with contextlib.suppress(KeyError, ValueError, TypeError):
            times.append(str(json.loads(self.files[SIGNATURE])["signed_at_utc"]))
        writing.relist(self.files, self.rng.choice(times))

    def relist_stale(self) -> None:
        """A list that speaks of a shorter log."""
        lines = self.lines
        shorter = {**self.files, LOG: joined(lines[: self.rng.randrange(len(lines) + 1)])}
        writing.relist(shorter, LATER.now())
        self.files |= {path: shorter[path] for path in (MANIFEST, ROOT)}

    def name_root(self) -> None:
        roots = [self.files.get(ROOT, b"x")]
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            roots.append(json.loads(self.files[SIGNATURE])["merkle_root"].encode() + b"\n")
        names = [event["seal"] for event in self.events() if isinstance(event.get("seal"), str)]
        roots += [name.encode() + b"0" * 32 + b"\n" for name in names]
        self.files[ROOT] = self.rng.choice(roots)

    def sign(self) -> None:
        """Something in the place of the signature."""
        rng = self.rng
        root = self.files.get(ROOT, b"").decode(errors="replace").strip()
        choice = rng.randrange(9)
        if choice <= 2:
            return
        if choice == 3:
            self.files.pop(SIGNATURE, None)
        elif choice == 4:
            self.files[SIGNATURE] = rng.choice(self.foreign.rest)[SIGNATURE]
        elif choice == 5:
            try:
                value = json.loads(self.files[SIGNATURE])
                name = rng.choice(["merkle_root", "signed_at_utc", "key_id", "spec_version", "x"])
                value[name] = rng.choice([root, LATER.now(), rng.choice(self.own).key_id, "1.0"])
                self.files[SIGNATURE] = writing.canonical(value) + b"\n"
            except (KeyError, ValueError, TypeError):
                return
        else:
            signer, time = self.signer(), LATER.now()
            if self.stolen and rng.random() < 0.5:
                return self.seal_prefix(self.stolen)
            text = writing.signature_text(signer, root, time)
            if rng.random() < 0.3:
                value = {**json.loads(text), "key_id": rng.choice(self.history.keys).key_id}
                text = writing.canonical(value) + b"\n"
            elif rng.random() < 0.2:
                text = json.dumps(json.loads(text), indent=2).encode() + b"\n"
            self.files[SIGNATURE] = text
            if rng.random() < 0.5 and MANIFEST in self.files:
                try:
                    manifest = json.loads(self.files[MANIFEST])
                    manifest["created_at_utc"] = time
                    self.files[MANIFEST] = writing.canonical(manifest)
                except ValueError:
                    return
        return

    def seal_prefix(self, signer: Signer) -> None:
        """With a key that once counted: a seal for the lines before some place."""
        lines = self.lines
        number = self.rng.randrange(1, len(lines) + 1)
        judged = KeyJudge({**self.files, LOG: joined(lines)})
        try:
            judged.read_log()
            judged.find_keys()
        except (AttributeError, KeyError, TypeError, ValueError):
            return
        sealed = {
            **self.files,
            LOG: joined(lines[:number]),
            KEYS: written(judged.folds[number]),
        }
        for path in list(sealed):
            if path.endswith(".chk") and int("0" + path[-14:-4].lstrip("0")) > number:
                del sealed[path]
        root = writing.root_of(writing.entries_of(sealed))
        self.files[SIGNATURE] = writing.signature_text(signer, root, LATER.now())

    def seal_anew(self) -> None:
        """With a key that once counted: other files, under a seal for lines before some place."""
        assert self.stolen is not None
        if self.rng.random() < 0.8:
            self.rng.choice([Attacker.edit_file, Attacker.add_file, Attacker.remove_file])(self)
        self.relist()
        self.seal_prefix(self.stolen)
        self.finished = True

    # ---- an attack

    def attack(self) -> Files:
        steps = STEPS + (OLD_STEPS * 3 if self.old else [])
        if self.stolen:
            steps = steps + [Attacker.seal_anew] * 8
        for _ in range(self.rng.choice([1, 1, 1, 2, 2, 3, 4])):
            step = self.rng.choice(steps)
            try:
                step(self)
            except (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError):
                # An earlier step broke what this one needs.
                continue
            self.steps.append(step.__name__)
        try:
            self.finish()
        except (ValueError, KeyError, TypeError, AttributeError):
            self.steps.append("unfinished")
        self.files.pop(KEYFILE, None)
        return self.files


STEPS: list[Callable[[Attacker], None]] = [
    Attacker.drop_line,
    Attacker.drop_lines,
    Attacker.truncate,
    Attacker.drop_actor_end,
    Attacker.drop_actors_after,
    Attacker.reorder,
    Attacker.reorder_chains,
    Attacker.duplicate,
    Attacker.insert_elsewhere,
    Attacker.whole_chain_elsewhere,
    Attacker.append_own,
    Attacker.insert_own,
    Attacker.key_event,
    Attacker.state_files,
    Attacker.edit_member,
    Attacker.strip_seal,
    Attacker.forge_tombstone,
    Attacker.edit_tombstone,
    Attacker.other_signature,
    Attacker.cut_bytes,
    Attacker.respace,
    Attacker.flip_byte,
    Attacker.insert_bytes,
    Attacker.edit_file,
    Attacker.retime,
    Attacker.remove_file,
    Attacker.add_file,
    Attacker.swap_files,
    Attacker.foreign_file,
    Attacker.forge_checkpoint,
    Attacker.edit_keys,
    Attacker.leave_beside,
    Attacker.forge_intent,
]

OLD_STEPS: list[Callable[[Attacker], None]] = [
    Attacker.old_files,
    Attacker.old_beside,
    Attacker.old_state,
    Attacker.old_seal,
    Attacker.old_seal,
    Attacker.old_signature,
    Attacker.old_intent,
    Attacker.old_intent,
    Attacker.payload_back,
]


def foreign_of(keys: list[Signer], rng: random.Random, judged: bool) -> History:
    """Another vault with the same keys, by the Python writer, as a successor of this one is."""
    owner = PaperOwner(rng, judged)
    owner.begin(keys=keys[:2])
    return live(owner, rng, rotation=rng.choice(["no", "null"]), target=rng.randint(4, 12))


def copy_of(history: History, rng: random.Random, judged: bool) -> History:
    """Another copy of the vault, which went on by itself from some state at rest."""
    start = rng.choice(history.rest[:-1] or history.rest)
    owner = PaperOwner(rng, judged)
    copy = owner.take(start, history.keys)
    return live(owner, rng, rotation="no", target=len(copy.current[LOG].splitlines()) + 5)
