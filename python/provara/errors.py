"""The exceptions of :mod:`provara`, sorted by who must act.

Every exception that this package raises on purpose derives from
:class:`ProvaraError`.  The text of an exception is complete: what happened, to
what, and (where there is something to do) a line that starts with ``Fix:``.
"""

from __future__ import annotations

__all__ = [
    "BatchError",
    "InvalidEvidenceError",
    "PluginError",
    "ProvaraError",
    "RegistrationError",
    "UsageError",
    "ValidationError",
    "VaultError",
]


class ProvaraError(Exception):
    """Base class of every exception that Provara raises on purpose."""


class InvalidEvidenceError(ProvaraError, ValueError):
    """The evidence is wrong: a log or a vault does not hold what it must."""


class UsageError(ProvaraError, ValueError):
    """The input is wrong: a name, a value or a combination of options."""


class ValidationError(UsageError):
    """The data of a new event does not satisfy the schema or the plugin of its type."""


class BatchError(UsageError):
    """One of many events was refused.

    What was wrong with it is the ``__cause__``, where that is an exception of its own.

    Attributes:
        index: its place among the events, from 0.
        appended: how many events before it are in the log, durable and sealed.
    """

    def __init__(self, message: str, index: int, appended: int) -> None:
        super().__init__(message)
        self.index = index
        self.appended = appended


class RegistrationError(UsageError):
    """A plugin cannot be registered.

    Attributes:
        kind: ``"invalid"`` (members are missing), ``"name"`` (the name is malformed
            or reserved), ``"schema"`` (the schema is absent or is not one) or
            ``"collision"`` (the name is taken).
    """

    def __init__(self, message: str, kind: str = "invalid") -> None:
        super().__init__(message)
        self.kind = kind


class VaultError(ProvaraError, OSError):
    """It could not be done: a file is missing, a lock is held, a disk is read-only."""


class PluginError(ProvaraError):
    """A plugin failed: it raised, or returned what is not JSON.

    Attributes:
        plugin: the name of the plugin, or ``None`` where no single plugin is at fault.
    """

    def __init__(self, message: str, plugin: str | None = None) -> None:
        super().__init__(message)
        self.plugin = plugin
