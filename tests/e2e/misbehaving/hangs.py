"""Every method says that it has begun, and never returns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any


def misbehave() -> Any:
    print("the plugin has begun", flush=True)
    while True:
        time.sleep(3600)


class MisbehavingEventPlugin:
    name = "com.example.hangs.event"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        misbehave()
        return True

    def cli_command(self) -> str | None:
        return None


class MisbehavingReducer:
    name = "com.example.hangs.reducer"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        misbehave()
        return {"events": sum(1 for _ in events)}


class MisbehavingExportPlugin:
    name = "hangs"

    def export(self, vault_path: str, output_path: str) -> None:
        with open(output_path, "w") as output:
            output.write("half of an ex")
            output.flush()
            misbehave()
            output.write("port\n")
