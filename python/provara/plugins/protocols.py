"""What a plugin provides: one protocol for each kind of extension.

A plugin is an ordinary object with the members of one of these protocols.  It may
derive from the protocol, which lets type checkers and Python itself point out a
method that is missing, but it does not have to.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

__all__ = [
    "EventTypePlugin",
    "ExportPlugin",
    "ReducerPlugin",
    "SupportsCliCommand",
]


@runtime_checkable
class EventTypePlugin(Protocol):
    """A custom event type.

    A plugin may also have ``cli_command`` (see :class:`SupportsCliCommand`), a ``version``,
    which is shown as the version of its schema, and ``schemas``, which are those that
    its schema refers to: a dict of schemas by URI, or the path of the directory in its package
    that has them as ``*.json``.
    """

    #: The event type: reverse-domain, three labels or more, such as ``com.acme.audit.login``.
    name: str
    #: The JSON Schema of the event's data, Draft 2020-12 unless its ``$schema`` says otherwise.
    schema: dict[str, Any]

    @abstractmethod
    def validate(self, data: dict[str, Any]) -> bool:
        """Judge the data of an event that the schema already accepts.

        Args:
            data: a fresh dict; changing it changes nothing.

        Returns:
            ``True`` to accept the event.  A false result or an exception refuses it;
            the text of the exception is shown to the user.
        """


@runtime_checkable
class SupportsCliCommand(Protocol):
    """The optional part of an event type: a short name for the command line."""

    @abstractmethod
    def cli_command(self) -> str | None:
        """Return an alias for ``provara append --type``, or ``None`` for no alias."""


@runtime_checkable
class ReducerPlugin(Protocol):
    """A pure, deterministic function from the events of a log to a JSON value."""

    #: How the reducer is called: ``provara reduce --plugin NAME``.
    name: str

    @abstractmethod
    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        """Fold the events, in the order of the log, into a JSON value.

        Args:
            events: the events, read lazily; each is a fresh dict.  The iterator can
                be used once.

        Returns:
            What is JSON: dicts with string keys, lists, strings, finite numbers,
            booleans and ``None``.
        """


@runtime_checkable
class ExportPlugin(Protocol):
    """A format for ``provara export``."""

    #: How the format is called: ``provara export --format NAME``.
    name: str

    @abstractmethod
    def export(self, vault_path: str, output_path: str) -> None:
        """Write the vault in this format.

        Args:
            vault_path: the directory of the vault, which must be left as it is.
            output_path: the file (or directory) to create.
        """
