"""The oracle's keys: policies, the mark, and the fold (section 4)."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import primitives
from names import ADOPTION, KEY_ADDED, KEYS, LOG
from oracle_line import ROTATIONS, Line, Verdict, read_line, signed_by, text_of
from primitives import Number


@dataclass
class Key:
    """An entry of `keys.json`, as the log brings it."""

    key_id: str
    public: bytes
    public_text: str
    roles: list[str]
    scopes: list[str]
    created: str
    status: str = "active"
    revoked_at: str | None = None
    revocation: str | None = None
    promotion: str | None = None
    addition: str | None = None

    @property
    def may_sign(self) -> bool:
        return bool({"root", "attestation"} & set(self.roles))

    def copy(self) -> Key:
        return Key(**{**self.__dict__, "roles": list(self.roles), "scopes": list(self.scopes)})


def written(keys: list[Key]) -> bytes:
    """The written form of section 1."""
    entries = []
    revocations = []
    for key in keys:
        entry: dict[str, Any] = {
            "key_id": key.key_id,
            "algorithm": "Ed25519",
            "public_key_b64": key.public_text,
            "roles": key.roles,
            "scopes": key.scopes,
            "status": key.status,
            "created_at_utc": key.created,
        }
        later = {
            "revoked_at_utc": key.revoked_at,
            "revocation_event_id": key.revocation,
            "promotion_event_id": key.promotion,
            "addition_event_id": key.addition,
        }
        entry.update({name: value for name, value in later.items() if value is not None})
        entries.append(entry)
        if key.status == "revoked":
            revocations.append(
                {
                    "key_id": key.key_id,
                    "revocation_event_id": key.revocation,
                    "revoked_at_utc": key.revoked_at,
                }
            )
    document = {"keys": entries, "revocations": revocations}
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def texts(value: Any) -> list[str] | None:
    if not isinstance(value, list) or any(text_of(each) is None for each in value):
        return None
    return [str(each) for each in value]


def public_key(text: Any) -> bytes | None:
    raw = primitives.decode_base64(text, 32) if text_of(text) else None
    return raw if raw is not None and is_point(raw) else None


@functools.lru_cache(maxsize=10_000)
def is_point(raw: bytes) -> bool:
    """Whether the 32 bytes are a point of edwards25519, and not one of small order."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= p:
        return False
    u, v = (y * y - 1) % p, (d * y * y + 1) % p
    x2 = u * pow(v, -1, p) % p
    if x2 != 0 and pow(x2, (p - 1) // 2, p) != 1:
        return False
    # The eight points of small order have y = 0, ±1, or one of two values that solve this.
    small = {0, 1, p - 1}
    eighth = (-(y**4) * d + 2 * y * y + 1) % p == 0 or (d * y**4 + 2 * y * y - 1) % p == 0
    return y not in small and not eighth


def policy_of(payload: Mapping[str, Any]) -> tuple[list[Key], str | None]:
    """The keys of a `seal_policy`, or the code of what is wrong with it."""
    policy = payload.get("seal_policy")
    if not isinstance(policy, dict):
        return [], "E300"
    version = policy.get("version")
    if version is None:
        return [], "E300"
    if not (isinstance(version, Number) and version == "1"):
        return [], "E303"
    if set(policy) != {"keys", "version"}:
        return [], "E300" if "keys" not in policy else "E302"
    if not isinstance(policy["keys"], list) or not policy["keys"]:
        return [], "E300"
    names = {"algorithm", "created_at_utc", "key_id", "public_key_b64", "roles", "scopes"}
    found: list[Key] = []
    for entry in policy["keys"]:
        if not isinstance(entry, dict) or not names <= set(entry):
            return [], "E300"
        if set(entry) != names:
            return [], "E302"
        raw, roles, scopes = (
            public_key(entry["public_key_b64"]),
            texts(entry["roles"]),
            texts(entry["scopes"]),
        )
        key_id, created = text_of(entry["key_id"]), text_of(entry["created_at_utc"])
        if raw is None or roles is None or scopes is None or created is None or key_id is None:
            return [], "E300"
        if entry["algorithm"] != "Ed25519":
            return [], "E300"
        if primitives.key_id_of(raw) != key_id:
            return [], "E102"
        if any(each.key_id == key_id for each in found):
            return [], "E302"
        found.append(Key(key_id, raw, entry["public_key_b64"], roles, scopes, created))
    return found, None


def brought(line: Line) -> tuple[Key | None, str | None]:
    """The key that a promotion or an addition brings, or the code of what is wrong with it."""
    payload = line.payload
    promotion = line.kind == "KEY_PROMOTION"
    name = "new_public_key_b64" if promotion else "public_key_b64"
    time = text_of(payload.get("promoted_at_utc" if promotion else "added_at_utc"))
    key_id = text_of(payload.get("new_key_id" if promotion else "key_id"))
    if promotion and key_id is None:
        key_id = text_of(payload.get("promoted_key_id"))
    roles, raw = texts(payload.get("roles")), public_key(payload.get(name))
    times = time is not None and primitives.READ_TIME.fullmatch(time)
    if payload.get("algorithm") != "Ed25519" or roles is None or not times or key_id is None:
        return None, "E300"
    if promotion and not (
        text_of(payload.get("promoted_by")) and text_of(payload.get("replaces_key_id"))
    ):
        return None, "E300"
    if raw is None:
        return None, "E300"
    if primitives.key_id_of(raw) != key_id:
        return None, "E102"
    key = Key(key_id, raw, payload[name], roles, ["all"], str(time))
    event_id = line.get("event_id")
    if promotion:
        key.promotion = event_id
    else:
        key.addition = event_id
    return key, None


# ------------------------------------------------------------------ over the log


#: The types of event that bring a key.
BRINGING = ("KEY_PROMOTION", KEY_ADDED)


class KeyJudge:
    """The keys of one vault, by position in its log."""

    def __init__(self, files: Mapping[str, bytes], genuine: frozenset[str] = frozenset()) -> None:
        self.files = dict(files)
        #: Hashes of checkpoints whose states are known to be right.
        self.genuine = genuine
        self.out = Verdict()
        self.lines: list[Line] = []
        self.ends_whole = True

    def read_log(self) -> None:
        log = self.files.get(LOG)
        if log is None:
            self.out.error("E302", LOG)
            log = b""
        parts = log.split(b"\n")
        if parts[-1]:
            self.ends_whole = False
        else:
            parts.pop()
        self.lines = [read_line(part) for part in parts]
        if not self.ends_whole and not self.lines[-1].problems:
            self.out.warn("W006", LOG)
        self.out.events = len(self.lines)

    def find_keys(self) -> None:
        """Whether the vault is marked, the keys of its policies, and the folds."""
        self.listed: dict[str, Key] = {}
        self.read_listed()
        genesis = self.lines[0] if self.lines and self.lines[0].kind == "GENESIS" else None
        self.by_genesis = bool(genesis and "seal_policy" in genesis.payload)
        self.base: list[Key] = []
        self.valid_policy = True
        self.unvouched: str | None = None
        if genesis and self.by_genesis:
            keys, problem = policy_of(genesis.payload)
            first = keys[0] if keys else None
            if problem is None and first is not None:
                if not (
                    first.key_id
                    == genesis.payload.get("root_key_id")
                    == genesis.get("actor_key_id")
                ):
                    problem = "E302"
                elif not signed_by(genesis, first.public):
                    problem = "E003"
            if problem:
                self.out.error(problem, "GENESIS policy")
                self.valid_policy = False
            else:
                self.base = keys
            self.out.marked = True
            self.take_adoptions()
        else:
            self.find_mark(genesis)
        if not self.out.marked:
            self.base = self.listed_at_first()
        self.walk_keys(self.base)

    def listed_at_first(self) -> list[Key]:
        """An unmarked vault: the keys that `keys.json` lists and no event of the log brings."""
        later = {
            key.key_id
            for key in (brought(line)[0] for line in self.lines if line.kind in BRINGING)
            if key
        }
        first = [key.copy() for key in self.listed.values() if key.key_id not in later]
        for key in first:
            key.status, key.revoked_at, key.revocation = "active", None, None
            key.promotion, key.addition = None, None
        return first

    def find_mark(self, genesis: Line | None) -> None:
        """An unmarked `GENESIS`: whether an adoption marks the vault."""
        led = self.led_to(genesis)
        fallback = None
        for at, line in enumerate(self.lines):
            if line.kind != ADOPTION or not self.sound(at):
                continue
            keys, problem = policy_of(line.payload)
            signer = line.get("actor_key_id")
            own = next((key for key in keys if key.key_id == signer), None)
            public = own.public if own else self.public_of_led(signer)
            if problem or public is None or not signed_by(line, public):
                continue
            if not self.counts_with(keys, at):
                continue
            if signer in led:
                self.base, self.out.marked = keys, True
                break
            if own and fallback is None:
                fallback = (keys, signer)
        else:
            if fallback is None:
                return
            self.base, self.unvouched = fallback
            self.out.marked = True
            self.out.warn("W009", "adoption")
        self.take_adoptions()

    def led_to(self, genesis: Line | None) -> set[str]:
        """The keys to which signed events lead in a vault that `GENESIS` does not mark."""
        led: set[str] = set()
        if genesis is None:
            return led
        signer = genesis.get("actor_key_id")
        known = self.listed.get(signer) or self.policy_key(signer)
        if known is None or not signed_by(genesis, known.public):
            return led
        named = [text_of(genesis.payload.get(f"{role}_key_id")) for role in ("root", "quorum")]
        if signer != genesis.payload.get("root_key_id"):
            return led
        led |= {name for name in named if name}
        for line in self.lines:
            if line.kind in BRINGING and line.get("actor_key_id") in led:
                key, _ = brought(line)
                if key:
                    led.add(key.key_id)
        return led

    def policy_key(self, key_id: Any) -> Key | None:
        """The key of this id in the policy of any adoption."""
        for line in self.lines:
            if line.kind == ADOPTION:
                for key in policy_of(line.payload)[0]:
                    if key.key_id == key_id:
                        return key
        return None

    def public_of_led(self, key_id: Any) -> bytes | None:
        known = self.listed.get(key_id)
        if known:
            return known.public
        for line in self.lines:
            if line.kind in BRINGING:
                key, _ = brought(line)
                if key and key.key_id == key_id:
                    return key.public
        return None

    def counts_with(self, keys: list[Key], at: int) -> bool:
        """Whether an adoption's signer counts at its place, with its own keys introduced."""
        marked, self.out.marked = self.out.marked, True
        self.walk_keys(keys)
        counts = self.standing(self.lines[at].get("actor_key_id"), at) == "counts"
        self.out.marked = marked
        return counts

    def take_adoptions(self) -> None:
        """Adds the keys of every further valid adoption, until there is none left."""
        taken: list[int] = []
        while True:
            self.walk_keys(self.base)
            for at, line in enumerate(self.lines):
                if line.kind != ADOPTION or at in taken or not self.sound(at):
                    continue
                _, problem = policy_of(line.payload)
                signer = line.get("actor_key_id")
                known = self.keys_at.get(signer)
                if problem or known is None or not signed_by(line, known):
                    continue
                if self.standing(signer, at) != "counts":
                    continue
                taken.append(at)
                break
            else:
                return
            # In the order of the log, each key where it comes first.
            fresh = list(self.base)
            for each in sorted(taken):
                for key in policy_of(self.lines[each].payload)[0]:
                    if all(key.key_id != known.key_id for known in fresh):
                        fresh.append(key)
            self.base = fresh

    def sound(self, at: int) -> bool:
        """Its id and its place in its chain are good; the signature is the caller's to check."""
        line = self.lines[at]
        if line.problems or not line.own_id:
            return False
        previous = None
        for before in self.lines[:at]:
            if before.get("event_id") == line.get("event_id"):
                return False
            if before.event and before.get("actor") == line.get("actor"):
                previous = before.get("event_id")
        return bool(previous == line.get("prev_event_hash"))

    def read_listed(self) -> None:
        """The keys that `keys.json` lists, as far as they are sound."""
        self.registry: dict[str, Any] | None = None
        try:
            document = primitives.parse(self.files[KEYS])
        except (KeyError, ValueError, RecursionError):
            return
        if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
            return
        self.registry = document
        for entry in document["keys"]:
            if not isinstance(entry, dict):
                continue
            raw = public_key(entry.get("public_key_b64"))
            if raw is None or primitives.key_id_of(raw) != entry.get("key_id"):
                continue
            self.listed[entry["key_id"]] = Key(
                entry["key_id"],
                raw,
                entry["public_key_b64"],
                texts(entry.get("roles")) or [],
                texts(entry.get("scopes")) or [],
                str(entry.get("created_at_utc")),
                str(entry.get("status")),
                text_of(entry.get("revoked_at_utc")),
                text_of(entry.get("revocation_event_id")),
                text_of(entry.get("promotion_event_id")),
                text_of(entry.get("addition_event_id")),
            )

    # ---- keys over time

    def walk_keys(self, base: list[Key]) -> None:
        """Fold(n) for every n, and the code of each key event that takes no effect."""
        keys = [key.copy() for key in base]
        self.folds: list[list[Key]] = [[key.copy() for key in keys]]
        self.key_faults: dict[int, str] = {}
        self.keys_at: dict[str, bytes] = {key.key_id: key.public for key in keys}
        seen: set[str] = set()
        for at, line in enumerate(self.lines):
            if line.kind in (*ROTATIONS, KEY_ADDED) and not line.problems:
                code = self.key_event(at, keys, seen)
                if code:
                    self.key_faults[at] = code
            if line.event and isinstance(line.get("event_id"), str):
                seen.add(line.get("event_id"))
            self.folds.append([key.copy() for key in keys])

    def key_event(self, at: int, keys: list[Key], seen: set[str]) -> str | None:
        """Lets a key event take effect; the code of why it does not."""
        line = self.lines[at]
        signer = line.get("actor_key_id")
        held = {key.key_id: key for key in keys}
        if self.out.marked:
            known = held.get(signer)
            if known is None or known.status == "revoked" or not known.may_sign:
                return "signer"
            if not (self.sound(at) and signed_by(line, known.public)):
                return "unsound"
        payload = line.payload
        if line.kind == "KEY_REVOCATION":
            subject = text_of(payload.get("revoked_key_id"))
            time = text_of(payload.get("revoked_at_utc"))
            if "trust_boundary_event_id" not in payload:
                return "E203"
            boundary = payload["trust_boundary_event_id"]
            if subject is None or text_of(payload.get("reason")) is None or time is None:
                return "E300"
            if not primitives.READ_TIME.fullmatch(time):
                return "E300"
            if boundary is not None and boundary not in seen:
                return "E203"
            if subject == signer:
                return "E200"
            key = held.get(subject)
            if key is None:
                return "E204"
            if key.status == "revoked":
                return "E201"
            key.status, key.revoked_at, key.revocation = "revoked", time, line.get("event_id")
            return None
        fresh, problem = brought(line)
        if fresh is None:
            return problem
        if fresh.key_id == signer:
            return "E200"
        present = held.get(fresh.key_id)
        if present and present.status == "revoked":
            return "E202"
        if line.kind == "KEY_PROMOTION":
            replaced = held.get(str(payload.get("replaces_key_id")))
            if replaced is None or replaced.status != "revoked":
                return "E201"
            if present:
                present.promotion = present.promotion or fresh.promotion
                return None
        elif present:
            return "E201"
        keys.append(fresh)
        self.keys_at[fresh.key_id] = fresh.public
        return None

    def standing(self, key_id: Any, after: int) -> str:
        """Whether a key counts after so many events, or why it does not."""
        key = next((key for key in self.folds[after] if key.key_id == key_id), None)
        if key is None:
            return "not yet" if key_id in self.keys_at else "nowhere"
        if key.status == "revoked":
            return "revoked"
        return "counts" if key.may_sign else "no role"
