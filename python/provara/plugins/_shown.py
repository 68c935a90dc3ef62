"""What the registry tells a program: of a plugin, and of one that could not be used.

Apart from the records, because only a program that asks needs :mod:`typing`, which takes longer to
import than all that the host process needs besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from provara.plugins._records import Kind, Origin, ProblemKind, Source


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


class ProblemWithOrigin(PluginProblem):
    """A problem with what is known of the plugin, which a plain tuple of three has no place for.

    Attributes:
        distribution: the distribution that provides it, where one does.
        origin: where it comes from; its ``target`` is its class, where that is known.
        of: what the plugin is or was meant to be, if that can be told.
        name: its own name, if it got as far as to have one.
    """

    distribution: str | None = None
    origin: Origin | None = None
    of: Kind | None = None
    name: str | None = None


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
