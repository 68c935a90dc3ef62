"""A vault, from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provara import _arguments as arguments
from provara import _native
from provara._evidence import Evidence
from provara.errors import (
    BatchError,
    InvalidEvidenceError,
    PluginError,
    UsageError,
    ValidationError,
)
from provara.writer import DEFAULT_ACTOR, AppendReceipt, VaultWriter, events_before, payload_of

if TYPE_CHECKING:
    from provara.plugins import PluginRegistry

__all__ = ["AppendReceipt", "Vault", "VaultWriter"]


class Vault(Evidence):
    """An append-only log of signed events in a directory.

    A vault object holds no file open and no state: other processes may work on the same vault.
    Plugins are those of :data:`provara.plugins.registry` and run in this process, with its
    rights; the ``provara`` executable runs them in a confined process instead.

    Args:
        path: the directory of the vault.
        registry: where custom event types, reducers and export formats are looked up, if not
            in :data:`provara.plugins.registry`.
        no_lock: write where the file system has no locks, too.  Only for a vault that nothing else
            writes to at the same time, no other object or thread of this process either: two
            writers then lose events.  Where there are locks, they are taken as ever.

    Raises:
        provara.errors.VaultError: there is no vault at the path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        registry: PluginRegistry | None = None,
        no_lock: bool = False,
    ) -> None:
        root, log, keyfile = _native.open_vault(os.fspath(path))
        self._path = Path(root)
        self._log_path = Path(log)
        self._default_keyfile = Path(keyfile)
        self._own_registry = registry
        self._no_lock = no_lock

    @classmethod
    def init(
        cls,
        path: str | os.PathLike[str],
        *,
        uid: str | None = None,
        actor: str | None = None,
        quorum: bool = False,
        private_keys: str | os.PathLike[str] | None = None,
        registry: PluginRegistry | None = None,
        no_lock: bool = False,
    ) -> Vault:
        """Create a vault with fresh keys, its first events and a signed seal.

        Args:
            path: a directory that does not exist or is empty.
            uid: what the vault calls itself; a random UUID by default.
            actor: the actor of the first events, ``sovereign_genesis`` by default.
            quorum: add a second key, which can revoke the first.
            private_keys: where to write the keyfile (mode 0600), if not
                ``identity/private_keys.json`` in the vault.
            registry: as for the constructor.
            no_lock: as for the constructor.
        """
        keys = None if private_keys is None else os.fspath(private_keys)
        _native.init_vault(os.fspath(path), uid, actor, quorum, keys)
        return cls(path, registry=registry, no_lock=no_lock)

    @property
    def path(self) -> Path:
        """The directory of the vault, absolute, without symbolic links."""
        return self._path

    @property
    def log_path(self) -> Path:
        """The log of events."""
        return self._log_path

    @property
    def default_keyfile(self) -> Path:
        """The keyfile that is used where none is given; it may not exist."""
        return self._default_keyfile

    def __repr__(self) -> str:
        return f"Vault({str(self._path)!r})"

    def __fspath__(self) -> str:
        return str(self._path)

    # Writing -----------------------------------------------------------------------------

    def append(
        self,
        type: str,  # noqa: A002 - the name of the field in an event
        data: Mapping[str, Any],
        *,
        actor: str = DEFAULT_ACTOR,
        keyfile: str | os.PathLike[str] | None = None,
        key_id: str | None = None,
        namespace: str | None = None,
        confidence: float | None = None,
        allow_unregistered: bool = False,
        blind: bool = False,
        idempotency_key: str | None = None,
    ) -> AppendReceipt:
        """Append a signed event and renew the seal.

        The data of a custom type is judged by the schema of the plugin that defines it, then
        by the plugin's ``validate``, and becomes the payload exactly as given.

        Args:
            type: a core type, a custom type, or a plugin's alias for one.
            data: a dict of what is JSON.  An ``int`` beyond 2**53 - 1 is refused unless a ``float`` is
                equal to it and survives as text: use a ``str``.
            actor: who says so.
            keyfile: the keyfile to sign with, if not the vault's own.
            key_id: which of its keys, if not the first that may sign.
            namespace: ``canonical``, ``local``, ``contested`` or ``archived``.
            confidence: from 0 to 1, for ``OBSERVATION`` and ``ASSERTION`` only.
            allow_unregistered: accept a custom type that no plugin defines, unjudged.
            blind: add 16 random bytes to the payload, as its member ``blind``, so that it cannot be
                guessed from the hash that a later redaction leaves.
            idempotency_key: a key by which a repetition of this very append is known.  If the vault
                has an event of the actor with this key that says the same, nothing is appended and
                its receipt is returned, with ``repeated`` set; if it says something else, that is
                an error.

        Raises:
            provara.errors.ValidationError: the schema or the plugin refuses the data.
            provara.errors.UsageError: a name, a key or an option is wrong, or no plugin
                defines the type.
            provara.errors.VaultError: the event could not be written.
        """
        payload = payload_of(data)
        event_type = self._resolve(type, payload, allow_unregistered)
        receipt = _native.append_event(
            str(self._path),
            event_type,
            payload,
            actor=actor,
            keyfile=None if keyfile is None else os.fspath(keyfile),
            key_id=key_id,
            namespace=namespace,
            confidence=confidence,
            blind=blind,
            idempotency_key=idempotency_key,
            no_lock=self._no_lock,
        )
        return AppendReceipt._from_native(receipt)

    def append_many(
        self,
        events: Iterable[Mapping[str, Any]],
        *,
        actor: str = DEFAULT_ACTOR,
        keyfile: str | os.PathLike[str] | None = None,
        key_id: str | None = None,
        allow_unregistered: bool = False,
        atomic: bool = False,
    ) -> list[AppendReceipt]:
        """Append many events: signed on all cores, synced in groups, sealed on return.

        Each event is a mapping with ``type`` and ``data``, and perhaps ``actor``, ``namespace``,
        ``confidence`` and ``idempotency_key``, which mean what they mean to :meth:`append`.

        Args:
            events: the events, in the order of the log.
            actor: who says so where an event does not tell.
            keyfile: the keyfile to sign with, if not the vault's own.
            key_id: which of its keys, if not the first that may sign.
            allow_unregistered: accept custom types that no plugin defines, unjudged.
            atomic: look at every event first, then append all of them or none.

        Raises:
            provara.errors.BatchError: an event was refused; those before it are in the log
                and sealed, unless ``atomic``.
            provara.errors.VaultError: the events could not be written.

        What the iterable raises comes through; the events before it are then in the log and
        sealed, unless ``atomic``.
        """
        # It ends at the first that is refused.
        writer = VaultWriter(self, keyfile, key_id, allow_unregistered, atomic, go_on=False)
        with writer:
            for index, event in enumerate(events):
                try:
                    if not isinstance(event, Mapping):
                        raise UsageError(
                            f"an event of a batch is a dict, not of type {type(event).__name__}"
                        )
                    known = {"type", "data", "actor", "namespace", "confidence", "idempotency_key"}
                    unknown = set(event) - known
                    if unknown or not {"type", "data"} <= set(event):
                        raise UsageError(
                            "an event of a batch has 'type' and 'data', and perhaps 'actor', "
                            f"'namespace', 'confidence' and 'idempotency_key', not {sorted(map(str, event))}"
                        )
                    writer.append(
                        event["type"],
                        event["data"],
                        actor=event.get("actor", actor),
                        namespace=event.get("namespace"),
                        confidence=event.get("confidence"),
                        idempotency_key=event.get("idempotency_key"),
                    )
                except BatchError:
                    raise
                # A TypeError is an actor or the like that is no str, from a caller without a type checker.
                except (UsageError, PluginError, TypeError) as error:
                    if not atomic:
                        writer.flush()
                    appended = len(writer.receipts)
                    raise BatchError(
                        f"event {index} was refused: {error}\n{events_before(appended)}",
                        index,
                        appended,
                    ) from error
        return writer.receipts

    def writer(
        self,
        *,
        keyfile: str | os.PathLike[str] | None = None,
        key_id: str | None = None,
        allow_unregistered: bool = False,
        atomic: bool = False,
    ) -> VaultWriter:
        """Return a writer that appends events in groups::

            with vault.writer() as writer:
                writer.append("OBSERVATION", {"subject": "door", "predicate": "is", "value": 1})

        The arguments mean what they mean to :meth:`append_many`.
        """
        return VaultWriter(self, keyfile, key_id, allow_unregistered, atomic)

    def manifest(
        self, *, keyfile: str | os.PathLike[str] | None = None, new_seal: bool = False
    ) -> dict[str, Any]:
        """Make the seal anew: the manifest, its Merkle root and its signature.

        Args:
            new_seal: also where the vault has no seal at all. Whoever removed it may have cut or
                changed the log before, and then nothing tells.

        Returns:
            What was sealed: ``merkle_root``, ``file_count``, ``event_count``, ``signed_by``.
        """
        return _native.make_manifest(
            str(self._path),
            None if keyfile is None else os.fspath(keyfile),
            new_seal,
            self._no_lock,
        )

    def checkpoint(
        self, *, keyfile: str | os.PathLike[str] | None = None, key_id: str | None = None
    ) -> Path:
        """Write a signed snapshot of the beliefs, and renew the seal.

        Returns:
            The checkpoint's file.
        """
        receipt = _native.make_checkpoint(
            str(self._path), None if keyfile is None else os.fspath(keyfile), key_id, self._no_lock
        )
        path: str = receipt["path"]
        return self._path / path

    # Reading -----------------------------------------------------------------------------

    def events(
        self,
        *,
        type: str | Sequence[str] | None = None,  # noqa: A002 - the name of the field in an event
        actor: str | Sequence[str] | None = None,
        after: str | datetime | None = None,
        before: str | datetime | None = None,
        where: str | Sequence[str] = (),
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the events that the log holds now, each a fresh dict.

        Events that are appended meanwhile are not among them, and nothing is verified. A line
        that is not an event ends the iteration with an exception; a filter passes it over. Numbers
        are as :func:`provara.sync_v0.iter_events` gives them.

        Args:
            type: only events of exactly this type, or of one of these.
            actor: only events of exactly this actor, or of one of these.
            after: only events at or after this time: an aware ``datetime``, or as text a date
                (``2026-01-31``), a time in UTC (``2026-01-31T12:00:00Z``) or an age (``36h``, ``7d``).
            before: only events before this time.
            where: only events that meet this condition, or all of these, as ``provara query --where`` takes
                them: ``payload.success=false``, or an expression in CEL such as ``payload.value >= 900``.

        Raises:
            provara.errors.UsageError: a condition or a time is not understood.
            provara.errors.InvalidEvidenceError: while iterating, a line is not an event.
        """
        return _native.snapshot(str(self._path)).events(
            types=arguments.texts("type", type),
            actors=arguments.texts("actor", actor),
            after=arguments.timestamp("after", after),
            before=arguments.timestamp("before", before),
            conditions=arguments.texts("where", where),
        )

    def summary(self) -> dict[str, Any]:
        """Return the event count, the actors' chain heads, the types and the last event."""
        return _native.snapshot(str(self._path)).summary()

    def beliefs(self, *, unverified: bool = False) -> dict[str, Any]:
        """Replay the log through the built-in belief reducer; see :func:`provara.beliefs`."""
        return self._log(unverified).beliefs()

    def reduce(self, plugin: str | None = None, *, unverified: bool = False) -> Any:
        """Run a reducer over the events, or return the summary if none is named.

        Args:
            plugin: the name of a reducer plugin, or ``beliefs`` or ``summary``, which are built
                in and give way to plugins of these names.
            unverified: go on although the vault does not verify.

        Returns:
            What the reducer returned, as plain JSON values.

        Raises:
            provara.errors.UsageError: there is no such reducer.
            provara.errors.PluginError: the reducer raised, or returned what is not JSON.
            provara.errors.InvalidEvidenceError: the vault does not verify.
        """
        if plugin is None:
            return self._log(unverified).summary()
        reducer = self._registry().get_reducer(plugin)
        if reducer is None:
            if plugin.casefold() in _native.BUILTIN_REDUCERS:
                return self._log(unverified).reduce(plugin.casefold())
            names = [known.name for known in self._registry().list_reducers()]
            builtin = _native.BUILTIN_REDUCERS
            raise UsageError(_unknown("reducer", plugin, sorted({*names, *builtin})))
        log = self._log(unverified)
        try:
            result: object = reducer.reduce(log.events())
        except InvalidEvidenceError:
            raise
        except Exception as error:
            raise PluginError(_raised(plugin, "reduce", error), plugin) from error
        if result is None:
            raise PluginError(f"reducer '{plugin}' returned None: is a return missing?", plugin)
        try:
            return _native.parse_json(_native.to_json(result))
        except ValueError as error:
            raise PluginError(
                f"reducer '{plugin}' returned what is not JSON: {error}", plugin
            ) from error

    def export(
        self,
        format: str,  # noqa: A002 - as on the command line
        output: str | os.PathLike[str],
        *,
        force: bool = False,
        unverified: bool = False,
    ) -> Path:
        """Write the vault in another format.

        The export is written beside the target and moved into place when it is complete: a
        failure leaves the target as it was.

        Args:
            format: the name of an export plugin, or ``csv``, ``ndjson`` or ``json``, which are
                built in and give way to plugins of these names.
            output: the file or directory to create, outside the vault.
            force: replace what is there. Links, vaults, keyfiles and directories that hold one are
                not replaced, nor is a directory that is not empty by a file.
            unverified: go on although the vault does not verify.

        Returns:
            The absolute path of the export.
        """
        from provara.plugins import builtin

        exporter = self._registry().get_export(format)
        if exporter is None and builtin.get(format) is None:
            names = [known.name for known in self._registry().list_exports()]
            raise UsageError(_unknown("export format", format, sorted({*names, *builtin.NAMES})))
        log = self._log(unverified)
        staging = _native.Staging(str(Path(output)), force, str(self._path))
        try:
            if exporter is None:
                log.export(format.casefold(), staging.path)
            else:
                try:
                    exporter.export(str(self._path), staging.path)
                except Exception as error:
                    raise PluginError(_raised(format, "export", error), format) from error
            return Path(staging.commit(format))
        finally:
            staging.discard()

    # Inside ------------------------------------------------------------------------------

    def _registry(self) -> PluginRegistry:
        if self._own_registry is not None:
            return self._own_registry
        from provara.plugins import registry

        return registry

    def _resolve(self, name: object, payload: dict[str, Any], allow_unregistered: bool) -> str:
        if not isinstance(name, str):
            raise UsageError(f"the type of an event is a str, not of type {type(name).__name__}")
        kind, event_type = _native.resolve_event_type(name)
        if kind == "core":
            return event_type
        return self._judge(name, payload, allow_unregistered)

    def _judge(self, name: str, payload: dict[str, Any], allow_unregistered: bool) -> str:
        """Return the name of a custom type, whose plugin accepts the payload.

        A full name keeps its letters; an alias stands for the plugin's own.
        """
        registry = self._registry()
        full_name = registry.resolve_event_type(name)
        plugin = None if full_name is None else registry.get_event_type(full_name)
        kind, event_type = _native.resolve_event_type(name, None if plugin is None else full_name)
        if kind == "none":
            raise UsageError(f"{event_type}, and no plugin has this alias")
        if plugin is None:
            refused = registry._why_refused(name)
            if refused is not None:
                # It is registered to a plugin that cannot be used: nobody could judge the data.
                raise PluginError(refused, name)
            if kind == "own":
                raise UsageError(event_type)
            if not allow_unregistered:
                from provara.plugins import _messages

                raise UsageError(_messages.no_such_type(name, _broken(registry)))
            return event_type
        from provara.plugins._validation import check_event

        problem = check_event(registry, plugin, payload)
        if problem:
            raise ValidationError(problem)
        return event_type


def _unknown(kind: str, name: str, known: list[str]) -> str:
    there = ", ".join(known) if known else "none"
    return f"there is no {kind} '{name}' (there is: {there})"


def _raised(name: str, method: str, error: Exception) -> str:
    from provara.plugins import _messages

    return f"plugin '{name}' raised in {method}(): {_messages.describe_exception(error)}"


def _broken(registry: PluginRegistry) -> str:
    problems = registry.problems
    if not problems:
        return ""
    names = ", ".join(f"'{problem.plugin}'" for problem in problems)
    return f" (plugins that could not be used: {names}; see registry.problems)"
