"""Writes vaults without the product: for logs that the product itself would never write.

It stands on the independent reader's derivations and on `cryptography`, and on nothing
of this project.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import primitives
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TIME = "2026-01-01T00:00:00.000000Z"


class Signer:
    """A test key: its seed is the hash of a word, so that every run makes the same one."""

    def __init__(self, word: str = "", seed: bytes | None = None):
        self.seed = seed or hashlib.sha256(word.encode()).digest()
        self.private = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self.private.public_key().public_bytes_raw()
        self.key_id = primitives.key_id_of(self.public)

    def sign(self, message: bytes) -> str:
        return base64.b64encode(self.private.sign(message)).decode()

    def entry(self, *roles: str) -> dict[str, Any]:
        """The key as `keys.json` lists it."""
        return {
            "key_id": self.key_id,
            "algorithm": "Ed25519",
            "public_key_b64": base64.b64encode(self.public).decode(),
            "roles": list(roles or ("root", "attestation")),
            "scopes": ["all"],
            "status": "active",
            "created_at_utc": TIME,
        }


class Log:
    """A log in the making. Chains, ids and signatures are right unless the caller forces them.

    Its lines stand in the token-preserving form, so that `1.0` stays `1.0` on the way.
    """

    def __init__(self, signer: Signer):
        self.signer = signer
        self.lines: list[bytes] = []
        self.heads: dict[str, tuple[str, int]] = {}

    def add(self, event: dict[str, Any], signer: Signer | None = None) -> dict[str, Any]:
        """Completes and signs an event, unless it has an id of its own already."""
        signer = signer or self.signer
        actor = event.get("actor", "alice")
        head, logical = self.heads.get(actor, (None, 0))
        whole = {
            "type": "OBSERVATION",
            "actor": actor,
            "actor_key_id": signer.key_id,
            "prev_event_hash": head,
            "timestamp_utc": TIME,
            "ts_logical": primitives.Number(logical + 1),
            "payload": {},
            **event,
        }
        hashed = primitives.token_preserving(primitives.without(whole, "event_id", "sig"))
        whole.setdefault("event_id", primitives.event_id_of(hashed))
        signed = primitives.token_preserving(primitives.without(whole, "sig"))
        whole["sig"] = signer.sign(signed)
        self.lines.append(primitives.token_preserving(whole))
        self.heads[actor] = (whole["event_id"], logical + 1)
        return whole

    def write(self, vault: Path) -> None:
        (vault / "events" / "events.ndjson").write_bytes(
            b"".join(line + b"\n" for line in self.lines)
        )


def tokens(value: Any) -> Any:
    """A Python value as the independent reader would have parsed it, numbers as tokens."""
    return primitives.parse(json.dumps(value, ensure_ascii=False).encode())


def give_keys(vault: Path, *signers: Signer) -> None:
    """Makes these the keys of the vault, and puts their halves where they belong."""
    keys = {"keys": [signer.entry() for signer in signers], "revocations": []}
    (vault / "identity" / "keys.json").write_text(json.dumps(keys, indent=2))
    genesis_path = vault / "identity" / "genesis.json"
    genesis = json.loads(genesis_path.read_text())
    genesis_path.write_text(json.dumps({**genesis, "root_key_id": signers[0].key_id}))
    halves = [
        {
            "key_id": signer.key_id,
            "private_key_b64": base64.b64encode(signer.seed).decode(),
            "algorithm": "Ed25519",
        }
        for signer in signers
    ]
    (vault / primitives.KEYFILE).write_text(json.dumps({"keys": halves}))


def seal(vault: Path, signer: Signer) -> None:
    """Writes manifest, root and signature for what now stands in the vault."""
    entries = []
    for path in sorted(vault.rglob("*")):
        name = path.relative_to(vault).as_posix()
        if path.is_file() and name not in {*primitives.SEAL_FILES, primitives.KEYFILE}:
            data = path.read_bytes()
            entries.append(
                {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            )
    entries.sort(key=lambda entry: str(entry["path"]))
    manifest = {
        "backpack_spec_version": "1.0",
        "manifest_version": "manifest.v0",
        "created_at_utc": TIME,
        "file_count": len(entries),
        "files": entries,
    }
    (vault / "manifest.json").write_bytes(primitives.jcs(tokens(manifest)))
    root = primitives.merkle_root([primitives.jcs(tokens(entry)) for entry in entries])
    (vault / "merkle_root.txt").write_text(root + "\n")
    statement = {
        "merkle_root": root,
        "key_id": signer.key_id,
        "spec_version": "1.0",
        "signed_at_utc": TIME,
    }
    statement["sig"] = signer.sign(primitives.jcs(statement))
    (vault / "manifest.sig").write_bytes(primitives.jcs(statement))
