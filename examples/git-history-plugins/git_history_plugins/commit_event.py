"""The event type: one commit."""

from __future__ import annotations

from typing import Any

COMMIT = "org.git.history.commit"

# SHA-1 or SHA-256 repositories: 40 or 64 hex digits.
OBJECT_ID = {"type": "string", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"}
COUNT = {"type": "integer", "minimum": 0}


class CommitEventPlugin:
    """A commit as `git log` shows it, without anyone's mail address."""

    name = COMMIT
    version = "1.0"
    schema = {
        "type": "object",
        "required": ["commit", "parents", "author", "authored_at", "subject"],
        "additionalProperties": False,
        "properties": {
            "commit": OBJECT_ID,
            "parents": {"type": "array", "items": OBJECT_ID, "uniqueItems": True},
            "author": {"type": "string", "minLength": 1},
            "authored_at": {"type": "string", "format": "date-time"},
            "subject": {"type": "string"},
            "files_changed": COUNT,
            "insertions": COUNT,
            "deletions": COUNT,
        },
    }

    def validate(self, data: dict[str, Any]) -> bool:
        """Refuses what no schema can say: a commit that is its own parent."""
        if data["commit"] in data["parents"]:
            raise ValueError(f"commit {data['commit']} names itself as a parent")
        return True

    def cli_command(self) -> str | None:
        """Enables `provara append VAULT --type commit`."""
        return "commit"
