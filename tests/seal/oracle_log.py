"""The oracle's judgement of the log and of the documents beside it (sections 1, 3, 4 and 8)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import primitives
import tree
from names import (
    ADOPTION,
    CLOSING,
    GENESIS,
    INTENT,
    KEYS,
    LOG,
    MANIFEST,
    REDACTION,
    ROOT,
    SIGNATURE,
    STATEMENT,
)
from oracle_keys import BRINGING, KeyJudge, brought, policy_of
from oracle_line import (
    ANCHOR,
    CHECKPOINT,
    KEPT,
    POLICIES,
    TEMPORARY,
    TOMBSTONE,
    Line,
    Verdict,
    signature_holds,
    signed_by,
    text_of,
)
from primitives import Number


class Judge(KeyJudge):
    """One vault under judgement."""

    #: Whether an intent was carried on, and whether there was nothing left to do.
    settled = False
    settled_whole = False

    def judge(self) -> Verdict:
        if INTENT in self.files and not self.settle():
            self.out.error("E302", INTENT)
        self.forget_leftovers()
        self.read_log()
        self.find_keys()
        self.judge_log()
        self.judge_documents()
        return self.out

    def forget_leftovers(self) -> None:
        """A temporary file that the seal does not list counts for nothing."""
        found = [path for path in self.files if TEMPORARY.fullmatch(path)]
        try:
            listed = {entry["path"] for entry in primitives.parse(self.files[MANIFEST])["files"]}
        except (KeyError, TypeError, ValueError, RecursionError):
            listed = set()
        for path in found:
            if path not in listed:
                self.files = {name: data for name, data in self.files.items() if name != path}
                self.out.warn("W001", path)

    # ---- the lines together

    def judge_log(self) -> None:
        out = self.out
        if not self.lines:
            out.error("E302", "empty log")
        self.accepted_tombstones: dict[int, str] = {}
        heads: dict[str, Line] = {}
        position: dict[str, int] = {}
        all_ids = {line.get("event_id"): line for line in self.lines if line.event}
        self.good: list[bool] = []
        closed = False
        legacy = False
        for at, line in enumerate(self.lines):
            where = f"line {at + 1}"
            for problem in line.problems:
                out.error(problem, where)
            legacy = legacy or line.legacy
            if (line.kind == "GENESIS") != (at == 0):
                out.error("E302", where)
            if closed and line.kind != REDACTION:
                out.error("E302", where)
            closed = closed or line.kind == CLOSING
            if line.problems:
                self.good.append(False)
                continue
            good = self.judge_signer(line, at, where)
            event_id, actor = line.get("event_id"), line.get("actor")
            if event_id in position:
                out.error("E007", where)
                self.good.append(False)
                continue
            good = self.judge_chain(line, heads, position, all_ids, where) and good
            if line.get("seal") is not None and not out.marked:
                # Of `after` nothing is said: it comes after a line that names a seal.
                out.error("E206", where)
            self.clocks(line, heads.get(actor), where)
            position[event_id] = at
            heads[actor] = line
            if at in self.key_faults:
                code = self.key_faults[at]
                # A signer that does not count, or an unsound line, has its own finding.
                if code not in ("signer", "unsound"):
                    out.error(code, where)
            self.judge_payload(line, where)
            self.good.append(good)
        if legacy:
            out.warn("W007", LOG)
        self.position = position
        self.judge_boundaries()
        self.judge_contents()
        self.judge_actors()

    def judge_signer(self, line: Line, at: int, where: str) -> bool:
        out, signer = self.out, line.get("actor_key_id")
        if out.marked:
            standing = self.standing(signer, at)
            if line.kind == "GENESIS" and not self.valid_policy:
                return False
            if standing == "nowhere":
                out.error("E205" if signer in self.listed else "E204", where)
                return False
            good = standing == "counts"
            if not good:
                out.error("E202", where)
            public = self.keys_at[signer]
        else:
            known = self.listed.get(signer)
            later = self.keys_at.get(signer)
            if known is None and later is None:
                out.error("E204", where)
                return False
            good = self.unmarked_standing(signer, at, where)
            public = known.public if known else later or b""
        self.public = public
        return good

    def unmarked_standing(self, signer: str, at: int, where: str) -> bool:
        revoked = brought_at = None
        for number, line in enumerate(self.lines):
            if number in self.key_faults:
                continue
            if line.kind == "KEY_REVOCATION" and line.payload.get("revoked_key_id") == signer:
                revoked = number if revoked is None else revoked
            if line.kind in BRINGING:
                key, _ = brought(line)
                if key and key.key_id == signer:
                    brought_at = number if brought_at is None else brought_at
        if (revoked is not None and at > revoked) or (brought_at is not None and at < brought_at):
            self.out.error("E202", where)
            return False
        known = self.listed.get(signer)
        if known and not known.may_sign:
            self.out.error("E202", where)
            return False
        return True

    def judge_chain(
        self,
        line: Line,
        heads: Mapping[str, Line],
        position: Mapping[str, int],
        all_ids: Mapping[Any, Line],
        where: str,
    ) -> bool:
        previous, actor = line.get("prev_event_hash"), line.get("actor")
        head = heads.get(actor)
        expected = head.get("event_id") if head else None
        if previous == expected:
            return True
        named = all_ids.get(previous) if previous else None
        if previous is None:
            code = "E002"
        elif named is None:
            code = "E006" if head else "E013"
        elif named.get("actor") != actor:
            code = "E005"
        else:
            code = "E002"
        self.out.error(code, where)
        return False

    def clocks(self, line: Line, head: Line | None, where: str) -> None:
        if head is None:
            return
        now, before = line.get("ts_logical"), head.get("ts_logical")
        if now is not None and before is not None and int(now) < int(before):
            self.out.warn("W004", where)
        if moment(line.get("timestamp_utc")) < moment(head.get("timestamp_utc")):
            self.out.warn("W005", where)

    def judge_payload(self, line: Line, where: str) -> None:
        payload, out = line.payload, self.out
        if set(payload) == TOMBSTONE:
            return
        if line.kind in ("ATTESTATION", "RETRACTION"):
            for name in ("subject", "predicate"):
                value = payload.get(name)
                if not (isinstance(value, (bool, Number)) or text_of(value)):
                    out.error("E300", where)
        elif line.kind == "REDUCER_EPOCH":
            if not (text_of(payload.get("epoch_id")) and text_of(payload.get("reducer_hash"))):
                out.error("E300", where)
        elif line.kind == STATEMENT:
            count, root = payload.get("file_count"), text_of(payload.get("files_root"))
            if not isinstance(count, Number) or not re.fullmatch(r"\d+", count) or root is None:
                out.error("E300", where)
            elif not primitives.HEX_DIGEST.fullmatch(root):
                out.error("E100", where)
        elif line.kind == ADOPTION:
            _, problem = policy_of(payload)
            if problem:
                out.error(problem, where)

    def judge_boundaries(self) -> None:
        """Events of a revoked key after its trust boundary and before its revocation."""
        for at, line in enumerate(self.lines):
            if line.kind != "KEY_REVOCATION" or line.problems or at in self.key_faults:
                continue
            boundary = line.payload.get("trust_boundary_event_id")
            if boundary is None:
                continue
            for number in range(self.position.get(boundary, at) + 1, at):
                other = self.lines[number]
                if other.get("actor_key_id") == line.payload.get("revoked_key_id"):
                    self.out.error("E202", f"line {number + 1}")

    def judge_contents(self) -> None:
        """Ids and signatures, with the tombstones that section 8 accepts."""
        out = self.out
        redactions: dict[str, list[int]] = {}
        sound: dict[int, bool] = {}
        for at, line in enumerate(self.lines):
            if line.problems:
                continue
            public = self.public_at(line.get("actor_key_id"))
            holds = line.own_id and public is not None and signed_by(line, public)
            sound[at] = holds and self.good[at]
            if line.kind == REDACTION:
                target = text_of(line.payload.get("target_event_id"))
                bound = line.payload.get("target_leaf_hash")
                if target is None:
                    out.error("E300", f"line {at + 1}")
                    continue
                if self.position.get(target, len(self.lines)) >= at:
                    out.error("E006", f"line {at + 1}")
                    continue
                if bound is None:
                    out.warn("W012", f"line {at + 1}")
                elif not (text_of(bound) and primitives.HEX_DIGEST.fullmatch(bound)):
                    out.error("E100", f"line {at + 1}")
                redactions.setdefault(target, []).append(at)
        for at, line in enumerate(self.lines):
            if line.problems:
                continue
            where, event_id = f"line {at + 1}", line.get("event_id")
            named = redactions.get(event_id, [])
            if not line.own_id and self.accepts(line, at, named, sound, where):
                continue
            public = self.public_at(line.get("actor_key_id"))
            if not line.own_id:
                out.error("E003" if set(line.payload) == TOMBSTONE else "E004", where)
            elif public is not None and not signed_by(line, public):
                out.error("E003", where)
            elif any(sound.get(number) for number in named) and line.kind not in KEPT:
                out.warn("W013", where)
            elif named and line.kind in KEPT:
                out.error("E003", where)

    def public_at(self, key_id: Any) -> bytes | None:
        if self.out.marked:
            return self.keys_at.get(key_id)
        known = self.listed.get(key_id)
        return known.public if known else self.keys_at.get(key_id)

    def accepts(
        self, line: Line, at: int, named: list[int], sound: Mapping[int, bool], where: str
    ) -> bool:
        """Whether a line is a tombstone that its redaction permits; E016 where it is another."""
        payload = line.payload
        if set(payload) != TOMBSTONE or payload["redacted"] is not True or line.kind in KEPT:
            return False
        original = text_of(payload["original_payload_hash"])
        if original is None or not primitives.HEX_DIGEST.fullmatch(original):
            return False
        redaction = next(
            (n for n in named if self.lines[n].get("event_id") == payload["redaction_event_id"]),
            None,
        )
        if redaction is None or redaction <= at or not sound.get(redaction):
            return False
        self.accepted_tombstones[at] = original
        bound = self.lines[redaction].payload.get("target_leaf_hash")
        if bound is not None and bound != tree.leaf(line.text, original).hex():
            self.out.error("E016", where)
        return True

    def judge_actors(self) -> None:
        """W003: an actor whose events go over to a key that no rotation introduced."""
        descends: dict[str, str] = {}
        used: dict[str, set[str]] = {}
        for at, line in enumerate(self.lines):
            # Nothing shows any more who signed what is a tombstone now.
            if line.problems or at in self.accepted_tombstones:
                continue
            signer, actor = line.get("actor_key_id"), line.get("actor")
            before = used.setdefault(actor, set())
            if before and signer not in before:
                ancestor: str | None = signer
                while ancestor is not None and ancestor not in before:
                    ancestor = descends.get(ancestor)
                if ancestor is None:
                    self.out.warn("W003", f"line {at + 1}")
            before.add(signer)
            if line.kind == "KEY_PROMOTION" and at not in self.key_faults:
                key, _ = brought(line)
                if key:
                    descends.setdefault(key.key_id, str(line.payload.get("replaces_key_id")))

    def leaves(self) -> list[bytes]:
        return [
            tree.leaf(line.text, self.accepted_tombstones.get(at))
            for at, line in enumerate(self.lines)
        ]

    # ---- the other documents

    def document(self, path: str) -> dict[str, Any] | None:
        data = self.files.get(path)
        if data is None:
            self.out.error("E302", path)
            return None
        try:
            value = primitives.parse(data)
        except (ValueError, RecursionError):
            self.out.error("E104", path)
            return None
        if not isinstance(value, dict):
            self.out.error("E302", path)
            return None
        return value

    def judge_documents(self) -> None:
        out = self.out
        for path in POLICIES:
            self.judge_policy(path, self.document(path))
        genesis = self.document(GENESIS)
        if genesis is not None:
            for name in ("uid", "birth_timestamp", "root_key_id"):
                if not text_of(genesis.get(name)):
                    out.error("E300", GENESIS)
            for name in ("governance_model", "initial_ontology_versions"):
                if name not in genesis:
                    out.error("E300", GENESIS)
            root = text_of(genesis.get("root_key_id"))
            if root and not primitives.KEY_ID.fullmatch(root):
                out.error("E102", GENESIS)
            elif root and root not in self.listed:
                out.error("E204", GENESIS)
            if self.lines and self.lines[0].kind == "GENESIS":
                payload = self.lines[0].payload
                for name in ("uid", "root_key_id"):
                    if name in payload and payload[name] != genesis.get(name):
                        out.error("E302", GENESIS)
                if payload.get("predecessor_vault") != genesis.get("predecessor_vault"):
                    out.error("E302", GENESIS)
            if genesis.get("predecessor_vault") is not None:
                out.warn("W008", GENESIS)
        self.document(KEYS)
        if not out.marked and self.registry is not None:
            self.judge_registry(self.registry)
        for path, data in self.files.items():
            if path.startswith("checkpoints/") and path.endswith(".chk"):
                self.judge_checkpoint(path, data)

    def judge_policy(self, path: str, policy: Mapping[str, Any] | None) -> None:
        if policy is None:
            return
        good = True
        if path == "policies/safety_policy.json":
            classes = policy.get("action_classes")
            good = isinstance(classes, dict) and all(
                isinstance(classes.get(f"L{tier}"), dict) for tier in range(4)
            )
            good = good and policy.get("merge_ratchet") == "most_restrictive_wins"
        elif path == "policies/sync_contract.json":
            lists = (policy.get("authorities"), policy.get("degradation_ladder"))
            good = all(isinstance(each, list) for each in lists)
            good = good and len(lists[0] or []) >= 1 and len(lists[1] or []) >= 2
            factor = policy.get("replication_factor")
            good = good and isinstance(policy.get("merge_policies"), dict)
            good = good and isinstance(factor, Number) and bool(re.fullmatch(r"-?\d+", factor))
        elif path == "policies/retention_policy.json":
            good = policy.get("events") == "permanent"
        if not good:
            self.out.error("E300", path)

    def judge_registry(self, registry: Mapping[str, Any]) -> None:
        """An unmarked vault: `keys.json` against the log."""
        out = self.out
        entries = registry["keys"]
        ids = [entry.get("key_id") if isinstance(entry, dict) else None for entry in entries]
        if len(set(map(str, ids))) != len(ids) or len(self.listed) != len(ids):
            out.error("E302", KEYS)
        fold = {key.key_id: key for key in self.folds[-1]}
        for key_id, listed in self.listed.items():
            key = fold.get(key_id)
            if key is None:
                continue
            if (listed.status, listed.revocation) != (key.status, key.revocation):
                out.error("E302", KEYS)
            if listed.promotion not in (None, key.promotion):
                out.error("E302", KEYS)
            if listed.addition not in (None, key.addition):
                out.error("E302", KEYS)
        for key_id in fold:
            if key_id not in self.listed:
                out.error("E204", KEYS)

    def judge_checkpoint(self, path: str, data: bytes) -> None:
        out = self.out
        try:
            value = primitives.parse(data)
        except (ValueError, RecursionError):
            out.error("E104", path)
            return
        count = value.get("event_count") if isinstance(value, dict) else None
        names = {
            "merkle_root", "last_event_id", "event_count", "state",
            "key_id", "spec_version", "signed_at_utc", "sig",
        }  # fmt: skip
        if not isinstance(value, dict) or not names <= set(value) or not isinstance(count, Number):
            out.error("E300", path)
            return
        signer = value["key_id"]
        match = CHECKPOINT.fullmatch(path)
        if not match or int(match[1]) != int(count):
            out.error("E302", path)
        if int(count) > len(self.lines) or not int(count):
            out.error("E009", path)
            return
        public = self.public_at(signer)
        if public is None:
            out.error("E204", path)
            return
        if out.marked and self.standing(signer, int(count)) != "counts":
            out.error("E202", path)
        forms = [form for _, form in primitives.forms(primitives.without(value, "sig"))]
        if not any(signature_holds(public, value["sig"], form) for form in forms):
            out.error("E003", path)
        elif self.lines[int(count) - 1].get("event_id") != value["last_event_id"]:
            out.error("E009", path)
        elif hashlib.sha256(data).hexdigest() not in self.genuine:
            out.unsure = True

    # ---- an interrupted operation

    def settle(self) -> bool:
        """Carries an intent on, as the next writer would; whether that can be done."""
        try:
            text = self.files[INTENT]
            intent = primitives.parse(text)
            if primitives.jcs(intent) != text or intent["type"] != "provara_intent_v2":
                return False
            seal = intent["seal"].encode()
            after = dict(self.files)
            old_all, new_all, at_hand = True, True, True
            for entry in intent["files"]:
                path = entry["path"]
                changeable = path in CHANGEABLE or ANCHOR.fullmatch(path)
                if not changeable or (path == LOG and "content" in entry):
                    return False
                now = self.files.get(entry["path"])
                state, new = file_state(entry, now, self.files)
                old_all &= state == "old"
                new_all &= state == "new"
                if state == "other":
                    return False
                if state == "old":
                    at_hand &= new is not None
                    if new is not None:
                        after[entry["path"]] = new
            for entry in intent["removed"]:
                now = self.files.get(entry["path"])
                if now is not None and digest(now) != entry["was"]:
                    return False
                new_all &= now is None
                old_all &= now is not None
                after.pop(entry["path"], None)
            staged = [entry["staged"] for entry in intent["files"] if "staged" in entry]
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return False
        signed = self.files.get(SIGNATURE)
        if signed != seal and self.root_of_signature() != intent["from"]:
            return False
        if new_all and signed == seal:
            after = dict(self.files)
            # Nothing is left to do; what stands beyond that seal is judged as ever.
            self.settled_whole = True
        elif at_hand:
            after[SIGNATURE] = seal
        elif old_all and self.root_of_signature() == intent["from"]:
            after = dict(self.files)
            self.settled_whole = True
        else:
            return False
        after.pop(INTENT)
        for name in staged:
            after.pop(name, None)
        self.files = after
        self.settled = True
        self.out.warn("W001", INTENT)
        return True

    def root_of_signature(self) -> str | None:
        try:
            return text_of(primitives.parse(self.files[SIGNATURE])["merkle_root"])
        except (KeyError, TypeError, ValueError):
            return None


#: The files that an intent may change, beside `manifest.sig` and anchors.
CHANGEABLE = (LOG, KEYS, "policies/safety_policy.json", MANIFEST, ROOT)


def digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def file_state(
    entry: Mapping[str, Any], now: bytes | None, files: Mapping[str, bytes]
) -> tuple[str, bytes | None]:
    """Whether a file of an intent is new, old or other; and the new bytes, if at hand."""
    new: bytes | None = None
    if "content" in entry:
        new = entry["content"].encode()
    elif "staged" in entry:
        new = files.get(entry["staged"])
    elif now is not None:
        new = now[: int(entry["after"])] + entry["append"].encode()
    if digest(new) != entry["sha256"]:
        new = None
    if digest(now) == entry["sha256"]:
        return "new", new
    if digest(now) == entry["was"]:
        return "old", new
    if "append" in entry and now is not None:
        head, tail = now[: int(entry["after"])], now[int(entry["after"]) :]
        wanted = entry["append"].encode()
        # A part of it is there, or the room for it.
        part = len(tail) <= len(wanted) and all(
            there in (0, new_byte) for there, new_byte in zip(tail, wanted, strict=False)
        )
        if digest(head) == entry["was"] and part:
            return "old", new
    return "other", None


def moment(text: str) -> tuple[str, str]:
    head = text.removesuffix("Z").removesuffix("+00:00")
    whole, _, decimals = head.partition(".")
    return whole, decimals.ljust(9, "0")
