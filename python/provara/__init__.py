"""Provara: an append-only log of signed events that anyone can verify.

The package is small at import: no plugin is looked for, and the extension module
is loaded, only when something that needs it is first used.

* :class:`Vault` creates, appends to, verifies, reduces and exports a vault.
* :func:`beliefs` is the built-in reducer over any iterable of event dicts.
* :mod:`provara.plugins` holds the plugin protocols and the registry.
* :mod:`provara.sync_v0` reads event logs.
* :mod:`provara.proofs` holds tree heads, and checks proofs without a vault.
* :mod:`provara.anchors` holds what others saw of a vault.
* :mod:`provara.errors` holds the exceptions.

Importing :mod:`provara.plugins` runs the code of installed plugins *in this
process and with its rights*.  The ``provara`` executable runs them in a separate,
confined process instead.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from provara.report import Finding, Report
    from provara.vault import AppendReceipt, Vault

__all__ = [
    "AppendReceipt",
    "Finding",
    "Report",
    "Vault",
    "__version__",
    "beliefs",
]

__version__ = "1.1.0"

#: Where the names that are loaded on first use live.
_LAZY = {
    "AppendReceipt": "provara.vault",
    "Finding": "provara.report",
    "Report": "provara.report",
    "Vault": "provara.vault",
}


def beliefs(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Run the built-in belief reducer over events.

    The events may be signed or not: only ``type``, ``event_id``, ``actor``,
    ``namespace`` and ``payload`` are looked at.  The iterable is consumed one event
    at a time, and its dicts are left as they are.

    Returns:
        The belief state: the maps ``canonical``, ``local``, ``contested`` and
        ``archived``, and ``metadata`` with the ``state_hash``.

    Raises:
        provara.errors.UsageError: an event is not a JSON object.
    """
    from provara import _native

    return _native.beliefs(events)


def __getattr__(name: str) -> object:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
