"""What a plugin tried when the sandbox stopped it, in words.

The sandbox of the plugin host is the kernel's; all that Python sees of it is a
``PermissionError``.  An audit hook (PEP 578) remembers the latest calls that reach out of
the process, and from where, so that the message can say ``connect(('10.0.0.1', 80))`` and does not
name an earlier call that was allowed.  The hook decides nothing: a plugin that gets round it
gets a poorer message, not a right.
"""

from __future__ import annotations

import errno
import sys

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from types import CodeType

#: Error numbers with which the kernel refuses.
_REFUSALS = frozenset({errno.EPERM, errno.EACCES, errno.EXDEV, errno.ENOSYS})

#: Error numbers that tell of a limit, and what was tried.
_LIMITS = {
    errno.ENOMEM: "to use more memory than it may",
    errno.EMFILE: "to open more files than it may",
    errno.EFBIG: "to write a larger file than it may",
}

_WATCHED = ("open", "os.", "socket.", "subprocess.", "shutil.", "fcntl.", "resource.", "sqlite3.")

#: Events that only prepare another one.
_IGNORED = frozenset({"os.putenv", "os.unsetenv", "os.fwalk", "os.walk", "socket.gethostname"})

_MAX_SHOWN = 160


#: How many of the latest calls are remembered at least; twice as many at most.
_REMEMBERED = 64


class _Event:
    """A call that reached out of the process, and the line that made it."""

    __slots__ = ("arguments", "code", "line", "module", "name")

    def __init__(
        self, name: str, arguments: tuple[str, ...], code: CodeType, line: int, module: str
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.code = code
        self.line = line
        self.module = module


_recent: list[_Event] = []
_watching = False


def watch() -> None:
    """Begin to remember; a hook cannot be taken away again."""
    global _watching
    if not _watching:
        _watching = True
        sys.addaudithook(_remember)


def _remember(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith(_WATCHED) and event not in _IGNORED:
        caller = sys._getframe(1)
        module = str(caller.f_globals.get("__name__"))
        shown = tuple(map(_show, arguments))
        _recent.append(_Event(event, shown, caller.f_code, caller.f_lineno, module))
        if len(_recent) >= 2 * _REMEMBERED:
            del _recent[:_REMEMBERED]


def _show(value: object) -> str:
    """Return a value as it would stand in source, or nothing for objects of other kinds."""
    if isinstance(value, (str, bytes)):
        return repr(value[:_MAX_SHOWN])
    if value is None or isinstance(value, (bool, int)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_show(item) for item in value[:8])})"
    return ""


def forget() -> None:
    """Forget what was remembered: another plugin comes."""
    _recent.clear()


def tried(error: BaseException) -> str | None:
    """Return what the system refused, in words that follow "it tried", if it refused anything."""
    recent = list(_recent)  # looking into the error may import, and so open, files
    refusal = _refusal(error)
    if refusal is None or isinstance(refusal, str):
        return refusal
    made = _made_here(refusal, recent)
    written = _written_call(refusal)
    if refusal.filename is not None:
        shown = _show(refusal.filename)
        made = [event for event in made if shown in event.arguments]
        return _call(made[-1]) if made else written or f"to reach {shown}"
    # An error of `open` names the file, so it was another call.
    made = [event for event in made if event.name != "open"]
    if made:
        last = made[-1]
        if written is None or not written.startswith("os.") or written.startswith(f"{last.name}("):
            return _call(last)
    return written or f"something that the system refused ({refusal})"


def _made_here(error: BaseException, events: list[_Event]) -> list[_Event]:
    """Return the events that belong to the call which raised an error: those of the line that raised
    it, and those that the standard library reports by itself before it makes that call.
    """
    trace = error.__traceback__
    codes: list[CodeType] = []
    line = 0
    while trace is not None:
        codes.append(trace.tb_frame.f_code)
        line = trace.tb_lineno
        trace = trace.tb_next
    return [
        event
        for event in events
        if codes
        and (
            (event.code is codes[-1] and event.line == line)
            or (event.code in codes and event.name.startswith(f"{event.module}."))
        )
    ]


def _written_call(error: BaseException) -> str | None:
    """Return the call that raised an error, as it stands in the source: some calls, such as
    ``os.mkfifo``, raise no audit event.
    """
    import itertools
    import linecache
    import re

    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return None
    code, number = trace.tb_frame.f_code, trace.tb_lineno
    line = linecache.getline(code.co_filename, number).encode()
    start: int | None = None
    end: int | None = None
    if sys.version_info >= (3, 11):
        places = itertools.islice(code.co_positions(), trace.tb_lasti // 2, None)
        _, last, start, end = next(places, (None, None, None, None))
        end = end if last == number else None
    written = line[start:end].decode("utf-8", "replace").strip()
    found = None if written.startswith("raise ") else re.search(r"[A-Za-z_][\w.]*\(", written)
    return None if found is None else written[found.start() :][:_MAX_SHOWN]


def _refusal(error: BaseException) -> OSError | str | None:
    """Find a refusal among an exception and those that led to it; a limit is words already."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return None
        if isinstance(seen, MemoryError):
            return _LIMITS[errno.ENOMEM]
        if isinstance(seen, RuntimeError) and "can't start new thread" in str(seen):
            return "to start more threads than it may"
        if isinstance(seen, OSError):
            import socket

            if seen.errno in _LIMITS:
                return _LIMITS[seen.errno]
            if seen.errno in _REFUSALS or isinstance(seen, socket.gaierror):
                return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _call(event: _Event) -> str:
    """Write an audit event as the call that caused it."""
    arguments = event.arguments
    names = {"socket.__new__": "socket.socket", "os.posix_spawn": "posix_spawn"}
    name = names.get(event.name, event.name)
    if event.name == "open":
        # Path, mode, flags; `os.open` has no mode.
        path, mode = arguments[0], arguments[1]
        return f"open({path})" if mode in ("None", "'r'") else f"open({path}, {mode})"
    if event.name == "subprocess.Popen":
        arguments = arguments[1:2]
    return f"{name}({', '.join(filter(None, arguments))})"
