"""The plugin host: ``python -c "import provara.plugins._host as host; host.main()" --protocol-fd N``.

(``python -m`` does the same, and imports :mod:`runpy` and more for it.)  The ``provara`` executable
starts this process, already confined, and asks it one question
at a time over the inherited descriptor ``N``.  A frame is a length (four bytes, big-endian)
and that many bytes of UTF-8 JSON, at most 64 MiB; each request gets exactly one reply with
the same ``id``.  Before the reply to ``discover``, frames with ``loading`` say whose code runs next,
and each is answered before that code runs.  The end of the stream ends the host.

Whatever a plugin raises becomes a reply.  What a plugin prints goes to stdout and stderr as
usual, which are not part of the protocol.  The executable trusts nothing of what is said here.
"""

from __future__ import annotations

import os
import sys

from provara import __version__, _native
from provara.plugins import _absent, _attempts, _discovery, registry
from provara.plugins._records import KINDS

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from typing import Any

    from provara.plugins._records import Record
    from provara.plugins._schemas import SchemaTexts
    from provara.plugins._shown import PluginInfo

    Request = dict[str, Any]
    Reply = dict[str, Any]

PROTOCOL = 2
MAX_FRAME = 64 << 20

#: How much of a traceback or message is worth sending.
MAX_TEXT = 16 << 10

#: The most characters of what a plugin says of itself.
MAX_DESCRIPTION = 300


class _HostError(Exception):
    """A question that has no answer; becomes the ``error`` of the reply."""

    def __init__(self, kind: str, message: str, plugin: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.plugin = plugin


# Frames ----------------------------------------------------------------------------------


def _read_exactly(fd: int, size: int) -> bytes | None:
    """Read ``size`` bytes, or return ``None`` at the end of the stream."""
    data = bytearray()
    while len(data) < size:
        chunk = os.read(fd, min(size - len(data), 1 << 20))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _read_frame(fd: int) -> Request | None:
    header = _read_exactly(fd, 4)
    if header is None:
        return None
    size = int.from_bytes(header, "big")
    if size > MAX_FRAME:
        raise ValueError(f"a frame of {size} bytes is larger than the protocol allows")
    body = _read_exactly(fd, size)
    if body is None:
        return None
    request = _native.parse_json(body, of_event=True)
    if not isinstance(request, dict):
        raise ValueError("a request is a JSON object")
    return request


def _write_frame(fd: int, reply: Reply, plugin: str | None = None) -> None:
    body = _native.to_json(reply).encode("utf-8", "replace")
    if len(body) > MAX_FRAME:
        # Nothing but what a plugin returned is as large.
        message = f"it returned {len(body)} bytes of JSON; {MAX_FRAME} are allowed"
        too_large = _refusal(reply["id"], _HostError("raised", message, plugin))
        body = _native.to_json(too_large).encode()
    view = memoryview(len(body).to_bytes(4, "big") + body)
    while view:
        view = view[os.write(fd, view) :]


# What libraries expect -------------------------------------------------------------------


class _Semaphores:
    """Finds the module of semaphores as :mod:`provara.plugins._semaphores` changes it, once
    somebody imports it; before that it costs nothing.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "_multiprocessing":
            return None
        sys.meta_path.remove(_Semaphores)
        from provara.plugins import _semaphores

        return _semaphores.spec()


# Replies ---------------------------------------------------------------------------------


def _text(value: object) -> str:
    """Return a string that UTF-8 can carry, cut to a sensible length, whatever ``value`` is."""
    try:
        text = str(value)
    except BaseException as error:  # a hostile __str__ may raise anything
        text = f"(the text cannot be had: {type(error).__name__})"
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT // 2] + "\n...\n" + text[-MAX_TEXT // 2 :]
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _refusal(request_id: object, error: BaseException, plugin: str | None = None) -> Reply:
    """Build the reply for an exception."""
    kind = "raised"
    if isinstance(error, _HostError):
        kind, plugin = error.kind, error.plugin
    elif not isinstance(error, Exception):
        kind = "exit"
    elif _is_evidence_error(error):
        kind = "internal"
    tried = _tried(error)  # before the traceback, which opens source files
    return {
        "id": request_id,
        "ok": False,
        "error": {
            "kind": kind,
            "plugin": plugin,
            "exception": None if isinstance(error, _HostError) else _text(type(error).__name__),
            "message": _text(error),
            "traceback": "" if isinstance(error, _HostError) else _traceback(error),
            "tried": tried,
        },
    }


def _tried(error: BaseException) -> str | None:
    """Return the call that the sandbox ended, if it did."""
    try:
        what = _attempts.tried(error)
        return None if what is None else _text(what)
    except BaseException:  # a hostile exception may raise in any attribute
        return None


def _is_evidence_error(error: BaseException) -> bool:
    """Tell whether it is the log that cannot be read, which no plugin is to blame for."""
    from provara.errors import InvalidEvidenceError

    return isinstance(error, InvalidEvidenceError)


def _traceback(error: BaseException) -> str:
    """Return the traceback from the first frame that is not the host's own."""
    try:
        import traceback

        frame = error.__traceback__
        while frame is not None and frame.tb_frame.f_code.co_filename == __file__:
            frame = frame.tb_next
        return _text("".join(traceback.format_exception(type(error), error, frame)))
    except BaseException as failure:  # a hostile exception may raise in repr
        return f"(no traceback: {type(failure).__name__})"


# Operations ------------------------------------------------------------------------------


def _hello(_: Request) -> Reply:
    return {
        "protocol": PROTOCOL,
        "version": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "executable": sys.executable or "",
    }


def _discover(request: Request) -> Reply:
    _discovery.left = frozenset(request.get("left", []))
    _discovery.only = request.get("only")
    _discovery.items = tuple(request.get("items", []))
    registry.discover_plugins()
    infos = registry.get_plugin_info()
    texts = _schemas() if request.get("schemas") else {}
    _discovery.announce(None)
    records: dict[tuple[str, str], Record] = {
        (kind, record.name): record for kind in KINDS for record in registry._sorted(kind)
    }
    plugins = []
    problems: list[Reply] = []
    for info in infos:
        record = records[info["type"], info["name"]]
        schema_json, schemas_json, schema_version, unread_schemas = None, None, None, None
        if record.kind == "event_type":
            found = texts.get(record.name)
            if isinstance(found, str):
                problems.append(
                    {
                        "kind": "schema",
                        "plugin": _text(record.name),
                        "distribution": _text_or_none(record.origin.distribution),
                        "text": found,
                        "origin": _origin(info, record),
                    }
                )
                continue
            if found is not None:
                (schema_json, schemas_json, schema_version), unread_schemas = found
        plugins.append(
            {
                "kind": info["type"],
                "name": _text(info["name"]),
                **_origin(info, record),
                "schema_json": schema_json,
                "schemas_json": schemas_json,
                "schema_version": _text_or_none(schema_version),
                "unread_schemas": _text_or_none(unread_schemas),
                "cli_command": _text_or_none(info["cli_command"]),
                "description": _description(record.plugin),
            }
        )
    problems += [
        {
            "kind": problem.kind,
            "plugin": _text(problem.plugin),
            "distribution": _text_or_none(getattr(problem, "distribution", None)),
            "text": _text(problem.text),
        }
        for problem in registry.problems
    ]
    return {"plugins": plugins, "problems": problems, "files": _looked_at(request)}


def _origin(info: PluginInfo, record: Record) -> Reply:
    """Return where a plugin comes from."""
    origin = record.origin
    return {
        # What a package says of itself may be no text that UTF-8 can carry.
        "class": _text(info["plugin_class"]),
        "distribution": _text_or_none(info["distribution"]),
        "version": _text_or_none(info["version"]),
        "source": info["source"],
        "entry_point": _text_or_none(info["entry_point"]),
        # Of ``PROVARA_PLUGINS``, if that is how it was found.
        "item": _text_or_none(origin.label) if origin.source == "environment" else None,
    }


def _looked_at(request: Request) -> list[str] | None:
    """Return the files that the one distribution depends on which was to be loaded."""
    if request.get("only") is None:
        return None
    from provara.plugins import _looked

    return [_text(path) for path in _looked.files()]


def _description(plugin: object) -> str | None:
    """Return what a plugin says of itself: its ``description``, else its own docstring's start."""
    try:
        said = getattr(plugin, "description", None)
        if not isinstance(said, str) or not said.strip():
            # A docstring that is inherited speaks of another class.
            kind = plugin if isinstance(plugin, type) else type(plugin)
            said = vars(kind).get("__doc__")
        if not isinstance(said, str):
            return None
        paragraph = said.strip().split("\n\n", 1)[0]
        return _text(" ".join(paragraph.split())[:MAX_DESCRIPTION]) or None
    except Exception:  # a plugin that cannot say what it is works all the same
        return None


def _schemas() -> dict[str, tuple[SchemaTexts, str | None] | str]:
    """Read the schema of every event type, and what its ``schemas`` is where that is not read; a text
    in their place says why the schema cannot be used.
    """
    from provara.plugins import _messages
    from provara.plugins._schemas import read_schema, unread

    texts: dict[str, tuple[SchemaTexts, str | None] | str] = {}
    for record in registry._sorted("event_type"):
        _discovery.announce(record.loaded)
        try:
            texts[record.name] = read_schema(record.plugin), unread(record.plugin)
        except BaseException as error:  # what a plugin's property raises costs it alone
            texts[record.name] = _text(
                _messages.bad_schema(
                    record.origin.label or record.name,
                    record.name,
                    str(error)
                    if type(error) is ValueError
                    else _messages.describe_exception(error),
                    type(record.plugin).__name__,
                    record.origin.describe(),
                )
            )
    return texts


def _schema(request: Request) -> Reply:
    from provara.plugins._schemas import read_schema

    name = request["type"]
    plugin = registry.get_event_type(name)
    if plugin is None:
        raise _HostError("not_found", f"no plugin defines the event type '{name}'", name)
    try:
        schema_json, schemas_json, version = read_schema(plugin)
    except ValueError as error:
        return {"reason": _text(error)}
    return {
        "schema_json": schema_json,
        "schemas_json": schemas_json,
        "schema_version": _text(version),
    }


def _validate(request: Request) -> Reply:
    from provara.plugins._validation import run_validate

    name = request["type"]
    plugin = registry.get_event_type(name)
    if plugin is None:
        raise _HostError("not_found", f"no plugin defines the event type '{name}'", name)
    tried: list[str | None] = [None]
    reason = run_validate(plugin, request["data"], lambda e: tried.append(_tried(e)))
    if reason is None:
        return {"valid": True}
    return {"valid": False, "reason": _text(reason), "tried": tried[-1]}


def _reduce(request: Request) -> Reply:
    name = request["name"]
    reducer = registry.get_reducer(name)
    if reducer is None:
        raise _HostError("not_found", f"no plugin provides the reducer '{name}'", name)
    log_fd = request["log_fd"]
    os.set_inheritable(log_fd, False)
    events = _native.EventReader(log_fd, request["log_length"], request["log_chunk"])
    result = reducer.reduce(events)
    return {"output_json": json_result(result, name)}


def json_result(result: object, name: str) -> str:
    """Return what a reducer returned as JSON text."""
    if result is None:
        raise _HostError("not_json", "reduce() returned None: is a return missing?", name)
    try:
        return _native.to_json(result)
    except ValueError as error:
        raise _HostError("not_json", f"reduce() returned what is not JSON: {error}", name) from None


def _export(request: Request) -> Reply:
    name = request["name"]
    exporter = registry.get_export(name)
    if exporter is None:
        raise _HostError("not_found", f"no plugin provides the export format '{name}'", name)
    exporter.export(request["vault_path"], request["output_path"])
    return {}


_OPERATIONS: dict[str, Callable[[Request], Reply]] = {
    "hello": _hello,
    "discover": _discover,
    "schema": _schema,
    "validate": _validate,
    "reduce": _reduce,
    "export": _export,
}


def _plugin_of(request: Request) -> str | None:
    return request.get("name", request.get("type"))


def _answer(request: Request) -> Reply:
    """Answer one request; raises nothing."""
    request_id = request.get("id")
    try:
        operation = _OPERATIONS.get(request.get("op", ""))
        if operation is None:
            raise _HostError("internal", f"unknown operation {request.get('op')!r}")
        if operation not in (_hello, _discover):
            registry.discover_plugins()
            _attempts.forget()
            _attempts.watch()
        return {"id": request_id, "ok": True, "result": operation(request)}
    except BaseException as error:  # whatever a plugin raises is an answer
        return _refusal(request_id, error, _plugin_of(request))
    finally:
        _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # a plugin may have closed or replaced the stream
            continue


def serve(fd: int) -> None:
    """Answer requests until the stream ends.

    Raises:
        ValueError: what arrives is not a frame of the protocol.
    """
    while True:
        request = _read_frame(fd)
        if request is None:
            return
        if request.get("op") == "discover":
            # One that never returns can then be named, and left out the next time.
            _discovery.on_load = _namer(fd, request)
        reply = _answer(request)
        _discovery.on_load = None
        _write_frame(fd, reply, _plugin_of(request))


def _namer(fd: int, request: Request) -> Callable[[str | None, str | None], bool]:
    return lambda plugin, module: _name(fd, request, plugin, module)


def _name(fd: int, request: Request, plugin: str | None, module: str | None) -> bool:
    """Say whose code runs next, unless the executable goes on without it."""
    loading = None
    if plugin is not None:
        loading = {"plugin": _text(plugin), "module": _text_or_none(module)}
        for skipped in request.get("skip", []):
            if loading["plugin"] == skipped["plugin"]:
                return False
            if module is not None and loading["module"] == skipped["module"]:
                return False
        if request.get("only") is not None:
            from provara.plugins import _looked

            _looked.watch()
    _flush()  # what was printed so far is not its doing
    _write_frame(fd, {"id": request.get("id"), "loading": loading})
    if _read_frame(fd) is None:
        os._exit(0)  # the executable has gone
    return True


def _take_descriptor(arguments: list[str]) -> int:
    """Return the protocol's descriptor, moved out of a plugin's easy reach.

    It is duplicated onto a descriptor that no child process inherits, and its number is
    taken out of ``sys.argv``.
    """
    if len(arguments) != 2 or arguments[0] != "--protocol-fd" or not arguments[1].isdigit():
        raise SystemExit("usage: python -m provara.plugins._host --protocol-fd N")
    inherited = int(arguments[1])
    fd = os.dup(inherited)  # not inheritable, as PEP 446 says
    os.close(inherited)
    sys.argv[1:] = []
    return fd


def main() -> None:
    """Run the host; never returns to a caller who has anything else to do."""
    first = sys.path[0] if sys.path else None
    if not getattr(sys.flags, "safe_path", False) and first in ("", os.getcwd()):
        # Before Python 3.11, `-m` and `-c` put the current directory first.
        del sys.path[0]
    registry.log_problems = False
    sys.meta_path.insert(0, _Semaphores)
    _absent.watch()
    # The executable asks for those that it needs, and compiles them.
    registry.compiles_schemas = False
    status = 0
    try:
        serve(_take_descriptor(sys.argv[1:]))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"provara plugin host: {_text(error)}\n")
        status = 1
    _flush()
    # Threads, atexit functions and destructors of plugins do not get to delay the end.
    os._exit(status)


if __name__ == "__main__":
    main()
