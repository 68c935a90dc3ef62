"""The reducer: who did how much, when, and whether the recorded history has holes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from git_history_plugins.commit_event import COMMIT


class ContributorsReducer:
    """Sums up the commits of a vault. A function of the events alone."""

    name = "org.git.history.contributors"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        """Walks once over the events, in the order of the log."""
        authors: dict[str, dict[str, int]] = {}
        dates: list[str] = []
        recorded: set[str] = set()
        awaited: set[str] = set()
        for event in events:
            if event.get("type") != COMMIT:
                continue
            commit = event["payload"]
            recorded.add(commit["commit"])
            awaited.update(commit["parents"])
            dates.append(commit["authored_at"])
            author = authors.setdefault(
                commit["author"], {"commits": 0, "insertions": 0, "deletions": 0}
            )
            author["commits"] += 1
            author["insertions"] += commit.get("insertions", 0)
            author["deletions"] += commit.get("deletions", 0)
        return {
            "commits": len(recorded),
            "first_authored_at": min(dates, default=None),
            "last_authored_at": max(dates, default=None),
            "authors": authors,
            "parents_never_recorded": sorted(awaited - recorded),
        }
