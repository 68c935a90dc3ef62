"""Appending to a vault: receipts, and a writer of many events."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provara import _native
from provara.errors import BatchError, UsageError, VaultError

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
    ) -> None:
        self._vault = vault
        self._allow_unregistered = allow_unregistered
        self._atomic = atomic
        self._batch = _native.Batch(
            str(vault.path),
            None if keyfile is None else os.fspath(keyfile),
            key_id,
            vault._no_lock,
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

        Raises:
            provara.errors.UsageError: the event is refused, and no other; or the ``with`` block
                of the writer has ended.
            provara.errors.BatchError: an event that was taken before is refused.
        """
        if self._closed:
            raise UsageError("the writer's 'with' block has ended; make another writer")
        payload = payload_of(data)
        event_type = self._vault._resolve(type, payload, self._allow_unregistered)
        self._batch.add(
            event_type,
            payload,
            actor=actor,
            namespace=namespace,
            confidence=confidence,
            blind=blind,
            idempotency_key=idempotency_key,
        )
        if len(self._batch) >= self.GROUP and not self._atomic:
            self.flush()

    def flush(self) -> list[AppendReceipt]:
        """Write, sync and seal what was taken; return its receipts.

        Raises:
            provara.errors.BatchError: an event is refused; those before it are in the log and
                sealed, those after it are not.
            provara.errors.VaultError: the events could not be written.
        """
        count = len(self._batch)
        if not count:
            return []
        try:
            receipts, refused = self._batch.commit(self._atomic)
        except VaultError as error:
            if not self.receipts:
                raise
            raise VaultError(
                f"after {len(self.receipts)} events that are in the log and sealed: {error}"
            ) from error
        made = [AppendReceipt._from_native(receipt) for receipt in receipts]
        self.receipts.extend(made)
        if refused is not None:
            index, reason = self._taken + refused[0], refused[1]
            self._taken += count
            appended = len(self.receipts)
            raise BatchError(
                f"event {index} was refused: {reason}\n{events_before(appended)}", index, appended
            )
        self._taken += count
        return made

    def __enter__(self) -> VaultWriter:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._closed = True
        if error is None or not self._atomic:
            self.flush()

    def __del__(self) -> None:
        # Where __init__ failed, there is no batch.
        waiting = 0 if getattr(self, "_closed", True) else len(self._batch)
        if waiting:
            warnings.warn(
                f"events of a writer that was never flushed are not in the log: {waiting}",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )


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
