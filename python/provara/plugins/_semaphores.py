"""Semaphores for a process that has no children.

``multiprocessing`` makes a POSIX semaphore for each of its locks, also for those of a
``ThreadPool``, which uses them among threads alone.  Such a semaphore is a file in ``/dev/shm``,
where those of all other programs lie, so the sandbox of the plugin host refuses it.  Nor is it needed:
the sandbox starts no process that one could be shared with.  Where the system refuses one, a
semaphore of this process takes its place, with the members that ``multiprocessing.synchronize``
uses.  Where the system gives one, as without a sandbox, nothing changes.
"""

from __future__ import annotations

import threading
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, TracebackType
from typing import Any

#: The module in C that makes semaphores.
MODULE = "_multiprocessing"

#: The kind that counts how often its owner took it (``RECURSIVE_MUTEX`` of ``synchronize``).
_RECURSIVE = 0


class LocalSemaphore:
    """A semaphore as ``_multiprocessing.SemLock`` is one, for the threads of this process."""

    #: No file has it, so nothing is to be unlinked at the end.
    name = None
    handle = 0

    def __init__(self, kind: int, value: int, maxvalue: int) -> None:
        self.kind = kind
        self.maxvalue = maxvalue
        self._value = value
        self._changed = threading.Condition(threading.Lock())
        self._taken = threading.local()

    def _mine(self) -> int:
        return getattr(self._taken, "count", 0)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it; wait for it if ``block``, but no longer than ``timeout`` seconds."""
        with self._changed:
            if self.kind == _RECURSIVE and self._mine() > 0:
                self._taken.count += 1
                return True
            limit = (None if timeout is None else max(timeout, 0.0)) if block else 0.0
            if not self._changed.wait_for(lambda: self._value > 0, limit):
                return False
            self._value -= 1
        self._taken.count = self._mine() + 1
        return True

    def release(self) -> None:
        """Give it back.

        Raises:
            AssertionError: it is recursive and another thread has it.
            ValueError: nobody has it.
        """
        with self._changed:
            if self.kind == _RECURSIVE:
                if self._mine() == 0:
                    raise AssertionError("attempt to release recursive lock not owned by thread")
                if self._mine() > 1:
                    self._taken.count -= 1
                    return
            elif self._value >= self.maxvalue:
                raise ValueError("semaphore or lock released too many times")
            self._value += 1
            self._changed.notify()
        self._taken.count = self._mine() - 1

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _count(self) -> int:
        return self._mine()

    def _is_mine(self) -> bool:
        return self._mine() > 0

    def _get_value(self) -> int:
        return self._value

    def _is_zero(self) -> bool:
        return self._value == 0

    def _after_fork(self) -> None:
        """Nothing forks."""


def _with_fallback(real: Any) -> Any:
    """Return ``SemLock`` so that it falls back on a semaphore of this process."""

    class SemLock:
        SEM_VALUE_MAX = real.SEM_VALUE_MAX
        _rebuild = real._rebuild

        def __new__(cls, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> Any:
            try:
                return real(kind, value, maxvalue, name, unlink)
            except PermissionError:
                return LocalSemaphore(kind, value, maxvalue)

    return SemLock


class _Fallback(Loader):
    """Loads the module, and gives it the fallback."""

    def __init__(self, real: Loader) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._real.exec_module(module)
        there: Any = module
        there.SemLock = _with_fallback(there.SemLock)


def spec() -> ModuleSpec | None:
    """Find the module that makes semaphores, with the fallback."""
    found = find_spec(MODULE)
    if found is not None and found.loader is not None:
        found.loader = _Fallback(found.loader)
    return found
