"""The plugin that carries out the attack named in `choice.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attacks_on_files
import attacks_on_processes
import attacks_on_the_host
import attacks_on_the_network
from world import ATTACKS, Succeeded, World

assert all((attacks_on_files, attacks_on_processes, attacks_on_the_host, attacks_on_the_network))

WORLD = World.load()
ATTACK = ATTACKS[WORLD.attack]


def run() -> None:
    """Carries it out. What it got is the error message."""
    got = ATTACK.function(WORLD)
    raise Succeeded(f"the attack succeeded: {got!r}")


class HostileEventPlugin:
    name = "com.example.hostile.event"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        run()
        return True

    def cli_command(self) -> str | None:
        return None


class HostileReducer:
    name = "com.example.hostile.reducer"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        run()
        return {}


class HostileExportPlugin:
    name = "hostile"

    def export(self, vault_path: str, output_path: str) -> None:
        WORLD.output = output_path
        run()


if ATTACK.at_import:
    ATTACK.function(WORLD)
