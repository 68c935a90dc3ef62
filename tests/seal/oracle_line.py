"""The oracle's words, and what one line of the log shows by itself (sections 2 and 3)."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import primitives
import tree
from names import ADOPTION, CLOSING, KEY_ADDED, REDACTION, STATEMENT
from primitives import Number

POLICIES = (
    "policies/safety_policy.json",
    "policies/sync_contract.json",
    "policies/retention_policy.json",
    "policies/ontology/perception_ontology_v1.json",
)
#: What an interrupted writer leaves, where writers write.
TEMPORARY = re.compile(
    r"((identity|policies|events|checkpoints|anchors)/)?\.provara-tmp-[0-9a-f]{24}"
)

ROTATIONS = ("KEY_REVOCATION", "KEY_PROMOTION")
#: What a redaction cannot replace.
KEPT = {"GENESIS", *ROTATIONS, KEY_ADDED, ADOPTION, STATEMENT, REDACTION, CLOSING}

SEAL_NAME = re.compile(r"[0-9a-f]{32}")
CHECKPOINT = re.compile(r"checkpoints/(\d{10})\.chk")
ANCHOR = re.compile(r"anchors/\d{10,20}-[0-9a-f]{16}\.(head|timestamp|event)")
TOMBSTONE = {"original_payload_hash", "redacted", "redaction_event_id", "redaction_reason"}


@dataclass
class Verdict:
    """What was found. `standing` and `sealed` are of the seal of a marked vault."""

    errors: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    marked: bool = False
    standing: str = "neither"
    sealed: int | None = None
    events: int = 0
    #: A finding depends on what this verifier does not derive.
    unsure: bool = False

    @property
    def valid(self) -> bool:
        return not self.errors

    @property
    def codes(self) -> set[str]:
        return {code for code, _ in self.errors}

    @property
    def warned(self) -> set[str]:
        return {code for code, _ in self.warnings}

    def error(self, code: str, where: str = "") -> None:
        self.errors.append((code, where))

    def warn(self, code: str, where: str = "") -> None:
        self.warnings.append((code, where))

    def __str__(self) -> str:
        word = "valid" if self.valid else "INVALID"
        seal = f"{self.standing}({self.sealed})" if self.marked else "unmarked"
        found = " ".join(sorted(f"{code}@{where}" for code, where in self.errors + self.warnings))
        return f"{word} {seal} {self.events} events {found}"


@dataclass(frozen=True)
class Line:
    """What a line shows by itself."""

    text: bytes
    event: Mapping[str, Any] | None
    problems: tuple[str, ...]
    legacy: bool
    #: Whether the id is that of the content.
    own_id: bool
    #: The bytes that the signature may be over.
    signed: tuple[bytes, ...]
    leaf: bytes

    def get(self, name: str) -> Any:
        return self.event.get(name) if self.event else None

    @property
    def payload(self) -> Mapping[str, Any]:
        value = self.get("payload")
        return value if isinstance(value, dict) else {}

    @property
    def kind(self) -> str:
        return str(self.get("type"))


def text_of(value: Any) -> str | None:
    """A string that is no number token."""
    return value if isinstance(value, str) and not isinstance(value, Number) else None


@functools.lru_cache(maxsize=200_000)
def read_line(text: bytes) -> Line:
    broken = Line(text, None, ("E104",), False, False, (), b"")
    try:
        value = primitives.parse(text)
    except (ValueError, RecursionError):
        return broken
    if not isinstance(value, dict):
        return broken
    problems: list[str] = []
    forms = dict(primitives.forms(value))
    matching = [name for name, form in forms.items() if form == text]
    if not matching:
        problems.append("E104")
    legacy = bool(matching) and "jcs" not in matching
    problems += field_problems(value)
    own_id = False
    signed: tuple[bytes, ...] = ()
    leaf = b""
    if not problems:
        # A canonical line is its own form: the bytes are those of the line without members.
        form = (matching or ["token-preserving"])[0]
        render = primitives.jcs if form == "jcs" else primitives.token_preserving
        new = primitives.event_id_of(render(primitives.without(value, "event_id", "sig")))
        old = primitives.event_id_of(
            render(primitives.without(value, "event_id", "sig", "actor_key_id"))
        )
        own_id = value["event_id"] in (new, old)
        legacy = legacy or (own_id and value["event_id"] != new)
        signed = (render(primitives.without(value, "sig")),)
        leaf = tree.leaf(text)
    return Line(text, value, tuple(problems), legacy, own_id, signed, leaf)


def field_problems(event: Mapping[str, Any]) -> list[str]:
    """Section 3, the table of members."""
    problems = []
    patterns: dict[str, tuple[re.Pattern[str] | None, str]] = {
        "type": (None, ""),
        "actor": (None, ""),
        "actor_key_id": (primitives.KEY_ID, "E102"),
        "event_id": (primitives.EVENT_ID, "E101"),
        "timestamp_utc": (primitives.READ_TIME, "E105"),
        "sig": (None, ""),
    }
    for name, (pattern, code) in patterns.items():
        value = text_of(event.get(name))
        if not value:
            problems.append("E300")
        elif pattern and not pattern.fullmatch(value):
            problems.append(code)
    kind = text_of(event.get("type"))
    if kind and kind not in primitives.CORE_TYPES and not custom_type(kind):
        problems.append("E301")
    signature = text_of(event.get("sig"))
    if signature and primitives.decode_base64(signature, 64) is None:
        problems.append("E103")
    if not isinstance(event.get("payload"), dict):
        problems.append("E300")
    if "prev_event_hash" not in event:
        problems.append("E300")
    elif event["prev_event_hash"] is not None:
        previous = text_of(event["prev_event_hash"])
        if previous is None or not primitives.EVENT_ID.fullmatch(previous):
            problems.append("E101")
    logical = event.get("ts_logical")
    if logical is not None and not (
        isinstance(logical, Number)
        and re.fullmatch(r"-?\d+", logical)
        and -(2**63) <= int(logical) < 2**63
    ):
        problems.append("E300")
    seal = event.get("seal")
    if seal is not None and not (text_of(seal) and SEAL_NAME.fullmatch(seal)):
        problems.append("E100")
    after = event.get("after")
    if after is not None and not (text_of(after) and primitives.EVENT_ID.fullmatch(after)):
        problems.append("E101")
    return problems


def custom_type(kind: str) -> bool:
    if kind.upper() in primitives.CORE_TYPES:
        return False
    return bool(primitives.CUSTOM_TYPE.fullmatch(kind))


@functools.lru_cache(maxsize=400_000)
def signature_holds(public: bytes, signature: str, message: bytes) -> bool:
    raw = primitives.decode_base64(signature, 64)
    return raw is not None and primitives.signature_holds(public, raw, message)


def signed_by(line: Line, public: bytes) -> bool:
    return any(signature_holds(public, line.get("sig"), message) for message in line.signed)
