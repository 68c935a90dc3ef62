"""Anchors: tree heads of a vault as others saw them, kept with the vault.

Who holds a key and the files can write another history.  What nobody can write is what somebody else
signed: that a tree head existed at a time.  :meth:`provara.Vault.add_anchor` keeps such a statement in
the vault, and :meth:`provara.Vault.verify` says what the anchors prove to whoever names witnesses or
the certificates of time-stamp authorities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from provara.proofs import TreeHead

__all__ = ["Anchor"]


@dataclass(frozen=True)
class Anchor:
    """An anchor of a vault, as it says.

    Whether a witness or an authority really made it, a verification tells that names them.

    Attributes:
        file: the file, relative to the vault.
        kind: what it is; ``None`` where it cannot be read.
        head: the tree head that was seen; ``None`` where it cannot be read.
        claimed_by: by whom it was seen, as it says: names of witnesses, or the uid of another vault.
        claimed_at_utc: of a time-stamp, when it was made, as it says.
        error: why it cannot be read.
    """

    file: str
    kind: Literal["cosigned_head", "time_stamp", "event"] | None
    head: TreeHead | None
    claimed_by: tuple[str, ...] = ()
    claimed_at_utc: str | None = None
    error: str | None = None

    @classmethod
    def _from_native(cls, found: dict[str, Any]) -> Anchor:
        note = found["head"]
        return cls(
            file=found["file"],
            kind=found["kind"],
            head=None if note is None else TreeHead.parse(note),
            claimed_by=tuple(found["claimed_by"]),
            claimed_at_utc=found["claimed_at_utc"],
            error=found["error"],
        )
