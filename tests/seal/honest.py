"""Honest vaults with a history: made by random commands of the executable, or of the Python writer.

A history keeps every state that the vault was in, so that whatever verifies later can be looked up.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree
import writing
from forge import Signer
from names import (
    ADOPTION,
    INTENT,
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
from writing import Clock, Files, Writer, lines_of, sha256

#: What a vault testifies to: the log, and every file but the seal and what follows from the log.
#: Checkpoints follow from it, too: which of them lie there is not told by what was last sealed.
Evidence = tuple[str, frozenset[tuple[str, str]]]


def checkpoint(path: str) -> bool:
    return path.startswith("checkpoints/") and path.endswith(".chk")


def evidence(files: Mapping[str, bytes]) -> Evidence:
    out = {*SEAL, KEYS, LOG, INTENT, KEYFILE}
    beside = frozenset(
        (path, sha256(data))
        for path, data in files.items()
        if path not in out
        and not path.rpartition("/")[2].startswith(".provara-tmp-")
        and not checkpoint(path)
    )
    return sha256(files.get(LOG, b"")), beside


@dataclass
class History:
    """A vault, how it came to be, and who can sign for it."""

    keys: list[Signer]
    #: At rest, in order; the last is the vault as it is.
    rest: list[Files] = field(default_factory=list)
    #: What a crash may have left between: lines that no seal covers yet.
    between: list[Files] = field(default_factory=list)
    intents: list[Files] = field(default_factory=list)
    #: The key that was revoked, the id of the revocation, and whether it had a boundary.
    revoked: Signer | None = None
    revocation: str = ""
    adopted: bool = False
    operations: list[str] = field(default_factory=list)

    @property
    def current(self) -> Files:
        return self.rest[-1]

    @property
    def known(self) -> set[Evidence]:
        return {evidence(files) for files in (*self.rest, *self.between)}

    @property
    def genuine(self) -> frozenset[str]:
        return frozenset(
            sha256(data)
            for files in self.rest
            for path, data in files.items()
            if path.endswith(".chk")
        )

    def keep(self, files: Files) -> None:
        """A new state at rest, and what may have stood on the disk on the way to it."""
        if self.rest:
            before = self.rest[-1]
            self.between += steps_between(before, files)
            intent = intent_between(before, files)
            if intent:
                self.intents.append(intent)
        self.rest.append(files)


def steps_between(before: Files, after: Files) -> list[Files]:
    """The states in which some new lines are durable and nothing else has changed."""
    old, new = before[LOG], after[LOG]
    last = lines_of(new)[-1]
    if json.loads(last)["type"] == REDACTION:
        # What an append of the same event leaves until it is carried out, which W013 shows.
        return [{**before, LOG: old + last + b"\n"}, {**before, LOG: old + last}]
    if not new.startswith(old):
        return []
    found = []
    kinds = [json.loads(line)["type"] for line in lines_of(new)[len(lines_of(old)) :]]
    if set(kinds) & {STATEMENT, REDACTION, ADOPTION}:
        return []
    at = old
    for line in lines_of(new[len(old) :]):
        at += line + b"\n"
        found.append({**before, LOG: at})
    # The last byte of a line may be missing.
    found += [{**files, LOG: files[LOG][:-1]} for files in list(found)]
    # A checkpoint takes its place before a seal lists it.
    early = {path: data for path, data in after.items() if path.endswith(".chk")}
    found += [{**files, **early} for files in [before, *found]]
    return found


def intent_between(before: Files, after: Files) -> Files | None:
    """The intent that takes a vault from one state to the other, and the log that it stages."""
    changed = [
        path
        for path in (LOG, KEYS, "policies/safety_policy.json", MANIFEST, ROOT)
        if before.get(path) != after.get(path)
    ]
    if not changed or SIGNATURE not in after:
        return None
    beside: Files = {}
    entries = []
    for path in changed:
        was, now = before.get(path), after[path]
        entry: dict[str, Any] = {
            "path": path,
            "was": None if was is None else sha256(was),
            "sha256": sha256(now),
        }
        if path != LOG:
            entry["content"] = now.decode()
        elif was is not None and now.startswith(was):
            entry |= {"append": now[len(was) :].decode(), "after": len(was)}
        else:
            entry["staged"] = f"events/.provara-tmp-{sha256(now)[:24]}"
            beside[entry["staged"]] = now
        entries.append(entry)
    removed = [
        {"path": path, "was": sha256(data)}
        for path, data in sorted(before.items())
        if path.endswith(".chk") and path not in after
    ]
    roots = [
        json.loads(files[SIGNATURE])["merkle_root"] if SIGNATURE in files else None
        for files in (before, after)
    ]
    intent = {
        "files": entries,
        "from": roots[0],
        "operation": "manifest",
        "removed": removed,
        "seal": after[SIGNATURE].decode(),
        "to": roots[1],
        "type": "provara_intent_v2",
    }
    return {INTENT: writing.canonical(intent), **beside}


# --------------------------------------------------------------- the executable


class CommandError(AssertionError):
    """An honest command was refused."""


@dataclass
class Executable:
    """The executable under test, in an environment that holds nothing else."""

    path: Path
    home: Path

    def run(
        self, *arguments: str | Path, expect: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        words = [str(self.path), *map(str, arguments)]
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        done = subprocess.run(
            words, capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        if "panicked at" in done.stderr or (expect is not None and done.returncode != expect):
            shown = " ".join(words)
            raise CommandError(f"$ {shown}\n{done.returncode}\n{done.stdout}{done.stderr}")
        return done


class Owner:
    """Works on one vault through the executable."""

    able = frozenset({"append", "batch", "checkpoint", "manifest", "redact", "adopt", "merge"})

    def __init__(self, executable: Executable, place: Path, rng: random.Random) -> None:
        self.run = executable.run
        self.place, self.vault, self.keyfile = place, place / "vault", place / "keys.json"
        self.rng = rng
        self.count = 0

    def begin(self, start: Files | None = None, keys: list[Signer] | None = None) -> History:
        """A new vault; or one that stands there already, whose keys are these."""
        if start is None or keys is None:
            self.run("init", self.vault, "--quorum", "--private-keys", self.keyfile)
            keys = writing.read_keyfile(self.keyfile.read_bytes())
        else:
            writing.write_to(start, self.vault)
            self.keyfile.write_text(writing.keyfile_text(*keys))
        self.signer, self.quorum = keys[0], keys[1]
        self.history = History(keys)
        self.snapshot("init")
        return self.history

    def snapshot(self, operation: str) -> None:
        self.history.operations.append(operation)
        self.history.keep(writing.read_from(self.vault))

    def signed(self, signer: Signer | None = None) -> list[str | Path]:
        return ["--keyfile", self.keyfile, "--key-id", (signer or self.signer).key_id]

    def note(self, actor: str) -> str:
        self.count += 1
        size = self.rng.choice([1, 1, 1, 300])
        return json.dumps(
            {"type": writing.NOTE, "actor": actor, "data": {"n": self.count, "t": "x" * size}}
        )

    def actor(self) -> str:
        return self.rng.choice(["alice", "bob", "carol", "dora", "eve"])

    # ---- operations, each one command

    def append(self, actor: str | None = None) -> None:
        note = json.loads(self.note(actor or self.actor()))
        more = ["--allow-unregistered", "--actor", note["actor"]]
        data = json.dumps(note["data"])
        self.run(
            "append", self.vault, "--type", note["type"], "--data", data, *more, *self.signed()
        )
        self.snapshot("append")

    def batch(self) -> None:
        lines = [self.note(self.actor()) for _ in range(self.rng.randint(2, 6))]
        file = self.place / "batch.ndjson"
        file.write_text("\n".join(lines) + "\n")
        self.run("append", self.vault, "--batch", file, "--allow-unregistered", *self.signed())
        self.snapshot("batch")

    def checkpoint(self) -> None:
        self.run("checkpoint", self.vault, *self.signed())
        self.snapshot("checkpoint")

    def manifest(self) -> None:
        self.count += 1
        there = sorted(self.vault.glob("artifacts/*.bin"))
        if there and self.rng.random() < 0.3:
            self.rng.choice(there).unlink()
        elif there and self.rng.random() < 0.3:
            self.rng.choice(there).write_bytes(b"changed %d" % self.count)
        else:
            (self.vault / "artifacts" / f"{self.count}.bin").write_bytes(b"file %d" % self.count)
        self.run("manifest", self.vault, "--keyfile", self.keyfile)
        self.snapshot("manifest")

    def redact(self) -> None:
        lines = [json.loads(line) for line in lines_of(self.history.current[LOG])]
        free = [
            line["event_id"]
            for line in lines
            if line["type"] == writing.NOTE and "redacted" not in line["payload"]
        ]
        if not free:
            return self.append()
        target = self.rng.choice(free)
        self.run("redact", self.vault, target, "--yes", "--reason", "OTHER", *self.signed())
        return self.snapshot("redact")

    def rotate(self, boundary: bool = False, batch: bool = False) -> None:
        """Two appends; or a batch, in which an event of another actor stands before them."""
        old, new, by = self.signer, Signer(f"new {self.rng.random()}"), self.quorum
        mine = [json.loads(line) for line in lines_of(self.history.current[LOG])]
        last = [e["event_id"] for e in mine if e["actor_key_id"] == old.key_id][-1]
        time = "2026-11-28T00:00:00.000000Z"
        payloads = writing.rotation(old, new, by, last if boundary else None, time)
        self.history.keys.append(new)
        self.keyfile.write_text(writing.keyfile_text(new, by))
        self.signer = new
        kinds = ("KEY_REVOCATION", "KEY_PROMOTION")
        if batch:
            lines = [json.loads(self.note(self.actor()))]
            for kind, data in zip(kinds, payloads, strict=True):
                lines.append({"type": kind, "actor": "authority", "data": data})
            file = self.place / "batch.ndjson"
            file.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
            self.run(
                "append", self.vault, "--batch", file, "--allow-unregistered", *self.signed(by)
            )
            self.snapshot("rotation in a batch")
        else:
            for kind, data in zip(kinds, payloads, strict=True):
                words = ["--type", kind, "--data", json.dumps(data), "--actor", "authority"]
                self.run("append", self.vault, *words, *self.signed(by))
                self.snapshot(kind)
        self.history.revoked = old
        ids = [json.loads(line) for line in lines_of(self.history.current[LOG])]
        self.history.revocation = next(e["event_id"] for e in ids if e["type"] == "KEY_REVOCATION")

    def adopt(self) -> None:
        self.run("adopt", self.vault, "--yes", *self.signed())
        self.history.adopted = True
        self.snapshot("adopt")

    def merge(self) -> None:
        """A copy goes on by itself, and comes back in one of the two orders."""
        copy = self.place / f"copy{self.count}"
        shutil.copytree(self.vault, copy)
        mine, self.vault = self.vault, copy
        for _ in range(self.rng.randint(1, 2)):
            note = json.loads(self.note(f"away{self.count}"))
            words = ["--allow-unregistered", "--actor", note["actor"]]
            data = json.dumps(note["data"])
            self.run("append", copy, "--type", note["type"], "--data", data, *words, *self.signed())
            # The copy was in that state, though this vault never was.
            self.history.between += [read := writing.read_from(copy), {**read, LOG: read[LOG][:-1]}]
        self.vault = mine
        if self.rng.random() < 0.5:
            self.append()
        order = self.rng.choice([[], ["--append-only"]])
        self.run("merge", self.vault, copy, *order, *self.signed())
        self.snapshot("merge " + "".join(order))


# ------------------------------------------------------------ the Python writer


class PaperOwner:
    """The same operations by the writer that stands on the page alone.

    Its checkpoints hold no true state: `judged` says that only the oracle will look at them.
    """

    def __init__(self, rng: random.Random, judged: bool = True) -> None:
        self.rng = rng
        self.able = frozenset({"append", "batch", "manifest", "redact", "adopt"})
        if judged:
            self.able |= {"checkpoint"}
        self.count = 0

    def begin(self, marked: bool = True, keys: list[Signer] | None = None) -> History:
        made = [Signer(f"{name} {self.rng.random()}") for name in ("root", "quorum")]
        self.signer, self.quorum = keys or made
        self.writer = Writer(
            self.signer, self.quorum, marked=marked, uid=f"v{self.rng.random()}", clock=Clock()
        )
        self.history = History([self.signer, self.quorum])
        self.snapshot("init")
        return self.history

    def take(self, files: Files, keys: list[Signer]) -> History:
        """A vault that stands there already, in whose log the first of these keys counts."""
        self.signer, self.quorum = keys[:2]
        entries = json.loads(files[KEYS])["keys"]
        self.writer = Writer(
            self.signer, self.quorum, clock=Clock(10**14), files=dict(files), keys=entries
        )
        self.count = 10_000 + self.rng.randrange(10_000)
        self.history = History(list(keys))
        self.snapshot("copy")
        return self.history

    def snapshot(self, operation: str) -> None:
        self.history.operations.append(operation)
        self.history.keep(dict(self.writer.files))

    def payload(self) -> dict[str, Any]:
        self.count += 1
        return {"n": self.count}

    def actor(self) -> str:
        return self.rng.choice(["alice", "bob", "carol", "dora", "eve"])

    def append(self) -> None:
        self.writer.append(self.actor(), self.payload(), self.signer)
        self.snapshot("append")

    def batch(self) -> None:
        contents = [(self.actor(), self.payload()) for _ in range(self.rng.randint(2, 6))]
        self.writer.batch(contents, self.signer)
        self.snapshot("batch")

    def manifest(self) -> None:
        self.count += 1
        there = sorted(path for path in self.writer.files if path.startswith("artifacts/"))
        change: dict[str, bytes | None] = {f"artifacts/{self.count}.bin": b"file %d" % self.count}
        if there and self.rng.random() < 0.5:
            change = {self.rng.choice(there): self.rng.choice([None, b"changed %d" % self.count])}
        self.writer.state_files(change, self.signer)
        self.snapshot("manifest")

    def redact(self) -> None:
        lines = lines_of(self.writer.files[LOG])
        events = [json.loads(line) for line in lines]
        free = [
            at
            for at, event in enumerate(events)
            if event["type"] == writing.NOTE and "redacted" not in event["payload"]
        ]
        if not free:
            return self.append()
        at = self.rng.choice(free)
        self.writer.redact(events[at]["event_id"], tree.leaf(lines[at]).hex(), self.signer)
        return self.snapshot("redact")

    def rotate(self, boundary: bool = False, batch: bool = False) -> None:
        old, new, by = self.signer, Signer(f"new {self.rng.random()}"), self.quorum
        mine = [json.loads(line) for line in lines_of(self.writer.files[LOG])]
        last = [e["event_id"] for e in mine if e["actor_key_id"] == old.key_id][-1]
        time = self.writer.clock.now()
        payloads = writing.rotation(old, new, by, last if boundary else None, time)
        contents = list(
            zip(("KEY_REVOCATION", "KEY_PROMOTION"), ("authority",) * 2, payloads, strict=True)
        )
        if batch:
            contents.insert(0, (writing.NOTE, self.actor(), self.payload()))
        for kind, actor, payload in contents:
            self.writer.add(by, actor, kind, payload)
            if not batch:
                self.writer.seal(by)
                self.snapshot(kind)
        if batch:
            self.writer.seal(by)
            self.snapshot("rotation in a batch")
        self.signer = new
        self.history.keys.append(new)
        ids = [json.loads(line) for line in lines_of(self.writer.files[LOG])]
        self.history.revoked = old
        self.history.revocation = next(e["event_id"] for e in ids if e["type"] == "KEY_REVOCATION")

    def adopt(self) -> None:
        self.writer.adopt(self.signer)
        self.history.adopted = True
        self.snapshot("adopt")

    def checkpoint(self) -> None:
        """With a state that is nobody's: the oracle does not look at it."""
        lines = lines_of(self.writer.files[LOG])
        count = len(lines)
        statement = {
            "event_count": count,
            "key_id": self.signer.key_id,
            "last_event_id": json.loads(lines[-1])["event_id"],
            "merkle_root": json.loads(self.writer.files[SIGNATURE])["merkle_root"],
            "signed_at_utc": self.writer.clock.now(),
            "spec_version": "1.0",
            "state": {},
        }
        statement["sig"] = self.signer.sign(writing.canonical(statement))
        self.writer.files[f"checkpoints/{count:010}.chk"] = writing.canonical(statement)
        self.writer.seal(self.signer)
        self.snapshot("checkpoint")


OPERATIONS: list[tuple[str, int]] = [
    ("append", 6),
    ("batch", 3),
    ("checkpoint", 2),
    ("manifest", 2),
    ("redact", 2),
    ("adopt", 1),
    ("merge", 1),
]


def live(
    owner: Owner | PaperOwner, rng: random.Random, *, rotation: str = "maybe", target: int = 0
) -> History:
    """Lets an owner work until the log has some lines. `rotation`: no, maybe, null or last."""
    history = owner.history
    target = target or rng.randint(4, 30)
    able = [(name, weight) for name, weight in OPERATIONS if name in owner.able]
    choices = [name for name, weight in able for _ in range(weight)]
    rotate_at = rng.randint(3, max(3, target - 3)) if rotation in ("null", "last") else None
    if rotation == "maybe" and rng.random() < 0.3:
        rotate_at = rng.randint(3, max(3, target - 3))
    # As the last command, in a batch: no seal is named after the revocation.
    at_the_end = rotate_at is not None and rng.random() < 0.4
    if at_the_end:
        rotate_at = None
    while len(lines_of(history.current[LOG])) < target or rotate_at is not None:
        if rotate_at is not None and len(lines_of(history.current[LOG])) >= rotate_at:
            last = rotation == "last" or (rotation == "maybe" and rng.random() < 0.5)
            owner.rotate(last, batch=rng.random() < 0.5)
            rotate_at = None
            continue
        operation: Callable[[], None] = getattr(owner, rng.choice(choices))
        operation()
    if at_the_end:
        owner.rotate(rotation == "last", batch=rng.random() < 0.7)
    return history
