"""The extension module: the Rust crates, for this package's own use.

Nothing here is public.  Errors are those of :mod:`provara.errors`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, final

from typing_extensions import Self

__all__ = [
    "BUILTIN_REDUCERS",
    "Batch",
    "EventReader",
    "Log",
    "Schema",
    "Staging",
    "__version__",
    "add_anchor",
    "append_event",
    "beliefs",
    "canonical_json",
    "check_proof",
    "check_type_name",
    "examine",
    "held_descriptors",
    "init_vault",
    "list_anchors",
    "make_checkpoint",
    "make_manifest",
    "open_vault",
    "parse_json",
    "read_tree_head",
    "resolve_event_type",
    "sign_tree_head",
    "snapshot",
    "to_json",
    "verification_page",
]

#: Tree heads, root keys, witnesses, how many of them, and certificates.
_HeldTo: TypeAlias = tuple[list[str], list[str], list[str], int | None, list[bytes]]

BUILTIN_REDUCERS: tuple[str, ...]
__version__: str

@final
class Batch:
    """Events that wait to be appended together."""

    def __new__(
        cls,
        path: str,
        keyfile: str | None = None,
        key_id: str | None = None,
        no_lock: bool = False,
        atomic: bool = False,
    ) -> Self: ...
    def __len__(self) -> int: ...
    def add(
        self,
        event_type: str,
        data: Mapping[str, Any],
        *,
        actor: str,
        namespace: str | None = None,
        confidence: float | None = None,
        blind: bool = False,
        idempotency_key: str | None = None,
    ) -> bool: ...
    def commit(
        self, go_on: bool = False
    ) -> tuple[list[dict[str, Any]], list[tuple[int, str]], Exception | None]: ...

@final
class EventReader(Iterator[dict[str, Any]]):
    """The events of a log as fresh dicts, read lazily, ``chunk`` bytes at a time, up to ``length`` bytes."""

    def __new__(cls, source: str | int, length: int | None = None, chunk: int = 262144) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> dict[str, Any]: ...

@final
class Log:
    """A vault's log at one moment: its whole lines, and what is derived from them."""

    def events(
        self,
        *,
        types: list[str] = ...,
        actors: list[str] = ...,
        after: str | None = None,
        before: str | None = None,
        conditions: list[str] = ...,
    ) -> EventReader: ...
    def beliefs(self) -> dict[str, Any]: ...
    def summary(self) -> dict[str, Any]: ...
    def reduce(self, reducer: str) -> dict[str, Any]: ...
    def export(self, format: str, output_path: str) -> None: ...
    def prove(
        self, head: str, *, events: list[str] = ..., lines: tuple[int, int] | None = None
    ) -> bytes: ...
    def prove_consistency(self, old: str, new: str) -> bytes: ...

@final
class Schema:
    """A compiled JSON Schema of one event type."""

    def __new__(
        cls, type_name: str, version: str, schema_json: str, schemas_json: str | None = None
    ) -> Self: ...
    def check(self, data_json: str) -> str | None: ...

@final
class Staging:
    """A place for an output that is not there yet; ``commit`` moves it to its target."""

    def __new__(cls, target: str, force: bool, vault: str) -> Self: ...
    @property
    def path(self) -> str: ...
    def commit(self, writer: str) -> str: ...
    def discard(self) -> None: ...

def append_event(
    path: str,
    event_type: str,
    data: Mapping[str, Any],
    *,
    actor: str,
    keyfile: str | None = None,
    key_id: str | None = None,
    namespace: str | None = None,
    confidence: float | None = None,
    blind: bool = False,
    idempotency_key: str | None = None,
    no_lock: bool = False,
) -> dict[str, Any]: ...
def beliefs(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]: ...
def canonical_json(value: object) -> bytes: ...
def check_type_name(name: str) -> str | None: ...
def check_proof(
    proof: bytes,
    *,
    head: str | None = None,
    root_keys: list[str] = ...,
    path: str | None = None,
) -> dict[str, Any]: ...
def examine(
    path: str, strict: bool = False, held_to: _HeldTo = ...
) -> tuple[dict[str, Any], Log | None]: ...
def add_anchor(
    path: str,
    given: bytes,
    *,
    heads: list[str] = ...,
    keyfile: str | None = None,
    key_id: str | None = None,
    no_lock: bool = False,
) -> dict[str, Any]: ...
def list_anchors(path: str) -> list[dict[str, Any]]: ...
def verification_page(path: str, strict: bool, held_to: _HeldTo) -> tuple[dict[str, Any], str]: ...
def read_tree_head(note: str) -> tuple[str, int, str]: ...
def sign_tree_head(
    path: str,
    *,
    keyfile: str | None = None,
    key_id: str | None = None,
    copy: str | None = None,
    continues: str | None = None,
    break_heads: bool = False,
) -> str: ...
def held_descriptors() -> list[tuple[int, int, int]]: ...
def init_vault(
    path: str,
    uid: str | None = None,
    actor: str | None = None,
    quorum: bool = False,
    private_keys: str | None = None,
) -> dict[str, Any]: ...
def make_checkpoint(
    path: str, keyfile: str | None = None, key_id: str | None = None, no_lock: bool = False
) -> dict[str, Any]: ...
def make_manifest(
    path: str, keyfile: str | None = None, new_seal: bool = False, no_lock: bool = False
) -> dict[str, Any]: ...
def open_vault(path: str) -> tuple[str, str, str]: ...
def parse_json(text: str | bytes, *, of_event: bool = False) -> Any: ...
def resolve_event_type(
    name: str, plugin_type: str | None = None
) -> tuple[Literal["core", "plugin", "unregistered", "own", "none"], str]: ...
def snapshot(path: str) -> Log: ...
def to_json(value: object) -> str: ...
