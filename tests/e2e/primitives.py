"""What the independent reader is made of: JSON, canonical forms, ids, Merkle roots, signatures.

Plain Python and the ``cryptography`` package, after the page of the format alone. The forger, the
writer and the oracle of ``tests/seal`` stand on it too.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CORE_TYPES = set(
    "GENESIS OBSERVATION ASSERTION ATTESTATION RETRACTION KEY_REVOCATION KEY_PROMOTION "
    "REDUCER_EPOCH SIGNED_STATEMENT RECEIPT".split()
)
CUSTOM_TYPE = re.compile(r"[a-z0-9]+(\.[a-z0-9_-]+)+\.[a-z0-9_-]+", re.IGNORECASE | re.ASCII)
EVENT_ID = re.compile(r"evt_[0-9a-f]{24}")
KEY_ID = re.compile(r"bp1_[0-9a-f]{16}")
HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
READ_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
WRITE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SEAL_FILES = {"manifest.json", "manifest.sig", "merkle_root.txt"}
KEYFILE = "identity/private_keys.json"
MAX_SAFE = 2**53 - 1


class NotCanonicalError(ValueError):
    """The value has no form under the rules that were asked for."""


class Number(str):
    """A JSON number, kept as the token that stands in the text."""


# --------------------------------------------------------------------- JSON


def parse(text: bytes) -> Any:
    """Parses strictly: UTF-8, no duplicate keys, no NaN, no lone surrogates."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("duplicate key")
        return result

    def constant(token: str) -> Any:
        raise ValueError(f"{token} is not JSON")

    decoded = text.decode("utf-8")
    value = json.loads(
        decoded,
        object_pairs_hook=members,
        parse_float=Number,
        parse_int=Number,
        parse_constant=constant,
    )
    refuse_surrogates(value)
    return value


def refuse_surrogates(value: Any) -> None:
    if isinstance(value, dict):
        for key, member in value.items():
            refuse_surrogates(key)
            refuse_surrogates(member)
    elif isinstance(value, list):
        for member in value:
            refuse_surrogates(member)
    elif isinstance(value, str):
        value.encode("utf-8")  # raises UnicodeEncodeError, a ValueError


def ecmascript_number(token: str) -> str:
    """RFC 8785 section 3.2.2.3: the shortest digits, laid out as ECMAScript does."""
    if re.fullmatch(r"-?\d+", token) and abs(int(token)) > MAX_SAFE:
        raise NotCanonicalError(f"integer {token} is beyond 2^53-1")
    number = float(token)
    if math.isinf(number):
        raise NotCanonicalError(f"{token} is no binary64")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    digits = stripped.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    power = point - 1
    head = digits[0] + ("." + digits[1:] if count > 1 else "")
    return f"{sign}{head}e{'+' if power > 0 else '-'}{abs(power)}"


def text_of(string: str) -> str:
    out = ['"']
    short = {char: "\\" + mark for char, mark in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)}
    for char in string:
        if char in short:
            out.append(short[char])
        elif char < " ":
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return "".join(out) + '"'


def render(value: Any, *, strict: bool) -> str:
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, Number):
        return ecmascript_number(value) if strict else str(value)
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, list):
        return "[" + ",".join(render(member, strict=strict) for member in value) + "]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be")) if strict else sorted(value)
    inside = (f"{text_of(key)}:{render(value[key], strict=strict)}" for key in keys)
    return "{" + ",".join(inside) + "}"


def jcs(value: Any) -> bytes:
    """The bytes of RFC 8785."""
    return render(value, strict=True).encode("utf-8")


def token_preserving(value: Any) -> bytes:
    """Keys by code point, number tokens as they stand."""
    return render(value, strict=False).encode("utf-8")


def forms(value: Any) -> Iterator[tuple[str, bytes]]:
    """The canonical forms that the value has, the strict one first."""
    with contextlib.suppress(NotCanonicalError):
        yield "jcs", jcs(value)
    yield "token-preserving", token_preserving(value)


# ------------------------------------------------------------------ derivations


def key_id_of(public_key: bytes) -> str:
    return "bp1_" + hashlib.sha256(public_key).hexdigest()[:16]


def event_id_of(canonical: bytes) -> str:
    return "evt_" + hashlib.sha256(canonical).hexdigest()[:24]


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in names}


def merkle_root(leaves: list[bytes]) -> str:
    level = [hashlib.sha256(leaf).digest() for leaf in leaves]
    if not level:
        return hashlib.sha256(b"").hexdigest()
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [
            hashlib.sha256(left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=True)
        ]
    return level[0].hex()


def signature_holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def decode_base64(text: Any, length: int) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    if len(raw) != length or base64.b64encode(raw).decode() != text:
        return None
    return raw


def safe_path(path: str) -> bool:
    parts = path.split("/")
    return (
        bool(path)
        and not path.startswith("/")
        and "\\" not in path
        and not {"", ".", ".."} & set(parts)
    )
