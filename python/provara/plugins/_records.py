"""What the registry knows of a plugin, and how it is named to people."""

from __future__ import annotations

import sys
from typing import Any, Literal, NamedTuple, TypedDict

from provara.plugins.protocols import EventTypePlugin, ExportPlugin, ReducerPlugin

Kind = Literal["event_type", "reducer", "export"]
Source = Literal["entry_point", "registered", "environment"]
ProblemKind = Literal["invalid", "collision", "load", "name", "schema"]

KINDS: tuple[Kind, ...] = ("event_type", "reducer", "export")

PROTOCOLS: dict[Kind, type] = {
    "event_type": EventTypePlugin,
    "reducer": ReducerPlugin,
    "export": ExportPlugin,
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


class PluginProblem(NamedTuple):
    """Why a plugin is not available.

    Attributes:
        kind: what is wrong.
        plugin: the name of the entry point, of the item of ``PROVARA_PLUGINS`` or of the plugin.
        text: the complete message, from ``ERROR:`` to ``Fix:``.
    """

    kind: ProblemKind
    plugin: str
    text: str


class ProblemOfDistribution(PluginProblem):
    """A problem with a plugin of a distribution, which a plain tuple of three has no place for."""

    distribution: str | None = None


class PluginInfo(TypedDict):
    """One plugin, as :meth:`PluginRegistry.get_plugin_info` describes it."""

    type: Kind
    name: str
    #: Where the class is found: ``acme_provara_plugins.LoginEventPlugin``.
    plugin_class: str
    #: The distribution that provides the plugin, where one does, and its version.
    distribution: str | None
    version: str | None
    source: Source
    entry_point: str | None
    #: Event types only.
    schema_version: str | None
    cli_command: str | None


class Origin(NamedTuple):
    """Where a plugin comes from."""

    source: Source = "registered"
    #: What the messages put in quotes; the plugin's own name if ``None``.
    label: str | None = None
    #: Where the object was loaded from, ``package.module.Name``, if it was loaded by name.
    target: str | None = None
    distribution: str | None = None
    version: str | None = None
    entry_point: str | None = None

    def describe(self) -> str:
        """Return the text of a ``Source:`` line."""
        if self.distribution is not None:
            return f"{self.distribution} v{self.version or '0'}"
        if self.source == "environment":
            return f"PROVARA_PLUGINS ({self.label})"
        if self.source == "entry_point":
            return f"entry point '{self.entry_point}'"
        return "registered from Python"


class Record(NamedTuple):
    """A registered plugin with what was read from it at registration."""

    kind: Kind
    name: str
    plugin: Any
    class_path: str
    origin: Origin
    #: Event types: the schema as JSON text, its version, and the compiled form.
    schema_json: str | None = None
    schema_version: str | None = None
    schema: Any = None
    #: What discovery was loading when it was registered, if it was.
    loaded: Origin | None = None


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
    return [kind for kind in KINDS if PROTOCOLS[kind] in cls.__mro__]


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
