"""The export: a page of Markdown that names the event behind every line."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from git_history_plugins.commit_event import COMMIT


class ChangelogExportPlugin:
    """Writes the commits of a vault as a changelog, newest day first."""

    name = "git-changelog"

    def export(self, vault_path: str, output_path: str) -> None:
        """Reads the log and writes one file."""
        from provara.sync_v0 import iter_events

        log = Path(vault_path) / "events" / "events.ndjson"
        commits = [event for event in iter_events(log) if event["type"] == COMMIT]
        commits.reverse()
        with open(output_path, "w", encoding="utf-8") as page:
            page.write("# Changes\n")
            for day, of_day in groupby(commits, key=day_of):
                page.write(f"\n## {day}\n\n")
                for event in of_day:
                    commit = event["payload"]
                    page.write(
                        f"- {commit['subject']} "
                        f"({commit['author']}, `{commit['commit'][:10]}`, {event['event_id']})\n"
                    )


def day_of(event: dict[str, Any]) -> str:
    """The day of a commit, in its author's time zone."""
    day: str = event["payload"]["authored_at"]
    return day[:10]
