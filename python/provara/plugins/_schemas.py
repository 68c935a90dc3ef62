"""The schemas that an event type has: its own, and the further ones that this one refers to."""

from __future__ import annotations

import os

from provara.plugins import _messages
from provara.plugins._records import is_defined

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from provara.plugins.protocols import EventTypePlugin

    #: The schema as JSON text, the further ones as one JSON object by URI, and the version.
    SchemaTexts = tuple[str, str | None, str]

_VERSION_LIMIT = 64

#: The longest schema, in characters of JSON, and the most that the further ones have together.
_SCHEMA_LIMIT = 4 << 20
_SCHEMAS_LIMIT = 16 << 20

#: The most files that a directory of schemas has.
_FILE_LIMIT = 2_000


def read_schema(plugin: EventTypePlugin) -> SchemaTexts:
    """Read the schema of an event type, as texts.

    Raises:
        ValueError: it cannot be read, or it is not JSON.
    """
    from provara import _native

    schema = _attribute(plugin, "schema")
    if not isinstance(schema, dict):
        raise ValueError(f"a schema is a dict (a JSON object), not {type(schema).__name__}")
    schema_json = _native.to_json(schema)
    if len(schema_json) > _SCHEMA_LIMIT:
        raise ValueError(f"it has {len(schema_json)} characters; {_SCHEMA_LIMIT} are allowed")
    version = _version_of(getattr(plugin, "version", None))
    if version is None:
        version = _version_of(schema.get("version")) or "1.0"
    return schema_json, _further(plugin), version


def _further(plugin: EventTypePlugin) -> str | None:
    """Return the attribute ``schemas`` as one JSON object by URI, or ``None``.

    It is a dict of schemas by URI, or the directory that has them as ``*.json``; anything else is
    the plugin's own.
    """
    from provara import _native

    schemas = _attribute(plugin, "schemas")
    if isinstance(schemas, (str, os.PathLike)):
        from pathlib import Path

        schemas = _directory(Path(schemas))
    if not isinstance(schemas, dict) or not schemas:
        return None
    text = _native.to_json(schemas)
    if len(text) > _SCHEMAS_LIMIT:
        raise ValueError(f"'schemas' has {len(text)} characters; {_SCHEMAS_LIMIT} are allowed")
    return text


def unread(plugin: EventTypePlugin) -> str | None:
    """Return what ``schemas`` is, where it looks meant as further schemas and is read as none."""
    schemas = getattr(plugin, "schemas", None)
    if isinstance(schemas, (list, tuple, set, frozenset)):
        return type(schemas).__name__
    return None


def _directory(directory: Path) -> dict[str, Any]:
    """Read the schemas of a directory, by their path in it, which is their relative URI."""
    from provara import _native

    if not directory.is_absolute():
        raise ValueError(f"'schemas' is '{directory}', which is not an absolute path")
    if not directory.is_dir():
        raise ValueError(f"'schemas' is '{directory}', which is no directory")
    paths = sorted(directory.rglob("*.json"))
    if len(paths) > _FILE_LIMIT:
        raise ValueError(f"'schemas' has {len(paths)} files; {_FILE_LIMIT} are allowed")
    found: dict[str, Any] = {}
    for path in paths:
        name = path.relative_to(directory).as_posix()
        try:
            found[name] = _native.parse_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"'schemas' has '{name}', which cannot be read: {error}") from None
    return found


def _attribute(plugin: object, name: str) -> object:
    """Return an attribute, which a property may make when it is first asked for.

    ``None`` where there is none.  An ``AttributeError`` that the property raises is a fault in it.
    """
    try:
        return getattr(plugin, name)
    except Exception as error:
        if isinstance(error, AttributeError) and not is_defined(plugin, name):
            return None
        text = _messages.describe_exception(error)
        raise ValueError(f"'{name}' cannot be read: {text}") from None


def _version_of(value: object) -> str | None:
    """Return a version that can stand in a message, or ``None``."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    text = str(value)
    return text if 0 < len(text) <= _VERSION_LIMIT and text.isprintable() else None
