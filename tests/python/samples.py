"""Sample plugins, and what more than one module of tests needs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Cases that every language runs.
VECTORS = Path(__file__).resolve().parents[1] / "vectors"

MakeModule = Callable[[str, str], None]
Install = Callable[..., None]

LOGIN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["user_id", "success", "ip_address"],
    "properties": {
        "user_id": {"type": "string"},
        "success": {"type": "boolean"},
        "ip_address": {"type": "string", "format": "ipv4"},
        "user_agent": {"type": "string"},
    },
}


class LoginEventPlugin:
    """The specification's example, without the alias."""

    name = "com.acme.audit.login"
    schema = LOGIN_SCHEMA

    def validate(self, data: dict[str, Any]) -> bool:
        return True


class CountReducer:
    name = "com.acme.count"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {"events": sum(1 for _ in events)}


class TouchExport:
    name = "touch"

    def export(self, vault_path: str, output_path: str) -> None:
        Path(output_path).write_text(vault_path, encoding="utf-8")


LOGIN = {"user_id": "alice", "success": True, "ip_address": "192.168.1.1"}


def in_python(site: Path, code: str, **environment: str) -> str:
    """Run code in a new interpreter that finds ``site``."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(site), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
