"""A schema whose levels each apply the next one twice: a billion steps, and as many errors."""

from __future__ import annotations

from typing import Any

LEVELS = 30


class MisbehavingEventPlugin:
    name = "com.example.explodes.event"
    schema: dict[str, Any] = {
        "$ref": "#/$defs/level0",
        "$defs": {
            **{
                f"level{n}": {"allOf": [{"$ref": f"#/$defs/level{n + 1}"}] * 2}
                for n in range(LEVELS)
            },
            f"level{LEVELS}": {"required": ["this"]},
        },
    }

    def validate(self, data: dict[str, Any]) -> bool:
        return True

    def cli_command(self) -> str | None:
        return None


print("the plugin has begun", flush=True)
