"""The independent reader itself: its derivations against published vectors.

A checker that accepts everything would make every test that relies on it pass.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import lzma
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import independent
import primitives
import pytest

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def vector(identity: str) -> dict[str, Any]:
    """One of the published vectors, its numbers as tokens."""
    document = primitives.parse((VECTORS / "provara_vectors.json").read_bytes())
    (found,) = [case for case in document["vectors"] if case["id"] == identity]
    return dict(found)


@pytest.mark.parametrize(
    ("module", "others"), [(independent, {"primitives"}), (primitives, {"cryptography"})]
)
def test_it_imports_nothing_of_the_project(module: ModuleType, others: set[str]) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module
            imported.add(node.module.split(".")[0])
    assert imported - set(sys.stdlib_module_names) == others


def test_canonical_json() -> None:
    case = vector("canonical_json_01")
    assert primitives.jcs(case["input"]).hex() == case["expected"]


def test_event_id() -> None:
    case = vector("event_id_derivation_01")
    assert primitives.event_id_of(primitives.jcs(case["input"])) == case["expected"]


def test_key_id() -> None:
    case = vector("key_id_derivation_01")
    assert primitives.key_id_of(bytes.fromhex(case["input"])) == case["expected"]


def test_merkle_root() -> None:
    case = vector("merkle_root_01")
    leaves = [primitives.token_preserving(entry) for entry in case["input"]]
    assert primitives.merkle_root(leaves) == case["expected"]
    assert primitives.merkle_root([]) == hashlib.sha256(b"").hexdigest()


def test_signature() -> None:
    case = vector("ed25519_sign_verify_01")
    public = base64.b64decode(case["input"]["public_key_b64"])
    signature = base64.b64decode(case["expected"])
    # As in an event: the signer's key id is a member of what is signed.
    signed = {**case["input"]["message"], "actor_key_id": case["input"]["key_id"]}
    message = primitives.jcs(signed)
    assert primitives.signature_holds(public, signature, message)
    assert not primitives.signature_holds(public, signature, message + b" ")


def test_numbers_of_rfc_8785() -> None:
    lines = lzma.decompress((VECTORS / "es6_numbers_20k.txt.xz").read_bytes()).decode().splitlines()
    assert len(lines) == 20_000
    wrong = []
    for line in lines:
        bits, expected = line.split(",")
        number = float_of_bits(bits)
        if primitives.ecmascript_number(repr(number)) != expected:
            wrong.append(line)
    assert wrong == []


def float_of_bits(bits: str) -> float:
    (number,) = struct.unpack(">d", bytes.fromhex(bits.zfill(16)))
    return float(number)


def test_token_preserving_form() -> None:
    text = (VECTORS / "provara_canonical_token_preserving.json").read_bytes()
    cases = primitives.parse(text)["vectors"]
    for case in cases:
        assert primitives.token_preserving(case["input"]).hex() == case["expected_hex"], case["id"]
    assert len(cases) >= 10


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":1} x',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_strict_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        primitives.parse(text)


def test_integers_that_binary64_cannot_carry_have_no_strict_form() -> None:
    assert primitives.jcs(primitives.parse(b"9007199254740991")) == b"9007199254740991"
    with pytest.raises(primitives.NotCanonicalError):
        primitives.jcs(primitives.parse(b"9007199254740992"))
    assert json.loads(primitives.token_preserving(primitives.parse(b"9007199254740992")))
