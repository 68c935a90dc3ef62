"""Appending to a vault: receipts, and a writer of many events."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provara import _native
from provara.errors import BatchError, UsageError

if TYPE_CHECKING:
    from provara.vault import Vault

__all__ = ["AppendReceipt", "VaultWriter"]

#: The actor of an append that names none.
DEFAULT_ACTOR = "provara_user"


@dataclass(frozen=True)
class AppendReceipt:
    """What an append did: the event is in the log, durable, and under the seal.

    Attributes:
        event_id: the id of the new event.
        event_type: its type, as it stands in the log.
        actor: its actor.
        key_id: the key that signed it.
        prev_event_hash: the actor's event before it, or ``None`` for the first.
        ts_logical: the actor's logical clock.
        timestamp_utc: when it was written.
        line: its line in the log, counted from 1.
        merkle_root: the Merkle root of the renewed seal, in hex.
        event: the event as it stands in the log.
        notes: what the user should know, such as a torn tail that was set aside.
        repeated: whether nothing was appended, because the event was there already under its
            idempotency key.
    """

    event_id: str
    event_type: str
    actor: str
    key_id: str
    prev_event_hash: str | None
    ts_logical: int
    timestamp_utc: str
    line: int
    merkle_root: str
    event: dict[str, Any]
    notes: tuple[str, ...] = ()
    repeated: bool = False

    @classmethod
    def _from_native(cls, receipt: dict[str, Any]) -> AppendReceipt:
        names = cls.__dataclass_fields__
        known = {key: value for key, value in receipt.items() if key in names}
        known["notes"] = tuple(known.get("notes", ()))
        return cls(**known)


class VaultWriter:
    """Appends events in groups; made by :meth:`Vault.writer`.

    An event that was appended is in the log, durable and sealed after :meth:`flush`, at the
    latest at the end of the ``with`` block, also one that ends with an exception (but nothing is
    of an ``atomic`` one).  What was taken and never flushed is not in the log, and its loss is a
    :class:`ResourceWarning`.  Other writers are kept out only while a group is written.

    A writer belongs to the process that made it: after a fork, the child makes its own.
    """

    #: How many events are written together.
    GROUP = 16384

    def __init__(
        self,
        vault: Vault,
        keyfile: str | os.PathLike[str] | None,
        key_id: str | None,
        allow_unregistered: bool,
        atomic: bool,
        go_on: bool = True,
    ) -> None:
        self._vault = vault
        self._allow_unregistered = allow_unregistered
        self._atomic = atomic
        self._go_on = go_on
        self._process = os.getpid()
        self._batch = _native.Batch(
            str(vault.path),
            None if keyfile is None else os.fspath(keyfile),
            key_id,
            vault._no_lock,
            atomic,
        )
        self._taken = 0
        self._closed = False
        #: The receipts of the events that are durable and sealed.
        self.receipts: list[AppendReceipt] = []

    def append(
        self,
        type: str,  # noqa: A002 - the name of the field in an event
        data: Mapping[str, Any],
        *,
        actor: str = DEFAULT_ACTOR,
        namespace: str | None = None,
        confidence: float | None = None,
        blind: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Take an event; see :meth:`Vault.append`.

        A key event or a redaction is written at once, with those that wait.

        Raises:
            provara.errors.UsageError: the event is refused, and no other; or the ``with`` block
                of the writer has ended; or this is a fork of the process that made the writer.
            provara.errors.BatchError: an event that was taken before is refused, as the vault
                was closed, or a key revoked, meanwhile.
        """
        self._check_process()
        if self._closed:
            raise UsageError("the writer's 'with' block has ended; make another writer")
        payload = payload_of(data)
        event_type = self._vault._resolve(type, payload, self._allow_unregistered)
        needs_log = self._batch.add(
            event_type,
            payload,
            actor=actor,
            namespace=namespace,
            confidence=confidence,
            blind=blind,
            idempotency_key=idempotency_key,
        )
        if needs_log:
            self._write(alone=True)
        elif len(self._batch) >= self.GROUP and not self._atomic:
            self._write()

    def flush(self) -> list[AppendReceipt]:
        """Write, sync and seal what was taken; return its receipts.

        Raises:
            provara.errors.BatchError: an event is refused; all others are in the log and
                sealed (none of an ``atomic`` writer).
            provara.errors.VaultError: the events could not be written.  Those without a
                receipt still wait if the lock was not to be had, and are gone otherwise.
            provara.errors.UsageError: this is a fork of the process that made the writer.
        """
        self._check_process()
        return self._write()

    def _write(self, alone: bool = False) -> list[AppendReceipt]:
        """Write what was taken.  The last of it came ``alone``: its refusal is no batch's."""
        count = len(self._batch)
        if not count:
            return []
        before = len(self.receipts)
        receipts, refused, failed = self._batch.commit(self._go_on)
        made = [AppendReceipt._from_native(receipt) for receipt in receipts]
        self.receipts.extend(made)
        taken = self._taken
        self._taken += count - len(self._batch)
        if failed is not None:
            raise failed
        if not refused:
            return made
        first, reason = refused[0]
        if alone and first == count - 1:
            raise UsageError(reason)
        appended = 0 if self._atomic else before + first
        others = "" if len(refused) == 1 else f" (and {len(refused) - 1} after it)"
        after = len(self.receipts) - appended
        more = f", and {after} of those after it" if after else ""
        raise BatchError(
            f"event {taken + first} was refused{others}: {reason}\n{events_before(appended)}{more}",
            taken + first,
            appended,
        )

    def _check_process(self) -> None:
        here = os.getpid()
        if here != self._process:
            raise UsageError(
                f"this writer belongs to process {self._process}, which this one ({here}) is a fork"
                " of: what it holds is written there. Make a writer in each process, after the fork"
            )

    def __enter__(self) -> VaultWriter:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._closed = True
        if error is not None and os.getpid() != self._process:
            # What ended the block in the child is what it has to know.
            return
        if error is None or not self._atomic:
            self.flush()

    def __del__(self) -> None:
        # Where __init__ failed, there is no batch; in a fork it is the parent's.
        if getattr(self, "_closed", True) or os.getpid() != self._process:
            return
        waiting = len(self._batch)
        if waiting:
            warnings.warn(
                f"events of a writer that was never flushed are not in the log: {waiting}",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )


def _close_held() -> None:
    """Close, in a forked child, what holds the lock of a log for a thread of the parent."""
    for descriptor, device, inode in _native.held_descriptors():
        try:
            there = os.fstat(descriptor)
            if (there.st_dev, there.st_ino) == (device, inode):
                os.close(descriptor)
        except OSError:
            # It was opened after the child had its descriptors.
            continue


os.register_at_fork(after_in_child=_close_held)


def payload_of(data: object) -> dict[str, Any]:
    """Return a copy of an event's data, which a caller without a type checker may get wrong."""
    if not isinstance(data, Mapping):
        raise UsageError(f"the data of an event is a dict, not of type {type(data).__name__}")
    return dict(data)


def events_before(appended: int) -> str:
    """Say what became of the events before one that was refused."""
    if not appended:
        return "nothing was appended"
    events = "1 event before it is" if appended == 1 else f"{appended} events before it are"
    return f"{events} in the log and sealed"
