"""The registry: which plugins there are, under which names."""

from __future__ import annotations

import os
from _thread import RLock

from provara._core_types import RESERVED_CORE_TYPES
from provara.errors import RegistrationError
from provara.plugins import _messages
from provara.plugins._records import (
    KINDS,
    Origin,
    Record,
    missing_members,
    own_name,
    problem,
    public_path,
)

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from typing import Any

    from provara.plugins._records import Kind, ProblemKind
    from provara.plugins._shown import PluginInfo, PluginProblem
    from provara.plugins.protocols import EventTypePlugin, ExportPlugin, ReducerPlugin

#: The longest name of a reducer, an export format or a command alias.
_LONGEST_NAME = 200


class _Loading:
    """What is being imported right now, so that a registration made meanwhile knows its origin."""

    origin: Origin | None = None
    #: Counts successful registrations in any registry of the process.
    registrations = 0


class PluginRegistry:
    """Plugins by kind and name.

    A new registry is empty and looks for nothing until :meth:`discover_plugins` is called.
    Names are compared without regard to case.  The registry may be used from several threads.

    Attributes:
        log_problems: whether problems found by discovery go to the logger
            ``provara.plugins`` (they are always kept in :attr:`problems`).
    """

    def __init__(self) -> None:
        self.log_problems = True
        #: Off in the host: the executable compiles the schemas that it needs, and no others.
        self.compiles_schemas = True
        #: Held for moments, while the tables change.
        self._lock = RLock()
        #: Held while plugins are imported. It is another lock because an import waits for
        #: modules that another thread may be importing, which may register meanwhile.
        self._discovery_lock = RLock()
        self._records: dict[Kind, dict[str, Record]] = {kind: {} for kind in KINDS}
        #: Event types whose plugin could not be registered, as they are compared, and why: they keep
        #: their names, so that nobody takes their data for data that no plugin judges.
        self._refused: dict[str, str] = {}
        self._problems: list[PluginProblem] = []
        #: Command aliases: how it is compared -> how it is written, and whose it is.
        self._aliases: dict[str, tuple[str, Record]] | None = None
        self._alias_problems: list[PluginProblem] = []
        self._discovered = False
        #: Entry points whose module is still being imported by someone else.
        self._deferred: list[Any] = []
        #: Modules that discovery itself imported; forgotten by :meth:`reload`.
        self._imported: set[str] = set()

    # Registration ------------------------------------------------------------------------

    def register_event_type(self, plugin: EventTypePlugin) -> None:
        """Register a custom event type.

        Raises:
            provara.errors.RegistrationError: (a ``ValueError``) a member is missing, the
                name is malformed, reserved or taken, or the schema is not a JSON Schema.
        """
        self._register("event_type", plugin)

    def register_reducer(self, plugin: ReducerPlugin) -> None:
        """Register a reducer.

        Raises:
            provara.errors.RegistrationError: (a ``ValueError``) a member is missing, or the
                name is malformed or taken.
        """
        self._register("reducer", plugin)

    def register_export(self, plugin: ExportPlugin) -> None:
        """Register an export format.

        Raises:
            provara.errors.RegistrationError: (a ``ValueError``) a member is missing, or the
                name is malformed or taken.
        """
        self._register("export", plugin)

    # Look-up -----------------------------------------------------------------------------

    def get_event_type(self, name: str) -> EventTypePlugin | None:
        """Return the event type of this name, or ``None``."""
        record = self._find("event_type", name)
        return None if record is None else record.plugin

    def get_reducer(self, name: str) -> ReducerPlugin | None:
        """Return the reducer of this name, or ``None``."""
        record = self._find("reducer", name)
        return None if record is None else record.plugin

    def get_export(self, name: str) -> ExportPlugin | None:
        """Return the export format of this name, or ``None``."""
        record = self._find("export", name)
        return None if record is None else record.plugin

    def list_event_types(self) -> list[EventTypePlugin]:
        """Return the event types, sorted by name."""
        return [record.plugin for record in self._sorted("event_type")]

    def list_reducers(self) -> list[ReducerPlugin]:
        """Return the reducers, sorted by name."""
        return [record.plugin for record in self._sorted("reducer")]

    def list_exports(self) -> list[ExportPlugin]:
        """Return the export formats, sorted by name."""
        return [record.plugin for record in self._sorted("export")]

    def get_plugin_info(self) -> list[PluginInfo]:
        """Describe every plugin: event types, then reducers, then exports, each by name."""
        aliases = {record.name: alias for alias, record in self._resolved_aliases().values()}
        return [
            {
                "type": record.kind,
                "name": record.name,
                "plugin_class": record.class_path,
                "distribution": record.origin.distribution,
                "version": record.origin.version,
                "source": record.origin.source,
                "entry_point": record.origin.entry_point,
                "schema_version": record.schema_version,
                "cli_command": aliases.get(record.name) if record.kind == "event_type" else None,
            }
            for kind in KINDS
            for record in self._sorted(kind)
        ]

    def resolve_event_type(self, name_or_alias: str) -> str | None:
        """Return the full name of an event type, given it or the plugin's command alias."""
        record = self._find("event_type", name_or_alias)
        if record is None:
            entry = self._resolved_aliases().get(name_or_alias.casefold())
            record = None if entry is None else entry[1]
        return None if record is None else record.name

    @property
    def problems(self) -> tuple[PluginProblem, ...]:
        """The plugins that discovery found and could not use, and why."""
        self._settle()
        return (*self._problems, *self._alias_problems)

    # Discovery ---------------------------------------------------------------------------

    def discover_plugins(self) -> tuple[PluginProblem, ...]:
        """Look for plugins: entry points (``provara.plugins``), then ``PROVARA_PLUGINS``.

        What is found is kept for the lifetime of the process: a second call looks for
        nothing.  A plugin that fails is reported in the result (and to the logger
        ``provara.plugins``) and stops no other.  A name that is taken, by an earlier plugin
        or by an explicit registration, stays with its first owner.

        Returns:
            All problems found so far.
        """
        from provara.plugins import _discovery

        with self._discovery_lock:
            if not self._discovered:
                self._discovered = True
                _discovery.discover(self)
        return self.problems

    def reload(self, *, keep_registered: bool = False) -> tuple[PluginProblem, ...]:
        """Forget every plugin and discover again, as a new process would.

        Modules that discovery itself imported are imported anew, so that an upgraded or
        edited plugin takes effect; modules that the program had imported before stay as
        they are.

        Args:
            keep_registered: keep what was registered explicitly.  Off by default, because a
                new process would not know of it either.
        """
        from provara.plugins import _discovery

        with self._discovery_lock:
            with self._lock:
                for records in self._records.values():
                    kept = {
                        key: record
                        for key, record in records.items()
                        if keep_registered and record.origin.source == "registered"
                    }
                    records.clear()
                    records.update(kept)
                self._problems.clear()
                self._refused.clear()
                self._deferred.clear()
                self._forget_aliases()
            _discovery.forget_modules(self._imported)
            self._discovered = False
            return self.discover_plugins()

    # Inside ------------------------------------------------------------------------------

    def _register(self, kind: Kind, plugin: Any, origin: Origin | None = None) -> None:
        if origin is None:
            origin = _origin_of_explicit()
        try:
            record = build_record(kind, plugin, origin, self.compiles_schemas)
        except RegistrationError as error:
            if kind == "event_type" and error.kind in ("invalid", "schema"):
                self._keep_name(plugin, str(error))
            raise
        record = record.replaced(loaded=_Loading.origin)
        with self._lock:
            existing = self._records[kind].get(record.name.casefold())
            if existing is not None:
                raise RegistrationError(
                    _messages.collision(record.name, existing.class_path, record.class_path),
                    "collision",
                )
            self._records[kind][record.name.casefold()] = record
            if kind == "event_type":
                self._refused.pop(record.name.casefold(), None)
            self._forget_aliases()
            _Loading.registrations += 1

    def _keep_name(self, plugin: object, why: str) -> None:
        """Note the name of an event type that could not be registered, if it has one."""
        name = own_name(plugin)
        if name is not None and name.upper() not in RESERVED_CORE_TYPES:
            with self._lock:
                self._refused[name.casefold()] = why

    def _why_refused(self, event_type: object) -> str | None:
        """Return why the plugin that defines an event type is not registered, if one does and is not."""
        self._settle()
        return self._refused.get(event_type.casefold()) if isinstance(event_type, str) else None

    def _adopt(self, kind: Kind, plugin: Any, origin: Origin) -> bool:
        """Recognise a discovered plugin that is there already, registered by its own module.

        Returns:
            Whether the registry already holds an object of exactly this class under this name.
        """
        name = plugin.name
        with self._lock:
            existing = self._records[kind].get(name.casefold()) if isinstance(name, str) else None
            if existing is None or type(existing.plugin) is not type(plugin):
                return False
            if existing.origin.source == "registered":
                path = origin.target if origin.target is not None else existing.class_path
                adopted = existing.replaced(origin=origin, class_path=path)
                self._records[kind][name.casefold()] = adopted
                self._forget_aliases()
            return True

    def _report(self, found: PluginProblem) -> None:
        self._problems.append(found)
        self._log(found)

    def _log(self, found: PluginProblem) -> None:
        if self.log_problems:
            import logging

            logging.getLogger("provara.plugins").warning("%s", found.text)

    def _settle(self) -> None:
        """Load the entry points that had to wait for their module (see ``_discovery``)."""
        # Not waiting: the thread that discovers may wait for a module of this one.
        if self._deferred and self._discovery_lock.acquire(blocking=False):
            from provara.plugins import _discovery

            try:
                _discovery.load_deferred(self)
            finally:
                self._discovery_lock.release()

    def _find(self, kind: Kind, name: object) -> Record | None:
        self._settle()
        return self._records[kind].get(name.casefold()) if isinstance(name, str) else None

    def _sorted(self, kind: Kind) -> list[Record]:
        self._settle()
        return sorted(self._records[kind].values(), key=lambda record: record.name)

    def _record_of(self, kind: Kind, plugin: object) -> Record | None:
        """Return the record that holds exactly this object."""
        for record in self._records[kind].values():
            if record.plugin is plugin:
                return record
        return None

    def _forget_aliases(self) -> None:
        self._aliases = None
        self._alias_problems.clear()

    def _resolved_aliases(self) -> dict[str, tuple[str, Record]]:
        """Return the command aliases; the first plugin that asks for an alias has it."""
        self._settle()
        with self._lock:
            if self._aliases is None:
                aliases: dict[str, tuple[str, Record]] = {}
                for record in list(self._records["event_type"].values()):
                    refused = self._claim_alias(record, aliases)
                    if refused is not None:
                        self._alias_problems.append(refused)
                        self._log(refused)
                self._aliases = aliases
            return self._aliases

    def _claim_alias(
        self, record: Record, aliases: dict[str, tuple[str, Record]]
    ) -> PluginProblem | None:
        from provara.plugins import _discovery

        _discovery.announce(record.loaded)
        method = getattr(record.plugin, "cli_command", None)
        if method is None:
            return None
        label = record.origin.label or record.name
        class_name = type(record.plugin).__name__
        source = record.origin.describe()
        origin = record.known_origin

        def refused(kind: ProblemKind, text: str) -> PluginProblem:
            told = _messages.bad_alias(label, text, class_name, source)
            return problem(kind, label, told, origin, record.kind, record.plugin)

        try:
            alias = method()
        except BaseException as error:  # `sys.exit()` there costs the alias, not the search
            if is_users(error):
                raise
            text = f"raised {_messages.describe_exception(error)}"
            return refused("invalid", text)
        if alias is None:
            return None
        if not isinstance(alias, str) or not _is_plain_name(alias):
            text = f"returned {_shown(alias)}"
            return refused("invalid", text)
        if alias.upper() in RESERVED_CORE_TYPES:
            text = f"returned '{alias}', which is reserved for core types"
            return refused("name", text)
        key = alias.casefold()
        existing = aliases[key][1] if key in aliases else self._records["event_type"].get(key)
        if existing is not None:
            return problem(
                "collision",
                label,
                _messages.alias_collision(alias, existing.class_path, record.class_path),
                origin,
                record.kind,
                record.plugin,
            )
        aliases[key] = (alias, record)
        return None


def is_users(error: BaseException) -> bool:
    """Tell whether a person at the keyboard raised it.  No keyboard reaches the host process."""
    return isinstance(error, KeyboardInterrupt) and "PROVARA_HOST" not in os.environ


def _is_plain_name(name: str) -> bool:
    """Tell whether a name of a reducer, an export format or an alias can be typed without quotes."""
    if not name.isascii() or not 0 < len(name) <= _LONGEST_NAME or not name[0].isalnum():
        return False
    return all(character.isalnum() or character in "._+-" for character in name)


def _shown(value: object) -> str:
    """Return a short ``repr`` that cannot raise."""
    try:
        text = repr(value)
    except BaseException:  # as hostile as it likes
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _origin_of_explicit() -> Origin:
    """Return the origin of a registration that code makes itself.

    A module that registers its plugins while discovery imports it is known by what was
    being loaded: its distribution, or its item of ``PROVARA_PLUGINS``.
    """
    loading = _Loading.origin
    if loading is None:
        return Origin()
    if loading.source == "environment":
        return loading.replaced(target=None)
    return Origin(distribution=loading.distribution, version=loading.version)


class loading:
    """Attribute registrations made inside a ``with`` block to an origin."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def __enter__(self) -> None:
        self._before = _Loading.origin
        _Loading.origin = self._origin

    def __exit__(self, *raised: object) -> None:
        _Loading.origin = self._before


def registration_count() -> int:
    """Return how many registrations have succeeded in this process."""
    return _Loading.registrations


def build_record(kind: Kind, plugin: Any, origin: Origin, compiles: bool = True) -> Record:
    """Check a plugin and read from it what the registry keeps, its schema only if it is compiled.

    Raises:
        RegistrationError: the plugin is invalid, or its name or schema is.
    """
    cls = plugin if isinstance(plugin, type) else type(plugin)
    source = origin.describe()
    methods, attributes = missing_members(plugin, kind)
    if methods or attributes:
        label = origin.label or _label_of(plugin)
        raise RegistrationError(
            _messages.invalid_plugin(label, methods, attributes, cls.__name__, source)
        )
    if isinstance(plugin, type):
        # The class was given in place of an object: its methods would lack `self`.
        raise RegistrationError(
            _messages.class_registered(origin.label or _label_of(plugin), cls.__name__, source)
        )
    name = plugin.name
    label = origin.label or (name if isinstance(name, str) and name else cls.__name__)
    if not isinstance(name, str):
        found = f"expected a string, got {type(name).__name__}"
        raise RegistrationError(_messages.bad_attribute(label, "name", found, cls.__name__, source))
    name = str(name)
    path = origin.target if origin.target is not None else public_path(cls)
    if kind != "event_type":
        if not _is_plain_name(name):
            raise RegistrationError(_messages.bad_plugin_name(name, cls.__name__, source), "name")
        return Record(kind, name, plugin, path, origin)

    if name.upper() in RESERVED_CORE_TYPES:
        raise RegistrationError(_messages.reserved_name(name, cls.__name__, source), "name")
    from provara import _native

    problem_text = _native.check_type_name(name)
    if problem_text is not None:
        raise RegistrationError(
            _messages.bad_type_name(name, problem_text, cls.__name__, source), "name"
        )
    if not compiles:
        return Record(kind, name, plugin, path, origin)
    try:
        schema_json, version, schema = compile_schema(plugin)
    except ValueError as error:
        raise RegistrationError(
            _messages.bad_schema(label, name, str(error), cls.__name__, source), "schema"
        ) from None
    return Record(kind, name, plugin, path, origin, schema_json, version, schema)


def compile_schema(plugin: EventTypePlugin) -> tuple[str, str, Any]:
    """Read and compile the schema of an event type.

    Returns:
        The schema as JSON text, its version, and the compiled schema.

    Raises:
        ValueError: the schema is not JSON, or not a JSON Schema.
    """
    from provara import _native
    from provara.plugins._schemas import read_schema

    schema_json, schemas_json, version = read_schema(plugin)
    compiled = _native.Schema(str(plugin.name), version, schema_json, schemas_json)
    return schema_json, version, compiled


def _label_of(plugin: object) -> str:
    """Return what a message calls a plugin that has no entry point."""
    name = getattr(plugin, "name", None)
    if isinstance(name, str) and name:
        return name
    return plugin.__name__ if isinstance(plugin, type) else type(plugin).__name__
