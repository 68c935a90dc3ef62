"""What a vault is held to, and what of it is shown to others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from provara import _arguments as arguments
from provara import _native
from provara.anchors import Anchor
from provara.errors import InvalidEvidenceError, UsageError
from provara.proofs import TreeHead, key_ids, note_of
from provara.report import Report

__all__ = ["Evidence"]


class Evidence:
    """The part of :class:`provara.Vault` that speaks to those who were not there."""

    _path: Path
    _no_lock: bool

    def verify(
        self,
        *,
        strict: bool = False,
        heads: Iterable[TreeHead] = (),
        root_keys: Iterable[str] = (),
        witnesses: Iterable[str] = (),
        witnesses_needed: int | None = None,
        authorities: Iterable[bytes] = (),
        report: str | os.PathLike[str] | None = None,
        force: bool = False,
    ) -> Report:
        """Check ids, signatures, chains, keys and the seal; report everything that is found.

        Args:
            strict: let warnings make the vault invalid, too.
            heads: tree heads that were kept of the vault, from each of which it must go on.
            root_keys: key ids, one of which must be that of the key that made the vault.
            witnesses: keys of witnesses that must have seen it (C2SP signed-note), or root keys of other
                vaults whose events name a tree head of it.
            witnesses_needed: how many of them must have; all by default.
            authorities: certificates, in PEM or DER, to one of which a time-stamp must lead.
            report: also write a page for people to this file, outside the vault: HTML that is
                complete in itself, for reading and printing.  It is written of a vault that is
                not valid, too.
            force: replace the page if it exists.
        """
        named = arguments.texts("witnesses", witnesses)
        if witnesses_needed is not None and not 0 < witnesses_needed <= len(named):
            raise UsageError(
                f"'witnesses_needed' is a number from 1 to {len(named)}, as many as are named"
            )
        certificates = arguments.certificates(authorities)
        heads = [heads] if isinstance(heads, TreeHead) else heads
        notes = [note for head in heads if (note := note_of(head)) is not None]
        held_to = (notes, key_ids(root_keys), named, witnesses_needed, certificates)
        if report is None:
            if force:
                raise UsageError("force is for a report that exists: give report")
            return Report._from_native(_native.examine(str(self._path), strict, held_to)[0])
        staging = _native.Staging(str(Path(report)), force, str(self._path))
        try:
            found, page = _native.verification_page(str(self._path), strict, held_to)
            Path(staging.path).write_text(page, encoding="utf-8", newline="")
            staging.commit("html")
        finally:
            staging.discard()
        return Report._from_native(found)

    def add_anchor(
        self,
        given: bytes,
        *,
        heads: Iterable[TreeHead] = (),
        keyfile: str | os.PathLike[str] | None = None,
        key_id: str | None = None,
    ) -> Anchor:
        """Keep what somebody else made of a tree head of this vault with it, and seal it.

        Args:
            given: a tree head that witnesses cosigned, the answer of a time-stamp authority (RFC 3161),
                or the proof of an event of another vault that has the text of a tree head in its data.
            heads: the tree heads of which one was stamped.
            keyfile: the keyfile to sign the seal with, if not the vault's own.
            key_id: which of its keys, if not the first that may sign.
        """
        if not isinstance(given, bytes):
            raise UsageError(f"an anchor is given as bytes, not as a {type(given).__name__}")
        heads = [heads] if isinstance(heads, TreeHead) else heads
        receipt = _native.add_anchor(
            str(self._path),
            given,
            heads=[note for head in heads if (note := note_of(head)) is not None],
            keyfile=None if keyfile is None else os.fspath(keyfile),
            key_id=key_id,
            no_lock=self._no_lock,
        )
        return next(anchor for anchor in self.anchors() if anchor.file == receipt["file"])

    def anchors(self) -> list[Anchor]:
        """The anchors of the vault, by the names of their files, as they say."""
        return [Anchor._from_native(found) for found in _native.list_anchors(str(self._path))]

    def tree_head(
        self,
        *,
        keyfile: str | os.PathLike[str] | None = None,
        key_id: str | None = None,
        copy: str | None = None,
        continues: TreeHead | None = None,
        break_heads: bool = False,
    ) -> TreeHead:
        """Verify the vault, and sign what it holds now, for others to keep.

        This machine remembers the last tree head that was published of this copy, and signs a new
        one only if the log goes on from that.  Nothing in the vault is written.

        Args:
            keyfile: the keyfile to sign with, if not the vault's own.
            key_id: which of its keys, if not the first that may sign.
            copy: the name of this copy in its first tree head; a random one by default.
            continues: the last tree head that was published of this copy, where this machine
                knows of none.
            break_heads: begin anew, under a new origin, though the log does not go on from what
                was published.

        Raises:
            provara.errors.InvalidEvidenceError: the vault does not verify, or does not go on from
                what was published.
        """
        note = _native.sign_tree_head(
            str(self._path),
            keyfile=None if keyfile is None else os.fspath(keyfile),
            key_id=key_id,
            copy=copy,
            continues=note_of(continues),
            break_heads=break_heads,
        )
        return TreeHead.parse(note)

    def prove(self, *event_ids: str, head: TreeHead, lines: tuple[int, int] | None = None) -> bytes:
        """Prove that events are in the vault, to somebody who has not the vault.

        The events are in the proof as they stand in the log.

        Args:
            event_ids: the events.
            head: the tree head that whoever gets the proof has or trusts.
            lines: the first and the last of the log's lines, counted from 1, whose events are
                proven instead; that nothing between them was left out is proven, too.

        Returns:
            The document, for :func:`provara.proofs.verify_proof` and ``provara verify-proof``.
        """
        if bool(event_ids) == (lines is not None):
            raise UsageError("name either the events that are to be proven, or lines")
        note = note_of(head)
        if note is None:
            raise UsageError("a proof is for a tree head: give head")
        if any(not isinstance(event_id, str) for event_id in event_ids):
            raise UsageError("the events that are to be proven are named by their ids, each a str")
        first_last = None if lines is None else arguments.lines(lines)
        return self._log(False).prove(note, events=list(event_ids), lines=first_last)

    def prove_consistency(self, old: TreeHead, new: TreeHead) -> bytes:
        """Prove that a tree head of this vault goes on from an older one."""
        older, newer = note_of(old), note_of(new)
        if older is None or newer is None:
            raise UsageError("two tree heads are needed")
        return self._log(False).prove_consistency(older, newer)

    def _log(self, unverified: bool) -> _native.Log:
        """Return the very log that was verified: nothing is derived from what does not verify.

        Args:
            unverified: the caller insists: return the log as it is.
        """
        if unverified:
            return _native.snapshot(str(self._path))
        report, log = _native.examine(str(self._path))
        if log is None:
            Report._from_native(report).raise_if_invalid()
            raise InvalidEvidenceError("the vault has no log")
        return log
