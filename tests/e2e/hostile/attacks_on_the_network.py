"""Attacks through sockets. The test listens; nothing may arrive."""

from __future__ import annotations

import array
import socket
from typing import Any

from world import World, attack


@attack()
def connect_over_tcp(world: World) -> Any:
    """To a port of this machine."""
    with socket.create_connection(("127.0.0.1", world.tcp), 5) as connection:
        connection.send(b"loot")
        return connection.getpeername()


@attack()
def send_over_udp(world: World) -> Any:
    """A datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"loot", ("127.0.0.1", world.udp))


@attack()
def connect_over_a_path(world: World) -> Any:
    """To a Unix socket, as of a container's daemon."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(world.unix)
        return connection.send(b"loot")


@attack()
def connect_over_an_abstract_name(world: World) -> Any:
    """To a Unix socket without a file."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + world.abstract)
        return connection.send(b"loot")


@attack()
def listen(_: World) -> Any:
    """For somebody to come and fetch."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()


@attack()
def point_a_pair_elsewhere(world: World) -> Any:
    """A pair of datagram sockets that is connected to another one afterwards."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.close()
    return one.fileno()


@attack()
def pass_a_descriptor(_: World) -> Any:
    """Over a socket, to whoever listens."""
    one, other = socket.socketpair()
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))]
    with one, other:
        return one.sendmsg([b"x"], control)


@attack()
def ask_for_a_name(_: World) -> Any:
    """Which tells a name server what it likes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", 53))
        return sender.getsockname()


@attack()
def talk_to_the_kernel(_: World) -> Any:
    """Over a socket on which it tells of devices."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15) as listener:
        listener.bind((0, 1))
        return listener.getsockname()


@attack(root_only=True)
def listen_to_everybody(_: World) -> Any:
    """To each packet that comes in."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as listener:
        return listener.getsockname()


@attack(root_only=True)
def forge_packets(_: World) -> Any:
    """With addresses of somebody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        return sender.getsockname()
