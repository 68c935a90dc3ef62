"""Anchors: ``provara.anchors``, and what ``provara.Vault`` has of them. Time-stamps are in tests/e2e."""

from __future__ import annotations

import base64
import hashlib
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from provara import Vault
from provara.errors import InvalidEvidenceError, UsageError
from provara.proofs import TreeHead
from test_vault import tree

TIME = 1_700_000_000


class Witness:
    """C2SP tlog-cosignature by `cryptography` alone."""

    def __init__(self, name: str, number: int):
        self.name = name
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))
        public = b"\x04" + self.private.public_key().public_bytes_raw()
        self.hash = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
        self.key = f"{name}+{self.hash.hex()}+{base64.b64encode(public).decode()}"

    def cosign(self, note: str) -> bytes:
        text = note.partition("\n\n")[0] + "\n"
        message = f"cosignature/v1\ntime {TIME}\n{text}".encode()
        signature = self.hash + struct.pack(">Q", TIME) + self.private.sign(message)
        return f"{note}— {self.name} {base64.b64encode(signature).decode()}\n".encode()


FIRST, SECOND = Witness("example.org/w1", 1), Witness("example.org/w2", 2)


@pytest.fixture
def seen(vault: Vault) -> tuple[Vault, TreeHead]:
    """A vault with an anchor, and an event beyond it."""
    head = vault.tree_head()
    vault.add_anchor(FIRST.cosign(head.note))
    vault.append("OBSERVATION", {"subject": "door", "predicate": "state", "value": "shut"})
    return vault, head


def test_an_anchor_is_kept_and_says_until_where_the_vault_was_seen(
    seen: tuple[Vault, TreeHead],
) -> None:
    vault, head = seen
    (anchor,) = vault.anchors()
    assert (anchor.kind, anchor.claimed_by) == ("cosigned_head", (FIRST.name,))
    assert anchor.head is not None
    assert anchor.head.size == head.size
    assert (vault.path / anchor.file).read_bytes() == FIRST.cosign(head.note)
    report = vault.verify(witnesses=[FIRST.key])
    assert report.valid
    assert any("existed before 2023-11-14T22:13:21" in note for note in report.notes)
    report = vault.verify(witnesses=[FIRST.key, SECOND.key])
    assert [finding.code for finding in report.findings] == ["PROVARA_E020"]
    assert vault.verify(witnesses=[FIRST.key, SECOND.key], witnesses_needed=1).valid
    assert vault.verify(witnesses=FIRST.key).valid


def test_what_is_no_anchor_is_refused(seen: tuple[Vault, TreeHead], tmp_path: Path) -> None:
    vault, head = seen
    other = Vault.init(tmp_path / "other").tree_head()
    before = tree(vault.path)
    with pytest.raises(InvalidEvidenceError, match="another vault"):
        vault.add_anchor(FIRST.cosign(other.note))
    for given in (b"", b"{}", b"0\x03\x02\x01\x00", head.note.encode()):
        with pytest.raises(UsageError, match=r"is no anchor|is not taken"):
            vault.add_anchor(given)
    with pytest.raises(UsageError, match="as bytes"):
        vault.add_anchor(head.note)  # type: ignore[arg-type]
    assert tree(vault.path) == before


def test_what_names_nobody_is_refused(seen: tuple[Vault, TreeHead]) -> None:
    vault, _ = seen
    for key in ("", "w", FIRST.key[:-1], FIRST.key.replace("w1", "w2")):
        with pytest.raises(UsageError, match="no key of a witness"):
            vault.verify(witnesses=[key])
    for needed in (0, 2, -1):
        with pytest.raises(UsageError, match="witnesses_needed"):
            vault.verify(witnesses=[FIRST.key], witnesses_needed=needed)
    with pytest.raises(UsageError, match="no time-stamp authority"):
        vault.verify(authorities=[b"no certificate"])
    with pytest.raises(UsageError, match="'authorities' takes"):
        vault.verify(authorities=["text"])  # type: ignore[list-item]
