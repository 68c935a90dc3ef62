"""Writes marked vaults in memory, after the page alone: also what the product would not write.

A vault is a dictionary from relative path to bytes. Nothing here imports the project. The attackers
use its parts with keys of their own; the oracle is tried on what it writes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import primitives
import tree
from forge import Signer
from names import (
    ADOPTION,
    GENESIS,
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

Files = dict[str, bytes]

NOTE = "com.acme.note.taken"

EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Clock:
    """Gives a later time at each call, written as the writer writes it."""

    def __init__(self, start: int = 0) -> None:
        self.microseconds = start

    def now(self) -> str:
        self.microseconds += 1_000_003
        moment = EPOCH + timedelta(microseconds=self.microseconds)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(value: Any) -> bytes:
    """RFC 8785 of a value whose numbers are integers."""
    return primitives.jcs(primitives.parse(json.dumps(value).encode()))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ----------------------------------------------------------------------- events


def make_event(signer: Signer, members: Mapping[str, Any]) -> dict[str, Any]:
    """Derives the id and signs. An id that is given stays."""
    event = {"actor_key_id": signer.key_id, **members}
    event.setdefault("event_id", primitives.event_id_of(canonical(event)))
    event["sig"] = signer.sign(canonical(event))
    return event


def lines_of(log: bytes) -> list[bytes]:
    """The lines of a log, without their ends; a torn last one is among them."""
    lines = log.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


# --------------------------------------------------------------------- the seal


def listed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that a manifest lists."""
    out = {*SEAL, KEYFILE, INTENT}
    return {path: data for path, data in files.items() if path not in out}


def entries_of(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    return [
        {"path": path, "sha256": sha256(data), "size": len(data)}
        for path, data in sorted(listed(files).items())
    ]


def root_of(entries: Iterable[Mapping[str, Any]]) -> str:
    return primitives.merkle_root([canonical(entry) for entry in entries])


def manifest_text(entries: list[dict[str, Any]], time: str) -> bytes:
    document = {
        "backpack_spec_version": "1.0",
        "created_at_utc": time,
        "file_count": len(entries),
        "files": entries,
        "manifest_version": "manifest.v0",
    }
    return canonical(document)


def signature_text(signer: Signer, root: str, time: str) -> bytes:
    statement = {
        "key_id": signer.key_id,
        "merkle_root": root,
        "signed_at_utc": time,
        "spec_version": "1.0",
    }
    statement["sig"] = signer.sign(canonical(statement))
    return canonical(statement) + b"\n"


def relist(files: Files, time: str) -> str:
    """Makes manifest and root anew, as anybody can who writes files; gives the root."""
    entries = entries_of(files)
    root = root_of(entries)
    files[MANIFEST] = manifest_text(entries, time)
    files[ROOT] = root.encode() + b"\n"
    return root


def reseal(files: Files, signer: Signer, time: str) -> str:
    """Makes the three files of the seal anew; gives the root."""
    root = relist(files, time)
    files[SIGNATURE] = signature_text(signer, root, time)
    return root


def files_root(files: Mapping[str, bytes]) -> tuple[int, str]:
    """The statement of files: what is listed but for log, keys and checkpoints."""
    entries = [
        entry
        for entry in entries_of(files)
        if entry["path"] not in {LOG, KEYS}
        and not entry["path"].startswith(("checkpoints/", "anchors/"))
    ]
    return len(entries), root_of(entries)


# ---------------------------------------------------------------------- keys.json


def policy_key(signer: Signer, roles: list[str], time: str) -> dict[str, Any]:
    """A key as the mark states it."""
    listed_as = signer.entry(*roles)
    return {
        "algorithm": "Ed25519",
        "created_at_utc": time,
        "key_id": signer.key_id,
        "public_key_b64": listed_as["public_key_b64"],
        "roles": roles,
        "scopes": ["all"],
    }


#: The members of an entry of `keys.json`, in the order in which the writer prints them.
ENTRY_MEMBERS = (
    "key_id",
    "algorithm",
    "public_key_b64",
    "roles",
    "scopes",
    "status",
    "created_at_utc",
    "revoked_at_utc",
    "revocation_event_id",
    "promotion_event_id",
    "addition_event_id",
)


def keys_text(entries: Iterable[Mapping[str, Any]]) -> bytes:
    """`keys.json` as the writer prints it."""
    keys = [
        {name: entry[name] for name in ENTRY_MEMBERS if entry.get(name) is not None}
        for entry in entries
    ]
    revocations = [
        {
            "key_id": key["key_id"],
            "revocation_event_id": key.get("revocation_event_id"),
            "revoked_at_utc": key.get("revoked_at_utc"),
        }
        for key in keys
        if key["status"] == "revoked"
    ]
    document = {"keys": keys, "revocations": revocations}
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


# ------------------------------------------------------------------------ a vault

POLICIES = {
    "policies/ontology/perception_ontology_v1.json": {"classes": {}, "version": "1"},
    "policies/retention_policy.json": {"events": "permanent"},
    "policies/safety_policy.json": {
        "action_classes": {
            "L0": {"offline_allowed": True, "approval": "local_reducer"},
            "L1": {"offline_allowed": True, "approval": "local_reducer+policy"},
            "L2": {"offline_allowed": "within_lease", "approval": "multi_sensor+signed_policy"},
            "L3": {"offline_allowed": False, "approval": "remote_signature_or_mfa"},
        },
        "merge_ratchet": "most_restrictive_wins",
    },
}


def sync_contract(root: Signer, quorum: Signer | None) -> dict[str, Any]:
    keys = [("root", root)] + ([("quorum", quorum)] if quorum else [])
    return {
        "authorities": [{"role": role, "key_id": key.key_id, "scope": "all"} for role, key in keys],
        "degradation_ladder": ["full", "local"],
        "merge_policies": {},
        "replication_factor": 1,
    }


@dataclass
class Writer:
    """One vault in the making. Each command of the owner is a method, and ends with a new seal."""

    root: Signer
    quorum: Signer | None = None
    marked: bool = True
    uid: str = "test"
    clock: Clock = field(default_factory=Clock)
    #: Whether events are bound to the seal or to the line before; the older tool does not.
    binds: bool = True
    files: Files = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=list)
    heads: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: Id and actor of the last line that the durable seal does not cover.
    beyond: tuple[str, str] | None = None
    #: Every state that the vault was in: at rest, and with a line that no seal covers yet.
    states: list[Files] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.files:
            self._go_on()
            return
        born = self.clock.now()
        initial = [(self.root, ["root", "attestation"])]
        if self.quorum:
            initial.append((self.quorum, ["quorum", "attestation"]))
        self.policy: dict[str, Any] = {
            "keys": [policy_key(key, roles, born) for key, roles in initial],
            "version": 1,
        }
        self.keys = [{**key, "status": "active"} for key in self.policy["keys"]]
        identity = {
            "uid": self.uid,
            "birth_timestamp": born,
            "root_key_id": self.root.key_id,
            "governance_model": "policies/sync_contract.json",
            "initial_ontology_versions": {"perception": "perception_ontology_v1.json"},
        }
        self.files = {path: json.dumps(policy).encode() for path, policy in POLICIES.items()}
        self.files["policies/sync_contract.json"] = json.dumps(
            sync_contract(self.root, self.quorum)
        ).encode()
        self.files[GENESIS] = json.dumps(identity, indent=2).encode() + b"\n"
        self.files[LOG] = b""
        birth: dict[str, Any] = {
            "birth_timestamp": born,
            "root_key_id": self.root.key_id,
            "spec_version": "1.0",
            "uid": self.uid,
        }
        if self.quorum:
            birth["quorum_key_id"] = self.quorum.key_id
        if self.marked:
            birth["seal_policy"] = self.policy
        actor = "sovereign_genesis"
        self.add(self.root, actor, "GENESIS", birth, namespace="canonical")
        started = {"confidence": 1, "predicate": "status", "subject": "system", "value": "up"}
        self.add(self.root, actor, "OBSERVATION", started, namespace="local")
        self.seal(self.root)

    def _go_on(self) -> None:
        """The vault is there already: its files and the entries of its keys are given."""
        for line in lines_of(self.files[LOG]):
            event = json.loads(line)
            self.heads[event["actor"]] = (event["event_id"], event.get("ts_logical") or 0)
        genesis = json.loads(lines_of(self.files[LOG])[0])["payload"]
        self.policy = genesis.get("seal_policy", {"keys": [], "version": 1})

    # ---- parts

    @property
    def durable_seal(self) -> str | None:
        """The root in the durable `manifest.sig`, as far as an event names it."""
        text = self.files.get(SIGNATURE)
        return json.loads(text)["merkle_root"][:32] if text else None

    def add(
        self, signer: Signer, actor: str, kind: str, payload: Any, **more: Any
    ) -> dict[str, Any]:
        """Places an event at the end of the log, without a seal."""
        previous, logical = self.heads.get(actor, (None, 0))
        members: dict[str, Any] = {
            "actor": actor,
            "payload": payload,
            "prev_event_hash": previous,
            "timestamp_utc": self.clock.now(),
            "ts_logical": logical + 1,
            "type": kind,
            **more,
        }
        seal = self.durable_seal
        if self.marked and seal and self.binds:
            # Bound to the seal if that covers everything before; else to the line before.
            if self.beyond is None:
                members["seal"] = seal
            elif self.beyond[1] != actor:
                members["after"] = self.beyond[0]
        event = make_event(signer, members)
        self.beyond = (event["event_id"], actor)
        self.files[LOG] += canonical(event) + b"\n"
        self.heads[actor] = (event["event_id"], logical + 1)
        self._fold(event)
        if SIGNATURE in self.files and kind not in (STATEMENT, REDACTION, ADOPTION):
            # Those come with an intent: no state has the line and not the rest.
            self.states.append(dict(self.files))
        return event

    def _fold(self, event: Mapping[str, Any]) -> None:
        payload, kind = event["payload"], event["type"]
        if kind == "KEY_REVOCATION":
            for entry in self.keys:
                if entry["key_id"] == payload["revoked_key_id"]:
                    entry["status"] = "revoked"
                    entry["revoked_at_utc"] = payload["revoked_at_utc"]
                    entry["revocation_event_id"] = event["event_id"]
        elif kind in ("KEY_PROMOTION", KEY_ADDED):
            promoted = kind == "KEY_PROMOTION"
            self.keys.append(
                {
                    "key_id": payload["new_key_id" if promoted else "key_id"],
                    "algorithm": "Ed25519",
                    "public_key_b64": payload[
                        "new_public_key_b64" if promoted else "public_key_b64"
                    ],
                    "roles": payload["roles"],
                    "scopes": ["all"],
                    "status": "active",
                    "created_at_utc": payload["promoted_at_utc" if promoted else "added_at_utc"],
                    "promotion_event_id" if promoted else "addition_event_id": event["event_id"],
                }
            )

    def seal(self, signer: Signer) -> None:
        self.files[KEYS] = keys_text(self.keys)
        reseal(self.files, signer, self.clock.now())
        self.beyond = None
        self.states.append(dict(self.files))

    # ---- commands

    def append(self, actor: str, payload: Any, signer: Signer | None = None, **more: Any) -> str:
        signer = signer or self.root
        event = self.add(signer, actor, more.pop("kind", NOTE), payload, **more)
        self.seal(signer)
        return str(event["event_id"])

    def batch(self, contents: Iterable[tuple[str, Any]], signer: Signer | None = None) -> None:
        signer = signer or self.root
        for actor, payload in contents:
            self.add(signer, actor, NOTE, payload)
        self.seal(signer)

    def rotate(
        self, old: Signer, new: Signer, by: Signer, boundary: str | None = None
    ) -> tuple[str, str]:
        """The revocation and the promotion; gives their ids."""
        revocation, promotion = rotation(old, new, by, boundary, self.clock.now())
        first = self.append("authority", revocation, by, kind="KEY_REVOCATION")
        second = self.append("authority", promotion, by, kind="KEY_PROMOTION")
        return first, second

    def add_key(self, new: Signer, by: Signer, *roles: str) -> str:
        payload = {
            "added_at_utc": self.clock.now(),
            "algorithm": "Ed25519",
            "key_id": new.key_id,
            "public_key_b64": new.entry()["public_key_b64"],
            "roles": list(roles or ("attestation",)),
        }
        return self.append("authority", payload, by, kind=KEY_ADDED)

    def state_files(self, changes: Mapping[str, bytes | None], signer: Signer | None = None) -> str:
        """What `manifest` does after files were put in place by hand."""
        signer = signer or self.root
        for path, data in changes.items():
            if data is None:
                del self.files[path]
            else:
                self.files[path] = data
        count, root = files_root(self.files)
        payload = {"file_count": count, "files_root": root}
        return self.append("provara_user", payload, signer, kind=STATEMENT)

    def adopt(self, signer: Signer | None = None) -> str:
        signer = signer or self.root
        self.marked = True
        found = {
            "event_count": len(lines_of(self.files[LOG])),
            "log_sha256": sha256(self.files[LOG]),
            "seal": "current" if SIGNATURE in self.files else "absent",
            "tree_root": "00" * 32,
        }
        payload = {"found": found, "seal_policy": self.policy}
        return self.append("provara_user", payload, signer, kind=ADOPTION)

    def redact(self, target: str, leaf: str | None, signer: Signer | None = None) -> str:
        """Appends the redaction and puts the tombstone into the target's place."""
        signer = signer or self.root
        payload = {"authority": "court", "reason": "OTHER", "target_event_id": target}
        if leaf is not None:
            payload["target_leaf_hash"] = leaf
        event = self.add(signer, "provara_user", REDACTION, payload)
        lines = lines_of(self.files[LOG])
        at = next(i for i, line in enumerate(lines) if json.loads(line)["event_id"] == target)
        lines[at] = tombstone(lines[at], event["event_id"])
        self.files[LOG] = joined(lines)
        self.seal(signer)
        return str(event["event_id"])


def rotation(
    old: Signer, new: Signer, by: Signer, boundary: str | None, time: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The payloads of a revocation and of the promotion that follows it."""
    revocation = {
        "revoked_key_id": old.key_id,
        "reason": "lost",
        "trust_boundary_event_id": boundary,
        "revoked_at_utc": time,
    }
    promotion = {
        "new_key_id": new.key_id,
        "new_public_key_b64": new.entry()["public_key_b64"],
        "algorithm": "Ed25519",
        "roles": ["root", "attestation"],
        "promoted_by": by.key_id,
        "replaces_key_id": old.key_id,
        "promoted_at_utc": time,
    }
    return revocation, promotion


def tombstone(
    line: bytes, redaction: str, reason: str = "OTHER", original: str | None = None
) -> bytes:
    start, end = tree.span(line)
    stone = {
        "original_payload_hash": original or sha256(line[start:end]),
        "redacted": True,
        "redaction_event_id": redaction,
        "redaction_reason": reason,
    }
    return line[:start] + canonical(stone) + line[end:]


# ------------------------------------------------------------------------- on disk


def write_to(files: Mapping[str, bytes], directory: Path) -> None:
    """Puts a vault on the disk, with the empty directories that every vault has."""
    for empty in ("artifacts/cas", "state"):
        (directory / empty).mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def read_from(directory: Path) -> Files:
    """Every file of a vault but the private keys."""
    return {
        name: path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and (name := path.relative_to(directory).as_posix()) != KEYFILE
    }


def keyfile_text(*signers: Signer) -> str:
    halves = [
        {
            "key_id": signer.key_id,
            "private_key_b64": base64.b64encode(signer.seed).decode(),
            "algorithm": "Ed25519",
        }
        for signer in signers
    ]
    return json.dumps({"keys": halves})


def read_keyfile(text: bytes) -> list[Signer]:
    return [
        Signer(seed=base64.b64decode(key["private_key_b64"])) for key in json.loads(text)["keys"]
    ]
