"""What the registry tells a program: of a plugin, and of one that could not be used.

Apart from the records, because only a program that asks needs :mod:`typing`, which takes longer to
import than all that the host process needs besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from provara.plugins._records import Kind, ProblemKind, Source


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
