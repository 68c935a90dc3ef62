"""What the registry knows of a plugin, and how it is named to people."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing `typing` takes longer than all that the host needs besides
if TYPE_CHECKING:
    from typing import Any, Literal, TypeVar

    from provara.plugins._shown import PluginProblem

    Kind = Literal["event_type", "reducer", "export"]
    Source = Literal["entry_point", "registered", "environment"]
    ProblemKind = Literal["invalid", "collision", "load", "name", "schema"]
    Values = TypeVar("Values", bound="_Values")

KINDS: tuple[Kind, ...] = ("event_type", "reducer", "export")

#: Where the protocols are, and what they are called there. They are loaded when somebody derives from one.
_PROTOCOL_MODULE = "provara.plugins.protocols"
_PROTOCOL_NAMES: dict[Kind, str] = {
    "event_type": "EventTypePlugin",
    "reducer": "ReducerPlugin",
    "export": "ExportPlugin",
}

REQUIRED_ATTRIBUTES: dict[Kind, tuple[str, ...]] = {
    "event_type": ("name", "schema"),
    "reducer": ("name",),
    "export": ("name",),
}

REQUIRED_METHODS: dict[Kind, tuple[str, ...]] = {
    "event_type": ("validate",),
    "reducer": ("reduce",),
    "export": ("export",),
}

#: Members that tell what an incomplete class was meant to be.
_TELLING_MEMBERS: dict[Kind, tuple[str, ...]] = {
    "event_type": ("validate", "schema", "cli_command"),
    "reducer": ("reduce",),
    "export": ("export",),
}

#: Ends of class names that tell the same, when there is nothing else.
_TELLING_SUFFIXES: tuple[tuple[str, Kind], ...] = (
    ("reducer", "reducer"),
    ("exporter", "export"),
    ("export", "export"),
    ("exportformat", "export"),
    ("eventtype", "event_type"),
    ("event", "event_type"),
)


class _Values:
    """Named values that do not change, without what :class:`typing.NamedTuple` imports."""

    __slots__ = ()

    def replaced(self: Values, **changes: Any) -> Values:
        """Return the same with other values for some names."""
        names: tuple[str, ...] = self.__slots__
        kept: dict[str, Any] = {name: getattr(self, name) for name in names}
        return type(self)(**{**kept, **changes})


class Origin(_Values):
    """Where a plugin comes from.

    Attributes:
        source: how it was found.
        label: what the messages put in quotes; the plugin's own name if ``None``.
        target: where the object was loaded from, ``package.module.Name``, if it was loaded by name.
        distribution: the distribution that provides it, where one does.
        version: the version of that.
        entry_point: the name of its entry point.
        asked: whether the user named it for this one command, and not in ``PROVARA_PLUGINS``.
    """

    __slots__ = ("asked", "distribution", "entry_point", "label", "source", "target", "version")

    def __init__(
        self,
        source: Source = "registered",
        label: str | None = None,
        target: str | None = None,
        distribution: str | None = None,
        version: str | None = None,
        entry_point: str | None = None,
        asked: bool = False,
    ) -> None:
        self.asked = asked
        self.source = source
        self.label = label
        self.target = target
        self.distribution = distribution
        self.version = version
        self.entry_point = entry_point

    def describe(self) -> str:
        """Return the text of a ``Source:`` line."""
        if self.distribution is not None:
            return f"{self.distribution} v{self.version or '0'}"
        if self.asked:
            return f"named on the command line ({self.label})"
        if self.source == "environment":
            return f"PROVARA_PLUGINS ({self.label})"
        if self.source == "entry_point":
            return f"entry point '{self.entry_point}'"
        return "registered from Python"


class Record(_Values):
    """A registered plugin with what was read from it at registration.

    Attributes:
        schema_json: for an event type its schema as JSON text, with ``schema_version``, and in
            ``schema`` the compiled form; none where schemas are not compiled.
        loaded: what discovery was loading when it was registered, if it was.
    """

    __slots__ = (
        "class_path",
        "kind",
        "loaded",
        "name",
        "origin",
        "plugin",
        "schema",
        "schema_json",
        "schema_version",
    )

    def __init__(
        self,
        kind: Kind,
        name: str,
        plugin: Any,
        class_path: str,
        origin: Origin,
        schema_json: str | None = None,
        schema_version: str | None = None,
        schema: Any = None,
        loaded: Origin | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.plugin = plugin
        self.class_path = class_path
        self.origin = origin
        self.schema_json = schema_json
        self.schema_version = schema_version
        self.schema = schema
        self.loaded = loaded

    @property
    def known_origin(self) -> Origin:
        """Where it comes from, with its class, however it was loaded."""
        return self.origin.replaced(target=self.class_path)


def problem(
    kind: ProblemKind,
    label: str,
    text: str,
    origin: Origin | None = None,
    of: Kind | None = None,
    plugin: object = None,
) -> PluginProblem:
    """Make a problem, with where the plugin comes from and what is known of it, as far as it got."""
    from provara.plugins._shown import PluginProblem, ProblemWithOrigin

    if origin is None:
        return PluginProblem(kind, label, text)
    made = ProblemWithOrigin(kind, label, text)
    made.distribution, made.origin, made.of = origin.distribution, origin, of
    if plugin is not None:
        cls = plugin if isinstance(plugin, type) else type(plugin)
        made.origin = origin.replaced(target=origin.target or public_path(cls))
        made.name = own_name(plugin)
    return made


def own_name(plugin: object) -> str | None:
    """Return the name that a plugin gives itself, or ``None``, whatever a property there raises."""
    try:
        name = getattr(plugin, "name", None)
        return str(name) if isinstance(name, str) and name else None
    except Exception:  # then it has none
        return None


def is_protocol(cls: type) -> bool:
    """Tell whether a class is one of the protocols itself."""
    return cls in _protocols().values()


def _protocols() -> dict[Kind, type]:
    """Return the protocols, or none while nobody can have derived from one."""
    module = sys.modules.get(_PROTOCOL_MODULE)
    if module is None:
        return {}
    return {kind: getattr(module, name) for kind, name in _PROTOCOL_NAMES.items()}


def public_path(cls: type) -> str:
    """Return the dotted path under which a class is meant to be imported.

    A package that re-exports a class from one of its modules makes the shorter path the
    public one: ``acme_provara_plugins.CSVExportPlugin`` for a class that is defined in
    ``acme_provara_plugins.csv_export``.
    """
    module_name = cls.__module__
    name = cls.__qualname__
    if "." not in name:
        parts = module_name.split(".")
        for length in range(1, len(parts)):
            package = ".".join(parts[:length])
            module = sys.modules.get(package)
            if module is not None and vars(module).get(name) is cls:
                return f"{package}.{name}"
    return f"{module_name}.{name}"


def is_defined(plugin: object, name: str) -> bool:
    """Tell whether the class of an object defines an attribute, whatever a property there gives."""
    cls = plugin if isinstance(plugin, type) else type(plugin)
    return any(name in vars(base) for base in cls.__mro__)


def _has(plugin: object, name: str) -> bool:
    """Tell whether an object has an attribute, without asking a property for its value.

    A property may read a large schema, which only the command that needs it is to pay for.
    """
    return is_defined(plugin, name) or hasattr(plugin, name)


def missing_members(plugin: object, kind: Kind) -> tuple[list[str], list[str]]:
    """Return the required methods and attributes that ``plugin`` does not have."""
    methods = [m for m in REQUIRED_METHODS[kind] if not callable(getattr(plugin, m, None))]
    attributes = [a for a in REQUIRED_ATTRIBUTES[kind] if not _has(plugin, a)]
    return methods, attributes


def complete_kinds(plugin: object) -> list[Kind]:
    """Return the kinds whose protocol the object satisfies."""
    return [kind for kind in KINDS if missing_members(plugin, kind) == ([], [])]


def protocol_kinds(cls: type) -> list[Kind]:
    """Return the kinds whose protocol the class derives from."""
    return [kind for kind, protocol in _protocols().items() if protocol in cls.__mro__]


def intended_kinds(plugin: object) -> list[Kind]:
    """Tell what a plugin is, or was meant to be.

    Decided by the protocols that its class derives from; else by the members that it has
    (every kind that is complete, or the first kind of which it has a part); else by the
    end of its class's name.  Empty if none of these tells.
    """
    cls = plugin if isinstance(plugin, type) else type(plugin)
    by_base = protocol_kinds(cls)
    if by_base:
        return by_base
    by_members = complete_kinds(plugin)
    if by_members:
        return by_members
    for kind in KINDS:
        if any(hasattr(plugin, member) for member in _TELLING_MEMBERS[kind]):
            return [kind]
    name = cls.__name__.lower().removesuffix("plugin").rstrip("_")
    for suffix, kind in _TELLING_SUFFIXES:
        if name.endswith(suffix):
            return [kind]
    return []
