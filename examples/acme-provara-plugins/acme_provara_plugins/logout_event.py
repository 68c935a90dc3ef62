"""The event type ``com.acme.audit.logout``: a session ended."""

from __future__ import annotations

from typing import Any

from provara.plugins import EventTypePlugin


class LogoutEventPlugin(EventTypePlugin):
    """The end of a session, and why it ended."""

    name = "com.acme.audit.logout"
    version = "1.0"
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["user_id", "reason"],
        "properties": {
            "user_id": {"type": "string", "minLength": 1},
            "reason": {"enum": ["user", "timeout", "administrator"]},
            "session_seconds": {"type": "integer", "minimum": 0},
            "administrator_id": {"type": "string", "minLength": 1},
        },
    }

    def validate(self, data: dict[str, Any]) -> bool:
        """Check what belongs together: an administrator who ends a session is named."""
        if data["reason"] == "administrator" and "administrator_id" not in data:
            raise ValueError("a session ended by an administrator needs 'administrator_id'")
        return True

    def cli_command(self) -> str | None:
        """Enable ``provara append VAULT --type logout ...``."""
        return "logout"
