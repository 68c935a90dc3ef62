"""Attacks on files: keys and secrets read, evidence and programs written."""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import stat
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

from world import World, attack, copy_descriptor, system_call


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def write(path: str, mode: str = "w") -> str:
    with open(path, mode) as file:
        file.write("x")
    return path


# ------------------------------------------------------------------------- reading


@attack()
def read_the_key(world: World) -> Any:
    """By its path."""
    return read(world.key)


@attack("event", "export")
def read_the_key_through_a_symbolic_link(world: World) -> Any:
    """By a link in the plugin's own directory."""
    link = world.in_state("link")
    os.symlink(world.key, link)
    return read(link)


@attack("event", "export")
def read_the_key_through_a_hard_link(world: World) -> Any:
    """By a second name in the plugin's own directory."""
    link = world.in_state("name")
    try:
        os.link(world.key, link)
        return read(link)
    finally:
        if os.path.lexists(link):
            os.unlink(link)


@attack()
def read_the_key_through_proc(world: World) -> Any:
    """By the root directory that /proc shows."""
    return read(f"/proc/self/root{world.key}")


@attack()
def read_the_key_by_a_relative_path(world: World) -> Any:
    """From the directory that it lies in."""
    os.chdir(os.path.dirname(world.key))
    return read(os.path.basename(world.key))


@attack()
def read_the_key_by_a_system_call(world: World) -> Any:
    """Without Python's and the C library's open."""
    fd = system_call("openat", -100, world.key.encode(), os.O_RDONLY)
    return os.read(fd, 4096)


@attack()
def read_the_key_by_a_newer_system_call(world: World) -> Any:
    """With openat2."""
    fd = system_call("openat2", -100, world.key.encode(), bytes(24), 24)
    return os.read(fd, 4096)


@attack(root_only=True)
def read_the_key_by_its_handle(world: World) -> Any:
    """Without a path, which is what the sandbox goes by."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 120, 0) + bytes(120), 128)
    mount = ctypes.c_int()
    key = world.key.encode()
    system_call("name_to_handle_at", -100, key, handle, ctypes.byref(mount), 0)
    directory = os.open(world.outside, os.O_RDONLY | os.O_DIRECTORY)
    fd = system_call("open_by_handle_at", directory, handle, os.O_RDONLY)
    return os.read(fd, 4096)


@attack()
def read_the_key_in_a_thread(world: World) -> Any:
    """In a thread, which must be as confined as the first."""
    got: list[Any] = []

    def run() -> None:
        try:
            got.append(read(world.key))
        except OSError as error:
            got.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(got[0], OSError):
        raise got[0]
    return got[0]


@attack()
def map_the_key(world: World) -> Any:
    """Through a mapping made by the C library."""
    library = ctypes.CDLL(None, use_errno=True)
    fd = library.open(world.key.encode(), os.O_RDONLY)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)[:]


@attack()
def read_a_keyfile_among_the_modules(_: World) -> Any:
    """One that no option names, in a directory that Python reads."""
    return read(os.path.join(os.path.dirname(__file__), "data", "spare"))


@attack()
def read_the_key_of_a_vault_among_the_modules(_: World) -> Any:
    """One that the command is not about."""
    vault = os.path.join(os.path.dirname(__file__), "data", "vault")
    return read(os.path.join(vault, "identity", "private_keys.json"))


@attack()
def read_the_log_of_a_vault_among_the_modules(_: World) -> Any:
    """Also an export sees its own vault only."""
    vault = os.path.join(os.path.dirname(__file__), "data", "vault")
    return read(os.path.join(vault, "events", "events.ndjson"))


@attack()
def read_ssh_keys(world: World) -> Any:
    """In the home directory."""
    return read(f"{world.home}/.ssh/id_ed25519")


@attack()
def read_the_accounts(_: World) -> Any:
    """Of the machine."""
    return read("/etc/passwd")


@attack("event", "reducer")
def read_the_log(world: World) -> Any:
    """By its path, which only an export may."""
    return read(world.log)


@attack("event", "reducer")
def list_the_vault(world: World) -> Any:
    """Which only an export may."""
    return os.listdir(world.vault)


@attack(always_stopped=True)
def read_a_descriptor_left_open(world: World) -> Any:
    """One that the shell gave to the command."""
    for fd in range(3, 256):
        try:
            data = os.pread(fd, 100, 0)
        except OSError:
            continue
        if b"TOP SECRET" in data:
            return data
    raise OSError("no descriptor holds a secret")


@attack(always_stopped=True)
def read_the_environment(_: World) -> Any:
    """For what looks like a secret."""
    found = [name for name in os.environ if "TOKEN" in name or "SECRET" in name]
    if found:
        return found
    raise OSError("the environment holds no secret")


# ------------------------------------------------------------------------- writing


@attack()
def write_the_log(world: World) -> Any:
    """An event that nobody signed."""
    return write(world.log, "a")


@attack()
def write_a_new_file_into_the_vault(world: World) -> Any:
    """A phantom file."""
    return write(f"{world.vault}/artifacts/phantom")


@attack()
def remove_the_key(world: World) -> Any:
    """So that nobody can sign any more."""
    os.unlink(world.key)
    return "removed"


@attack()
def truncate_the_log(world: World) -> Any:
    """By its path."""
    os.truncate(world.log, 0)
    return "empty"


@attack()
def rename_the_vault(world: World) -> Any:
    """Away from where it is."""
    os.rename(world.vault, f"{world.outside}/moved")
    return "moved"


@attack()
def make_the_vault_public(world: World) -> Any:
    """By its mode."""
    os.chmod(world.vault, 0o777)
    if stat.S_IMODE(os.stat(world.vault).st_mode) != 0o777:
        raise PermissionError(1, "the mode is as it was")
    return "public"


@attack()
def change_a_time(world: World) -> Any:
    """So that the log looks older than it is."""
    os.utime(world.log, (0, 0))
    if os.stat(world.log).st_mtime != 0:
        raise PermissionError(1, "the time is as it was")
    return "old"


@attack()
def set_an_attribute(world: World) -> Any:
    """Of a file in the vault."""
    os.setxattr(world.log, "user.provara", b"1")
    return "set"


@attack(root_only=True)
def give_the_vault_away(world: World) -> Any:
    """To another user."""
    os.chown(world.log, 65534, 65534)
    return "given"


@attack("reducer")
def lock_the_log(world: World) -> Any:
    """So that no writer can append."""
    for fd in range(3, 256):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except PermissionError:
            raise
        except OSError:
            continue
        return "locked"
    raise OSError("nothing to lock")


@attack("reducer", always_stopped=True)
def find_a_descriptor_of_the_log(world: World) -> Any:
    """By what is open, and by what the system says of it."""
    wanted = os.stat(world.log)
    for fd in range(3, 256):
        try:
            if os.path.samestat(os.fstat(fd), wanted):
                return fd
            if os.readlink(f"/proc/self/fd/{fd}") == world.log:
                return fd
        except OSError:
            continue
    raise OSError("no descriptor of the log is open")


@attack("reducer", always_stopped=True)
def write_into_the_copy_of_the_log(world: World) -> Any:
    """In every way that there is. It is sealed."""
    fd = copy_descriptor(world)
    ways: list[Callable[[], Any]] = [
        lambda: os.write(fd, b"x"),
        lambda: os.ftruncate(fd, 0),
        lambda: os.posix_fallocate(fd, 0, 1 << 20),
        lambda: mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_WRITE),
        lambda: fcntl.fcntl(fd, 1033, 0xF),  # F_ADD_SEALS
    ]
    for way in ways:
        try:
            return way()
        except OSError:
            continue
    raise OSError("the copy cannot be written")


@attack("export")
def lease_the_log(world: World) -> Any:
    """So that whoever opens it to write has to wait."""
    fd = os.open(world.log, os.O_RDONLY)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    return fd


@attack("export")
def lock_the_log_of_an_export(world: World) -> Any:
    """With the lock that the writer takes."""
    fd = os.open(world.log, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return fd


@attack("event", "export")
def make_a_pipe(world: World) -> Any:
    """For whoever opens what looks like a file."""
    os.mkfifo(world.in_state("pipe"))
    return "made"


@attack("event", "export")
def make_a_socket(world: World) -> Any:
    """With a name, by mknod."""
    os.mknod(world.in_state("node"), stat.S_IFSOCK | 0o600)
    return "made"


@attack()
def write_into_the_home_directory(world: World) -> Any:
    """What the next shell reads."""
    return write(f"{world.home}/.profile")


@attack()
def write_into_its_own_package(_: World) -> Any:
    """So that the next start does something else."""
    return write(os.path.join(os.path.dirname(__file__), "world_.py"))


@attack(root_only=True)
def write_into_the_standard_library(_: World) -> Any:
    """So that every program does something else."""
    with open(json.__file__, "r+") as file:
        return file.name


@attack("event", "reducer")
def write_beside_the_target(world: World) -> Any:
    """Anywhere outside of its own places."""
    return write(f"{world.outside}/file")


@attack("export", always_stopped=True)
def hand_over_a_link_to_the_key(world: World) -> Any:
    """As the export's result, for whoever opens it."""
    os.symlink(world.key, world.output)
    return "linked"


@attack("event")
def fill_the_disk(world: World) -> Any:
    """With one large file in its own directory."""
    path = world.in_state("large")
    try:
        with open(path, "wb") as file:
            return file.truncate(8 << 30)
    finally:
        os.unlink(path)


@attack()
def write_to_a_device(_: World) -> Any:
    """To shared memory, which other processes read."""
    path = write("/dev/shm/provara-hostile")
    os.unlink(path)
    return path


@attack()
def change_the_interpreters_directory(_: World) -> Any:
    """With a module that every later start imports."""
    path = os.path.join(os.path.dirname(sys.modules["world"].__file__ or ""), "sitecustomize.py")
    write(path)
    os.unlink(path)
    return path
