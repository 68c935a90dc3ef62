"""Tree heads, and proofs that need no vault.

A tree head says what a vault held at one time.  Whoever keeps one can hold the vault to it later
(:meth:`provara.Vault.verify`), and check proofs that events are in the vault, without having it.

>>> head = vault.tree_head()
>>> proof = vault.prove(receipt.event_id, head=head)
>>> provara.proofs.verify_proof(proof, head=head).events[-1].event_id == receipt.event_id
True
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provara import _native
from provara.errors import UsageError

__all__ = ["Proof", "ProvenEvent", "TreeHead", "verify_proof"]

#: What a zip archive begins with.
_ARCHIVE = b"PK\x03\x04"


@dataclass(frozen=True)
class TreeHead:
    """What the event tree of a vault was at one size, signed: a C2SP signed note.

    That it says so is all that is known of one that was parsed; its signature is checked where
    something is held to it.

    Attributes:
        note: the text, to be kept and passed on as it is.
        origin: the vault, and the copy of it that publishes.
        size: how many events the tree is over.
        root: its root, as hexadecimal digits.
    """

    note: str
    origin: str
    size: int
    root: str

    @classmethod
    def parse(cls, note: str) -> TreeHead:
        """Read a tree head from its text.

        Raises:
            provara.errors.UsageError: the text is none.
        """
        if not isinstance(note, str):
            raise UsageError(f"a tree head is parsed from a str, not a {type(note).__name__}")
        return cls(note, *_native.read_tree_head(note))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> TreeHead:
        """Read a tree head from a file.

        Raises:
            provara.errors.UsageError: the file holds none.
            OSError: the file cannot be read.
        """
        try:
            return cls.parse(Path(path).read_bytes().decode())
        except UnicodeDecodeError as error:
            raise UsageError(f"'{os.fspath(path)}' is no tree head: {error}") from None

    def __str__(self) -> str:
        return self.note


@dataclass(frozen=True)
class ProvenEvent:
    """An event whose place in a vault is proven.

    Attributes:
        line: its line in the log, from 1.
        event_id: its id.
        event_type: its type.
        actor: who said it.
        timestamp_utc: when, as it says.
        key_id: the key that signed it.
        withheld: whether a tombstone stands in the place of its payload; the tree then vouches for
            the rest and for the hash of the payload, not for what the tombstone says.
        brings_keys: whether it speaks of keys; such an event is in every proof.
    """

    line: int
    event_id: str
    event_type: str
    actor: str
    timestamp_utc: str
    key_id: str
    withheld: bool
    brings_keys: bool


@dataclass(frozen=True)
class Proof:
    """What a proof proves.

    Attributes:
        head: the tree head that it is for.
        older: the tree head from which ``head`` goes on, if that is what is proven.
        signed_by: the key that signed ``head``.
        root_key: the key that made the vault, if signed events of the proof lead from it to
            ``signed_by``.
        events: the events, with those that bring keys.
        asked: of a disclosure, what was asked of the log, in the words of whoever made it.
        as_written: of a page or an archive of ``provara disclose``, whether what is around its
            data is what this version writes.  Where it is not, believe what is here and not what
            the page shows.
    """

    head: TreeHead
    older: TreeHead | None
    signed_by: str
    root_key: str | None
    events: tuple[ProvenEvent, ...]
    asked: str | None = None
    as_written: bool | None = None


def verify_proof(
    proof: bytes | str,
    *,
    head: TreeHead | None = None,
    root_keys: Iterable[str] = (),
) -> Proof:
    """Check a proof; no vault is needed.

    A proof is as good as what it is held to, so one of the two is required.

    Args:
        proof: the document that :meth:`provara.Vault.prove` or ``provara prove`` made, or the bytes
            of a page or an archive that ``provara disclose`` made; nothing in these is run.
        head: the tree head that it must be for; of a proof that a head goes on from an older one,
            the older.
        root_keys: key ids, one of which must be that of the key that made the vault.

    Raises:
        provara.errors.InvalidEvidenceError: it proves nothing, or something else.
        provara.errors.UsageError: neither a head nor a root key was given, or one is malformed.
    """
    keys = key_ids(root_keys)
    if head is None and not keys:
        raise UsageError("a proof is held to a tree head or to root keys: give head or root_keys")
    if not isinstance(proof, (bytes, str)):
        raise UsageError(f"a proof is bytes or a str, not a {type(proof).__name__}")
    text = proof.encode() if isinstance(proof, str) else proof
    found = _checked(text, note_of(head), keys)
    older = found["older"]
    return Proof(
        head=TreeHead.parse(found["head"]),
        older=None if older is None else TreeHead.parse(older),
        signed_by=found["signed_by"],
        root_key=found["root_key"],
        events=tuple(ProvenEvent(**event) for event in found["events"]),
        asked=found["asked"],
        as_written=found["as_written"],
    )


def _checked(text: bytes, head: str | None, keys: list[str]) -> dict[str, Any]:
    """Check what is given; an archive is read from a file, as its directory stands at its end."""
    if not text.startswith(_ARCHIVE):
        return _native.check_proof(text, head=head, root_keys=keys)
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(text)
        file.flush()
        return _native.check_proof(text, head=head, root_keys=keys, path=file.name)


def note_of(head: TreeHead | None) -> str | None:
    """Return the note of a tree head."""
    if head is None:
        return None
    if not isinstance(head, TreeHead):
        raise UsageError(
            f"a tree head is a provara.proofs.TreeHead, not a {type(head).__name__}: use"
            " TreeHead.read(path) or TreeHead.parse(text)"
        )
    return head.note


def key_ids(root_keys: Iterable[str]) -> list[str]:
    """Return key ids as a list."""
    given: list[object] = [root_keys] if isinstance(root_keys, str) else list(root_keys)
    keys = [key for key in given if isinstance(key, str)]
    if len(keys) < len(given):
        raise UsageError("root_keys takes key ids, each a str")
    return keys
