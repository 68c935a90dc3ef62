"""The event type ``com.acme.audit.login``: someone tried to log in."""

from __future__ import annotations

from typing import Any

from provara.plugins import EventTypePlugin


class LoginEventPlugin(EventTypePlugin):
    """A login, successful or not.

    Deriving from the protocol is optional. It lets ``mypy`` check the signatures and makes a
    forgotten method an error at once rather than at installation.
    """

    name = "com.acme.audit.login"

    #: Shown in messages as `Schema: com.acme.audit.login v1.0`. Count it up when the schema
    #: changes; events that are already in a vault are never judged again.
    version = "1.0"

    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["user_id", "success", "ip_address"],
        "properties": {
            "user_id": {"type": "string", "minLength": 1, "description": "Who tried"},
            "success": {"type": "boolean", "description": "Whether it worked"},
            # Provara asserts formats: '192.168.1' is refused.
            "ip_address": {"type": "string", "format": "ipv4", "description": "From where"},
            "user_agent": {"type": "string", "description": "With what"},
        },
    }

    def validate(self, data: dict[str, Any]) -> bool:
        """Repeat the schema check, so that the class can be used and tested on its own.

        Provara has already checked the data against the schema when it calls this. Put here
        what a schema cannot say; raise an exception whose text helps the person who appends.
        """
        import jsonschema  # imported late: listing plugins should not have to wait for it

        jsonschema.validate(data, self.schema)
        return True

    def cli_command(self) -> str | None:
        """Enable ``provara append VAULT --type login ...``."""
        return "login"
