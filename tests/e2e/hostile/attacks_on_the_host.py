"""Attacks on the protocol and on the process that the plugins share. The core stops them."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from world import World, attack, protocol_descriptor


def frame(reply: Any) -> bytes:
    body = json.dumps(reply).encode()
    return len(body).to_bytes(4, "big") + body


@attack(always_stopped=True)
def answer_twice(_: World) -> Any:
    """A reply of its own, before the host's."""
    fd = protocol_descriptor()
    os.write(fd, frame({"id": 3, "ok": True, "result": {"valid": True, "output_json": "{}"}}))
    return fd


@attack(always_stopped=True)
def answer_another_question(_: World) -> Any:
    """A reply with a number that was not asked."""
    os.write(protocol_descriptor(), frame({"id": 99, "ok": True, "result": {}}))


@attack(always_stopped=True)
def send_an_oversized_frame(_: World) -> Any:
    """One that would fill the core's memory."""
    os.write(protocol_descriptor(), b"\xff\xff\xff\xff")


@attack(always_stopped=True)
def send_an_invalid_frame(_: World) -> Any:
    """One that is not JSON."""
    os.write(protocol_descriptor(), b"\x00\x00\x00\x05hello")


@attack(always_stopped=True, at_import=True)
def claim_another_name(_: World) -> Any:
    """A list of plugins of its own, sent while the host is still looking."""
    plugin = {
        "kind": "reducer",
        "name": "com.example.hostile.reducer",
        "class": "trusted.Reducer",
        "distribution": "trusted-package",
        "version": "9.9.9",
        "source": "entry_point",
        "entry_point": "trusted",
    }
    os.write(
        protocol_descriptor(),
        frame({"id": 2, "ok": True, "result": {"plugins": [plugin], "problems": []}}),
    )


@attack(always_stopped=True)
def close_the_protocol(_: World) -> Any:
    """And go on."""
    os.close(protocol_descriptor())


@attack(always_stopped=True)
def write_to_every_descriptor(_: World) -> Any:
    """Whatever it is."""
    for fd in range(256):
        try:
            os.write(fd, b"\x1b]0;owned\x07\x00\x00\x00\x02{}")
        except OSError:
            continue


@attack("reducer", always_stopped=True)
def replace_the_json_writer(_: World) -> Any:
    """With one that gives what is not JSON."""
    from provara import _native

    def forged(value: Any) -> str:
        # The host writes its frames with this function, too.
        return json.dumps(value).replace('"output_json": "{}"', '"output_json": "{\\"a\\": NaN}"')

    _native.to_json = forged
    json.loads = json.dumps  # type: ignore[assignment]
    raise OSError("the frames are forged from here on")


@attack(always_stopped=True)
def replace_the_registry(_: World) -> Any:
    """With nothing."""
    import provara.plugins

    provara.plugins.registry = None  # type: ignore[assignment]
    sys.modules.clear()
    raise OSError("the modules are gone")


@attack(always_stopped=True)
def exit_in_a_destructor(_: World) -> Any:
    """With a code that says that all is well."""

    class Bomb:
        def __del__(self) -> None:
            os._exit(0)

    bomb = Bomb()
    del bomb


@attack(always_stopped=True)
def exit_at_once(_: World) -> Any:
    """With a code that says that all is well."""
    os._exit(0)


@attack(always_stopped=True)
def hide_a_message_behind_escapes(_: World) -> Any:
    """In what it prints and in what it raises."""
    print("\x1b[2J\x1b[1;1Hall is well")
    raise OSError("\x1b[2K\r\u202eall is well")


@attack(always_stopped=True)
def drown_the_terminal(_: World) -> Any:
    """In a gigabyte, so that nobody sees what went before."""
    block = b"\x1b[2Jnothing happened\n" * 50_000
    for _number in range(1024):
        os.write(2, block)
    raise OSError("it was all written")
