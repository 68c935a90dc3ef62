"""Watches, through the kernel's inotify, whether anything below given directories is opened."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

IN_OPEN = 0x20
IN_NONBLOCK = os.O_NONBLOCK


class Opened:
    """A context in which every opening of a watched file or directory is noted.

    It sees the opens of every process, whatever library it uses, and needs no privilege.
    """

    def __init__(self, directories: Iterable[Path]):
        self.directories = list(directories)
        self.seen: set[Path] = set()
        self._libc = ctypes.CDLL(None, use_errno=True)

    def __enter__(self) -> Opened:
        self._descriptor = self._libc.inotify_init1(IN_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._paths: dict[int, Path] = {}
        for directory in self.directories:
            watch = self._libc.inotify_add_watch(
                self._descriptor, os.fsencode(directory), ctypes.c_uint32(IN_OPEN)
            )
            if watch < 0:
                raise OSError(ctypes.get_errno(), f"inotify_add_watch {directory}")
            self._paths[watch] = directory
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while True:
                data = os.read(self._descriptor, 1 << 16)
                offset = 0
                while offset < len(data):
                    watch, _, _, length = struct.unpack_from("iIII", data, offset)
                    name = data[offset + 16 : offset + 16 + length].rstrip(b"\0")
                    if watch in self._paths:
                        self.seen.add(self._paths[watch] / os.fsdecode(name))
                    offset += 16 + length
        except BlockingIOError:
            pass
        finally:
            os.close(self._descriptor)
