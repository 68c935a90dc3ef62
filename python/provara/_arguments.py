"""What callers give to a vault, made into what the extension module takes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from provara.errors import UsageError

__all__ = ["certificates", "lines", "texts", "timestamp"]


def texts(name: str, value: object) -> list[str]:
    """Return one text, or several, or none, as a list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    given = list(value) if isinstance(value, Iterable) else [value]
    taken = [text for text in given if isinstance(text, str)]
    if len(taken) < len(given):
        raise UsageError(f"'{name}' takes a text or several, and {value!r} is neither")
    return taken


def certificates(value: object) -> list[bytes]:
    """Return the bytes of one file of certificates, or of several, or of none, as a list."""
    given = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    taken = [item for item in given if isinstance(item, bytes)]
    if len(taken) < len(given):
        raise UsageError("'authorities' takes the bytes of certificates, in PEM or DER")
    return taken


def lines(value: object) -> tuple[int, int]:
    """Return the first and the last of a range of lines."""
    match value:
        case (int(first), int(last)) if 0 < first <= last < 1 << 63:
            return first, last
    raise UsageError(
        f"'lines' takes the first and the last line, counted from 1, and {value!r} is not that"
    )


def timestamp(name: str, value: str | datetime | None) -> str | None:
    """Return a time as RFC 3339 text in UTC."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, datetime):
        raise UsageError(
            f"'{name}' takes a date, an age such as 7d, or a datetime, and {value!r} is none of them"
        )
    if value.tzinfo is None:
        raise UsageError(
            f"'{name}' is a datetime without a time zone\n"
            "Fix: Give one with a time zone, for example datetime.now(timezone.utc)."
        )
    return value.astimezone(timezone.utc).isoformat(timespec="microseconds")
