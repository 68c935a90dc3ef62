"""Attacks on other processes, on the kernel, and on the machine's resources."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import multiprocessing
import os
import resource
import struct
import subprocess
import threading
from typing import Any

from world import World, attack, system_call

PARENT = os.getppid()


@attack()
def start_a_program(_: World) -> Any:
    """With subprocess."""
    return subprocess.check_output(["/bin/echo", "started"])


@attack()
def start_a_shell(_: World) -> Any:
    """With os.system."""
    status = os.system("exit 0")
    if status:
        raise PermissionError(1, f"the shell gave {status}")
    return status


@attack()
def fork(_: World) -> Any:
    """With os.fork."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)


@attack()
def start_a_process_pool(_: World) -> Any:
    """With multiprocessing."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=abs, args=(1,))
    process.start()
    process.join()
    return process.exitcode


@attack()
def spawn(_: World) -> Any:
    """With posix_spawn."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    return os.waitpid(pid, 0)


@attack(always_stopped=True)
def become_a_shell(_: World) -> Any:
    """With execv: without the sandbox it ends the protocol instead."""
    os.execv("/bin/sh", ["sh", "-c", "exit 0"])


@attack(always_stopped=True)
def become_another_interpreter(_: World) -> Any:
    """With the one program that the launcher did execute."""
    import sys

    os.execv(sys.executable, [sys.executable, "-c", "pass"])


@attack()
def signal_the_parent(_: World) -> Any:
    """With signal 0, which only asks whether one could."""
    os.kill(PARENT, 0)
    return PARENT


@attack()
def read_the_parents_environment(_: World) -> Any:
    """Through /proc."""
    with open(f"/proc/{PARENT}/environ", "rb") as file:
        return file.read()


@attack()
def read_the_parents_memory(_: World) -> Any:
    """Through /proc."""
    with open(f"/proc/{PARENT}/mem", "rb") as file:
        return file.fileno()


@attack()
def see_the_parents_descriptors(_: World) -> Any:
    """Through /proc."""
    return os.listdir(f"/proc/{PARENT}/fd")


@attack(root_only=True)
def attach_to_the_parent(_: World) -> Any:
    """With ptrace (PTRACE_SEIZE, which does not stop it)."""
    return system_call("ptrace", 0x4206, PARENT, 0, 0)


@attack(root_only=True)
def copy_the_parents_memory(_: World) -> Any:
    """With process_vm_readv, from an address that holds nothing."""

    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    buffer = ctypes.create_string_buffer(16)
    here = Vector(ctypes.addressof(buffer), 16)
    # Any page of its own would do: the first that it maps.
    with open(f"/proc/{PARENT}/maps") as file:
        start = int(file.readline().split("-")[0], 16)
    there = Vector(start, 16)
    system_call("process_vm_readv", PARENT, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return buffer.raw


@attack(root_only=True)
def take_a_descriptor_of_the_parent(_: World) -> Any:
    """With pidfd_getfd."""
    handle = system_call("pidfd_open", PARENT, 0)
    return system_call("pidfd_getfd", handle, 0, 0)


@attack()
def limit_the_parent(_: World) -> Any:
    """Read, and so perhaps set, its resource limits."""
    return resource.prlimit(PARENT, resource.RLIMIT_NOFILE)


@attack()
def look_at_the_parent(_: World) -> Any:
    """Which session and group it is in, and how urgent it is."""
    return os.getsid(PARENT), os.getpgid(PARENT), os.getpriority(os.PRIO_PROCESS, PARENT)


@attack()
def pin_the_parent(_: World) -> Any:
    """To one processor."""
    os.sched_setaffinity(PARENT, os.sched_getaffinity(PARENT))
    return PARENT


@attack()
def hurry_the_parent(_: World) -> Any:
    """Or slow it: with its own priority, so that nothing changes."""
    os.setpriority(os.PRIO_PROCESS, PARENT, os.getpriority(os.PRIO_PROCESS, 0))
    return PARENT


@attack()
def signal_a_thread_of_the_parent(_: World) -> Any:
    """By its number alone."""
    return system_call("tkill", PARENT, 0)


@attack(root_only=True)
def compare_itself_with_the_parent(_: World) -> Any:
    """With kcmp: whether two descriptors are one file."""
    return system_call("kcmp", os.getpid(), PARENT, 0, 0, 0)


@attack()
def have_the_parent_told(_: World) -> Any:
    """With F_SETOWN: it would get the signals of a pipe, which end it."""
    reader, _unused = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, PARENT)
    return fcntl.fcntl(reader, fcntl.F_GETOWN)


@attack(always_stopped=True)
def leave_the_session(_: World) -> Any:
    """To get a new terminal. A group's leader cannot, even without the sandbox."""
    os.setsid()


@attack()
def make_a_file_in_memory(_: World) -> Any:
    """From which a program could be executed."""
    return os.memfd_create("program")


@attack()
def keep_a_secret_in_the_kernel(_: World) -> Any:
    """In a keyring."""
    return system_call("add_key", b"user", b"provara", b"x", 1, -3)


@attack()
def share_memory(_: World) -> Any:
    """With any process that is told its number, and for as long as the machine runs."""
    made = system_call("shmget", 0, 4096, 0o1600)
    return ctypes.CDLL(None).shmctl(made, 0, None)


@attack()
def share_semaphores(_: World) -> Any:
    """As above."""
    made = system_call("semget", 0, 1, 0o1600)
    return ctypes.CDLL(None).semctl(made, 0, 0)


@attack()
def leave_messages(_: World) -> Any:
    """In a queue of System V."""
    made = system_call("msgget", 0, 0o1600)
    return ctypes.CDLL(None).msgctl(made, 0, None)


@attack()
def leave_messages_by_name(_: World) -> Any:
    """In a queue of POSIX."""
    name = f"provara-hostile-{os.getpid()}".encode()
    system_call("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, 0)
    return system_call("mq_unlink", name)


@attack(root_only=True)
def program_the_kernel(_: World) -> Any:
    """With bpf: an array of one number."""
    attributes = struct.pack("IIII", 2, 4, 4, 1) + bytes(48)
    return system_call("bpf", 0, attributes, len(attributes))


@attack()
def watch_the_vault(world: World) -> Any:
    """With inotify, to learn when something is signed."""
    fd = system_call("inotify_init1", 0)
    library = ctypes.CDLL(None, use_errno=True)
    if library.inotify_add_watch(fd, world.vault.encode(), 0x2) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


@attack(root_only=True)
def work_behind_seccomp(_: World) -> Any:
    """With io_uring."""
    parameters = ctypes.create_string_buffer(120)
    return system_call("io_uring_setup", 1, ctypes.byref(parameters))


@attack(root_only=True)
def make_a_namespace(_: World) -> Any:
    """Of mounts, in which to be root."""
    return system_call("unshare", 0x00020000)


@attack(root_only=True)
def handle_page_faults(_: World) -> Any:
    """With userfaultfd."""
    return system_call("userfaultfd", 0)


@attack()
def fill_the_memory(_: World) -> Any:
    """With more than a plugin may have."""
    no_reserve = 0x4000  # so that a careful kernel does not refuse it for its own reasons
    return len(mmap.mmap(-1, 16 << 30, flags=mmap.MAP_PRIVATE | no_reserve))


@attack()
def fill_the_process_table(_: World) -> Any:
    """With threads, which a plugin may start."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    try:
        while len(threads) < 1500:
            thread = threading.Thread(target=stop.wait, daemon=True)
            thread.start()
            threads.append(thread)
    finally:
        stop.set()
    return len(threads)
