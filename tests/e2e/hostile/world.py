"""What an attack may know, and the list of attacks."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("event", "reducer", "export")


class Succeeded(Exception):
    """The attack got what it wanted."""


@dataclass
class World:
    """The targets, by path or number."""

    attack: str
    key: str
    vault: str
    home: str
    outside: str
    tcp: int
    udp: int
    unix: str
    abstract: str
    output: str = ""

    @staticmethod
    def load() -> World:
        return World(**json.loads(Path(__file__).with_name("choice.json").read_text()))

    @property
    def log(self) -> str:
        return f"{self.vault}/events/events.ndjson"

    @property
    def state(self) -> str:
        return os.environ["PROVARA_PLUGIN_STATE"]

    def in_state(self, name: str) -> str:
        """A path in the state directory where nothing is."""
        path = os.path.join(self.state, name)
        if os.path.lexists(path):
            os.unlink(path)
        return path


@dataclass(frozen=True)
class Attack:
    """One attack, for some kinds of plugin."""

    function: Callable[[World], Any]
    kinds: tuple[str, ...]
    #: Stopped by something else than the sandbox, so that `--sandbox=off` stops it too.
    always_stopped: bool
    #: Carried out while the module is imported.
    at_import: bool
    #: Works without the sandbox for root only.
    root_only: bool


ATTACKS: dict[str, Attack] = {}

Function = Callable[[World], Any]


def attack(
    *kinds: str, always_stopped: bool = False, at_import: bool = False, root_only: bool = False
) -> Callable[[Function], Function]:
    """Puts a function on the list; without kinds it applies to all."""

    def register(function: Function) -> Function:
        name = function.__name__
        assert name not in ATTACKS and function.__doc__
        ATTACKS[name] = Attack(function, kinds or KINDS, always_stopped, at_import, root_only)
        return function

    return register


#: System call numbers: x86_64 has its own, the others share a table.
_NUMBERS = {
    "openat": (257, 56),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "add_key": (248, 217),
    "io_uring_setup": (425, 425),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "bpf": (321, 280),
    "inotify_init1": (294, 26),
    "rt_sigqueueinfo": (129, 138),
    "tkill": (200, 130),
    "kcmp": (312, 272),
    "openat2": (437, 437),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}


def system_call(name: str, *arguments: Any) -> int:
    """Makes a system call without the C library's wrapper."""
    number = _NUMBERS[name][0 if platform.machine() == "x86_64" else 1]
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(library.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def copy_descriptor(world: World) -> int:
    """The copy of the log that a reducer was given: a file without a name, as long as the log."""
    wanted = os.stat(world.log)
    for fd in range(3, 256):
        try:
            there = os.fstat(fd)
        except OSError:
            continue
        if stat.S_ISREG(there.st_mode) and there.st_nlink == 0 and there.st_size == wanted.st_size:
            return fd
    raise AssertionError("no copy of the log is open")


def protocol_descriptor() -> int:
    """The socket to the core, found by trying every descriptor."""
    import socket

    for fd in range(3, 256):
        try:
            with socket.socket(fileno=os.dup(fd)) as found:
                if found.family == socket.AF_UNIX:
                    return fd
        except OSError:
            continue
    raise OSError("no socket is open")
