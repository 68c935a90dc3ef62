#!/usr/bin/env python3
"""An independent reader of the vault format, for cross-checking the product.

Plain Python and the ``cryptography`` package (``primitives.py``). It shares no code
with this project and imports nothing of it, so that an error would have to be made
twice, in two languages, to go unseen. It favours plainness over speed: a few thousand
events per second are enough for a test.

    python independent.py VAULT             # the reader's rules
    python independent.py --written VAULT   # also what a strict writer must produce

It prints one line per problem (``CODE where: what``) and exits with 0 when there is
no error (warnings may remain), 1 when there is one.

Not covered: redactions, vault seals and checkpoints.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from primitives import (
    CORE_TYPES,
    CUSTOM_TYPE,
    EVENT_ID,
    HEX_DIGEST,
    KEY_ID,
    KEYFILE,
    READ_TIME,
    SEAL_FILES,
    WRITE_TIME,
    Number,
    decode_base64,
    event_id_of,
    forms,
    jcs,
    key_id_of,
    merkle_root,
    parse,
    safe_path,
    signature_holds,
    token_preserving,
    without,
)

# ----------------------------------------------------------------------- checks


@dataclass(frozen=True)
class Problem:
    code: str
    where: str
    what: str
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning " if self.warning else ""
        return f"{kind}{self.code} {self.where}: {self.what}"


@dataclass
class Result:
    """What was found, and what was counted."""

    problems: list[Problem] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    legacy_form: int = 0
    legacy_id: int = 0

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.warning]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.warning]

    @property
    def codes(self) -> set[str]:
        return {problem.code for problem in self.errors}

    def error(self, code: str, where: str, what: str) -> None:
        self.problems.append(Problem(code, where, what))

    def warn(self, code: str, where: str, what: str) -> None:
        self.problems.append(Problem(code, where, what, warning=True))


@dataclass
class Keys:
    """The keys known so far, by position in the log."""

    public: dict[str, bytes] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    introduced: set[str] = field(default_factory=set)


def load_keys(vault: Path, result: Result) -> Keys:
    keys = Keys()
    where = "identity/keys.json"
    try:
        entries = parse((vault / where).read_bytes())["keys"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        result.error("E302", where, str(problem))
        return keys
    for entry in entries:
        raw = decode_base64(entry.get("public_key_b64"), 32)
        if raw is None:
            result.error("E102", where, f"{entry.get('key_id')}: the public key is not 32 bytes")
        elif key_id_of(raw) != entry.get("key_id"):
            result.error("E102", where, f"{entry.get('key_id')} is not the id of its key")
        else:
            keys.public[entry["key_id"]] = raw
    return keys


def check_form(line: bytes, where: str, written: bool, result: Result) -> dict[str, Any] | None:
    """The line as an event, if it is one: one object in a canonical form."""
    try:
        value = parse(line)
    except (ValueError, RecursionError) as problem:
        result.error("E104", where, str(problem))
        return None
    if not isinstance(value, dict):
        result.error("E104", where, "not an object")
        return None
    matching = [name for name, canonical in forms(value) if canonical == line]
    if not matching:
        result.error("E104", where, "not in a canonical form")
    elif "jcs" not in matching:
        if written:
            result.error("E104", where, "not RFC 8785")
        result.legacy_form += 1
    return value


def check_fields(event: dict[str, Any], where: str, written: bool, result: Result) -> bool:
    before = len(result.problems)
    for name in ("type", "actor", "actor_key_id", "event_id", "timestamp_utc", "payload", "sig"):
        kind = dict if name == "payload" else str
        if not isinstance(event.get(name), kind) or isinstance(event.get(name), Number):
            result.error("E300", where, f"{name} is missing or not of its type")
    if "prev_event_hash" not in event:
        result.error("E300", where, "prev_event_hash is missing")
    if len(result.problems) > before:
        return False
    if not event["actor"]:
        result.error("E300", where, "actor is empty")
    if event["type"] not in CORE_TYPES and not CUSTOM_TYPE.fullmatch(event["type"]):
        result.error("E301", where, event["type"])
    if not EVENT_ID.fullmatch(event["event_id"]):
        result.error("E101", where, event["event_id"])
    if not KEY_ID.fullmatch(event["actor_key_id"]):
        result.error("E102", where, event["actor_key_id"])
    if not (WRITE_TIME if written else READ_TIME).fullmatch(event["timestamp_utc"]):
        result.error("E105", where, event["timestamp_utc"])
    if decode_base64(event["sig"], 64) is None:
        result.error("E103", where, "the signature is not 64 bytes of Base64")
    logical = event.get("ts_logical")
    if logical is not None and not re.fullmatch(r"-?\d+", str(logical)):
        result.error("E300", where, "ts_logical is not an integer")
    elif logical is not None and not -(2**63) <= int(str(logical)) < 2**63:
        result.error("E300", where, "ts_logical has more than 64 bits")
    if written and not isinstance(logical, Number):
        result.error("E300", where, "ts_logical is missing")
    return len(result.problems) == before


def check_hash_and_signature(
    event: dict[str, Any], keys: Keys, where: str, written: bool, result: Result
) -> None:
    derived = [event_id_of(form) for _, form in forms(without(event, "event_id", "sig"))]
    older = [
        event_id_of(form) for _, form in forms(without(event, "event_id", "sig", "actor_key_id"))
    ]
    if event["event_id"] == derived[0] or (event["event_id"] in derived and not written):
        pass
    elif event["event_id"] in older and not written:
        result.legacy_id += 1
    else:
        result.error("E004", where, f"{event['event_id']} is not {derived[0]}")
    public = keys.public.get(event["actor_key_id"])
    if public is None:
        result.error("E204", where, event["actor_key_id"])
        return
    signature = decode_base64(event["sig"], 64)
    assert signature is not None
    signed = [form for _, form in forms(without(event, "sig"))]
    if written:
        signed = signed[:1]
    if not any(signature_holds(public, signature, message) for message in signed):
        result.error("E003", where, "the signature does not hold")


def check_rotation(
    event: dict[str, Any], position: dict[str, int], keys: Keys, where: str, result: Result
) -> None:
    payload, signer = event["payload"], event["actor_key_id"]
    if event["type"] == "KEY_REVOCATION":
        revoked = payload.get("revoked_key_id")
        if "trust_boundary_event_id" not in payload:
            result.error("E203", where, "no trust boundary")
        if signer == revoked:
            result.error("E200", where, "signed by the key that it revokes")
        elif signer in keys.revoked:
            result.error("E202", where, "signed by a revoked key")
        boundary = payload.get("trust_boundary_event_id")
        limit = position.get(boundary, -1) if isinstance(boundary, str) else None
        for other in result.events if limit is not None else []:
            late = position.get(other["event_id"], 0) > (limit or 0)
            if late and other["actor_key_id"] == revoked:
                result.error("E202", other["event_id"], "after the trust boundary of its key")
        if isinstance(revoked, str):
            keys.revoked.add(revoked)
    elif event["type"] == "KEY_PROMOTION":
        promoted = payload.get("new_key_id") or payload.get("promoted_key_id")
        if signer == promoted:
            result.error("E200", where, "signed by the key that it promotes")
        elif signer in keys.revoked:
            result.error("E202", where, "signed by a revoked key")
        if payload.get("replaces_key_id") not in keys.revoked:
            result.error("E201", where, "no revocation came before")
        raw = decode_base64(payload.get("new_public_key_b64"), 32)
        if raw is not None and key_id_of(raw) == promoted:
            keys.public.setdefault(promoted, raw)
            keys.introduced.add(promoted)


def check_log(vault: Path, keys: Keys, written: bool, result: Result) -> None:
    where = "events/events.ndjson"
    try:
        log = (vault / where).read_bytes()
    except OSError as problem:
        result.error("E302", where, str(problem))
        return
    lines = log.split(b"\n")
    if lines[-1]:
        (result.error if written else result.warn)("E104", where, "no final line end")
    else:
        lines.pop()
    heads: dict[str, dict[str, Any]] = {}
    position: dict[str, int] = {}
    actor_of: dict[str, str] = {}
    keys_of_actor: dict[str, set[str]] = {}
    for number, line in enumerate(lines, 1):
        here = f"line {number}"
        event = check_form(line, here, written, result)
        if event is None or not check_fields(event, here, written, result):
            continue
        check_hash_and_signature(event, keys, here, written, result)
        if event["actor_key_id"] in keys.revoked:
            result.error("E202", here, f"{event['actor_key_id']} was revoked before")
        if event["event_id"] in position:
            result.error("E007", here, event["event_id"])
            continue
        check_chain(event, heads, actor_of, here, written, result)
        used = keys_of_actor.setdefault(event["actor"], set())
        if used and event["actor_key_id"] not in used | keys.introduced:
            result.warn("KEY", here, f"first use of {event['actor_key_id']} by {event['actor']}")
        used.add(event["actor_key_id"])
        position[event["event_id"]] = number
        actor_of[event["event_id"]] = event["actor"]
        check_rotation(event, position, keys, here, result)
        heads[event["actor"]] = event
        result.events.append(event)


def check_chain(
    event: dict[str, Any],
    heads: dict[str, dict[str, Any]],
    actor_of: dict[str, str],
    where: str,
    written: bool,
    result: Result,
) -> None:
    previous = event["prev_event_hash"]
    head = heads.get(event["actor"])
    if head is None:
        if previous is not None:
            if previous not in actor_of:
                result.error("E006", where, str(previous))
            elif actor_of[previous] != event["actor"]:
                result.error("E005", where, str(previous))
            else:
                result.error("E013", where, str(previous))
        logical = 1
    else:
        if previous != head["event_id"]:
            if previous is not None and previous not in actor_of:
                result.error("E006", where, str(previous))
            elif previous is not None and actor_of[previous] != event["actor"]:
                result.error("E005", where, str(previous))
            else:
                result.error("E002", where, f"{previous} is not {head['event_id']}")
        logical = int(head.get("ts_logical") or 0) + 1
    if written and int(event["ts_logical"]) != logical:
        result.error("E300", where, f"ts_logical is not {logical}")


def check_seal(vault: Path, keys: Keys, written: bool, result: Result) -> None:
    try:
        text = (vault / "manifest.json").read_bytes()
        manifest = parse(text)
        entries = manifest["files"]
        paths = [entry["path"] for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        result.error("E302", "manifest.json", str(problem))
        return
    if written and jcs(manifest) != text.rstrip(b"\n"):
        result.error("E104", "manifest.json", "not canonical")
    if (
        manifest.get("backpack_spec_version") != "1.0"
        or manifest.get("manifest_version") != "manifest.v0"
    ):
        result.error("E303", "manifest.json", "unknown version")
    if paths != sorted(paths) or len(set(paths)) != len(paths):
        result.error("E302", "manifest.json", "paths are not sorted and unique")
    if str(manifest.get("file_count")) != str(len(paths)):
        result.error("E302", "manifest.json", "file_count")
    root = vault.resolve()
    for entry in entries:
        path = entry["path"]
        target = vault / path
        if not safe_path(path) or not target.resolve().is_relative_to(root):
            result.error("E302", path, "leaves the vault")
        elif path in SEAL_FILES or path == KEYFILE:
            result.error("E302", path, "must not be listed")
        elif not target.is_file():
            result.error("E010", path, "missing")
        else:
            data = target.read_bytes()
            if str(len(data)) != str(entry["size"]):
                result.error("E011", path, f"{len(data)} bytes")
            if not HEX_DIGEST.fullmatch(str(entry["sha256"])):
                result.error("E100", path, str(entry["sha256"]))
            elif hashlib.sha256(data).hexdigest() != entry["sha256"]:
                result.error("E012", path, "another hash")
    for folder, _, names in os.walk(vault):
        for name in names:
            path = (Path(folder) / name).relative_to(vault).as_posix()
            if path not in paths and path not in SEAL_FILES and not is_keyfile(vault, path):
                result.error("E302", path, "phantom file")
    computed = merkle_root([token_preserving(entry) for entry in entries])
    if (vault / "merkle_root.txt").read_bytes() != computed.encode() + b"\n":
        stored = (vault / "merkle_root.txt").read_text().strip()
        if written or stored != computed:
            result.error("E008", "merkle_root.txt", f"{stored} is not {computed}")
    check_manifest_signature(vault, computed, keys, written, result)


def is_keyfile(vault: Path, path: str) -> bool:
    return path == KEYFILE or (
        path.startswith("identity/") and b"private_key_b64" in (vault / path).read_bytes()
    )


def check_manifest_signature(
    vault: Path, root: str, keys: Keys, written: bool, result: Result
) -> None:
    where = "manifest.sig"
    try:
        seal = parse((vault / where).read_bytes())
    except OSError:
        (result.error if written else result.warn)("SEAL", where, "absent")
        return
    except ValueError as problem:
        result.error("E003", where, str(problem))
        return
    public = keys.public.get(seal.get("key_id"))
    signature = decode_base64(seal.get("sig"), 64)
    message = [form for _, form in forms(without(seal, "sig"))]
    if public is None:
        result.error("E204", where, str(seal.get("key_id")))
    elif signature is None or not any(signature_holds(public, signature, m) for m in message):
        result.error("E003", where, "the signature does not hold")
    elif seal.get("merkle_root") != root:
        (result.error if written else result.warn)("SEAL", where, "stale")


def check(vault: Path, *, written: bool = False) -> Result:
    """Reads the whole vault. ``written`` also asks for what the strict writer promises."""
    result = Result()
    keys = load_keys(vault, result)
    registered = dict(keys.public)
    check_log(vault, keys, written, result)
    if keys.public.keys() - registered.keys():
        result.error("E302", "identity/keys.json", "a promoted key is not registered")
    check_seal(vault, keys, written, result)
    if result.events and result.events[0]["type"] != "GENESIS":
        result.warn("GENESIS", "line 1", "the log does not begin with GENESIS")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vault", type=Path)
    parser.add_argument("--written", action="store_true")
    arguments = parser.parse_args()
    result = check(arguments.vault, written=arguments.written)
    for problem in result.problems:
        print(problem)
    print(
        f"{len(result.events)} events, {len(result.errors)} errors, "
        f"{len(result.warnings)} warnings; {result.legacy_form} in the token-preserving form, "
        f"{result.legacy_id} with the older id"
    )
    return 1 if result.errors else 0


if __name__ == "__main__":
    sys.exit(main())
