"""The plugin platform: protocols, the registry, and the search for installed plugins.

A plugin adds an event type, a reducer or an export format.  It is an ordinary object
with the members of :class:`EventTypePlugin`, :class:`ReducerPlugin` or
:class:`ExportPlugin`; a package announces it with an entry point of the group
``provara.plugins``.

Importing this module discovers plugins into :data:`registry`, once, in the order entry
points, then ``PROVARA_PLUGINS``.  Discovery imports the plugins' code **into this process,
with its rights**; the ``provara`` executable uses a separate, confined process instead.

``PROVARA_PLUGINS`` lists ``package.module:Class`` or ``package.module`` items, separated by
commas or by ``os.pathsep``; use commas where a colon could be read both ways.  The import of a
module may register what it likes; if it registers nothing, each class that it defines and that
satisfies a protocol is registered.
"""

from __future__ import annotations

import os

from provara._core_types import RESERVED_CORE_TYPES
from provara.plugins._registry import PluginRegistry

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from typing import Any

    from provara.plugins._shown import PluginInfo, PluginProblem
    from provara.plugins.protocols import (
        EventTypePlugin,
        ExportPlugin,
        ReducerPlugin,
        SupportsCliCommand,
    )

__all__ = [
    "RESERVED_CORE_TYPES",
    "EventTypePlugin",
    "ExportPlugin",
    "PluginInfo",
    "PluginProblem",
    "PluginRegistry",
    "ReducerPlugin",
    "SupportsCliCommand",
    "registry",
    "validate_event_with_plugins",
]

#: Where the names are that are loaded when somebody asks for them.
_LAZY = {
    "EventTypePlugin": "provara.plugins.protocols",
    "ExportPlugin": "provara.plugins.protocols",
    "PluginInfo": "provara.plugins._shown",
    "PluginProblem": "provara.plugins._shown",
    "ReducerPlugin": "provara.plugins.protocols",
    "SupportsCliCommand": "provara.plugins.protocols",
}

#: The registry of the process.
registry = PluginRegistry()


def validate_event_with_plugins(event_type: str, payload: dict[str, Any]) -> tuple[bool, str]:
    """Judge the data of an event with the plugin that defines its type.

    The plugin's schema decides first, then its ``validate``.  A type that no plugin defines
    is not judged here: the core knows its own types.  A type whose plugin could not be registered
    keeps its name, and none of its data is good.

    Returns:
        ``(True, "")``, or ``False`` with the complete text of the refusal, or of what is wrong with
        the plugin.
    """
    plugin = registry.get_event_type(event_type)
    if plugin is None:
        refused = registry._why_refused(event_type)
        return refused is None, refused or ""
    from provara.plugins._validation import check_event

    problem = check_event(registry, plugin, payload)
    return not problem, problem


def __getattr__(name: str) -> object:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sys

    __import__(module)
    value: object = getattr(sys.modules[module], name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


if "PROVARA_HOST" not in os.environ:
    # The host process discovers on request instead, so that it can report what it finds.
    registry.discover_plugins()
