"""Judging the data of a custom event: the schema first, then the plugin's own word."""

from __future__ import annotations

from provara.plugins import _messages
from provara.plugins._records import public_path
from provara.plugins._registry import compile_schema

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from provara.plugins._registry import PluginRegistry
    from provara.plugins.protocols import EventTypePlugin


def check_event(registry: PluginRegistry, plugin: EventTypePlugin, payload: object) -> str:
    """Judge ``payload`` as the data of an event of this plugin's type.

    The schema decides first, in the extension module: draft as its ``$schema`` says,
    format assertions on, nothing fetched for a ``$ref``.  Only data that it accepts reaches
    the plugin's ``validate``, as a fresh copy.

    Returns:
        The complete text of the refusal, or ``""`` if the data is accepted.
    """
    from provara import _native

    record = registry._record_of("event_type", plugin)
    if record is not None:
        name, path, schema = record.name, record.class_path, record.schema
    else:
        name, path = str(plugin.name), public_path(type(plugin))
        try:
            schema = compile_schema(plugin)[2]
        except ValueError as error:
            return _messages.bad_schema(
                name, name, str(error), type(plugin).__name__, "registered from Python"
            )
    try:
        data_json = _native.to_json(payload)
    except ValueError as error:
        return _messages.not_json(name, str(error))
    violations: str | None = schema.check(data_json)
    if violations is not None:
        return violations
    reason = run_validate(plugin, _native.parse_json(data_json, of_event=True))
    return "" if reason is None else _messages.refused(name, reason, path)


def run_validate(
    plugin: EventTypePlugin,
    data: Any,
    on_error: Callable[[Exception], None] | None = None,
) -> str | None:
    """Call the plugin's ``validate``; ``on_error`` sees the exception if it raises.

    Returns:
        Why it refuses, or ``None`` if it accepts.  ``SystemExit`` and
        ``KeyboardInterrupt`` are not caught here.
    """
    try:
        accepted = plugin.validate(data)
        if accepted:
            return None
    except Exception as error:
        if on_error is not None:
            on_error(error)
        return _messages.refusal(error)
    if accepted is None:
        return "validate() returned None: is a return missing?"
    if accepted is False:
        return "validate() returned False"
    return f"validate() returned a false value of type {type(accepted).__name__}"
