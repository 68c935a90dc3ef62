"""The plugins of this package, as their author tests them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from git_history_plugins import (
    COMMIT,
    ChangelogExportPlugin,
    CommitEventPlugin,
    ContributorsReducer,
)
from git_history_plugins.feed import commits, count
from provara.plugins import EventTypePlugin, ExportPlugin, ReducerPlugin

FIRST, SECOND, THIRD = "1" * 40, "2" * 40, "3" * 40


def commit(identity: str, *parents: str, **more: Any) -> dict[str, Any]:
    return {
        "commit": identity,
        "parents": list(parents),
        "author": "Ada",
        "authored_at": "2026-03-01T09:00:00+01:00",
        "subject": "Begin",
        **more,
    }


def event(payload: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {"type": COMMIT, "event_id": f"evt_{number:024x}", "payload": payload}


def test_the_protocols_are_kept() -> None:
    assert isinstance(CommitEventPlugin(), EventTypePlugin)
    assert isinstance(ContributorsReducer(), ReducerPlugin)
    assert isinstance(ChangelogExportPlugin(), ExportPlugin)


def test_a_commit_is_valid() -> None:
    data = commit(SECOND, FIRST, insertions=3)
    jsonschema.validate(data, CommitEventPlugin.schema)
    assert CommitEventPlugin().validate(data)


def test_a_commit_is_not_its_own_parent() -> None:
    with pytest.raises(ValueError, match="names itself"):
        CommitEventPlugin().validate(commit(FIRST, FIRST))


def test_the_reducer_sums_up() -> None:
    events = [
        event(commit(SECOND, FIRST, insertions=3, deletions=1)),
        {"type": "OBSERVATION", "event_id": "evt_1", "payload": {}},
        event(commit(THIRD, SECOND, author="Grace", authored_at="2026-03-02T09:00:00+01:00")),
    ]
    assert ContributorsReducer().reduce(iter(events)) == {
        "commits": 2,
        "first_authored_at": "2026-03-01T09:00:00+01:00",
        "last_authored_at": "2026-03-02T09:00:00+01:00",
        "authors": {
            "Ada": {"commits": 1, "insertions": 3, "deletions": 1},
            "Grace": {"commits": 1, "insertions": 0, "deletions": 0},
        },
        "parents_never_recorded": [FIRST],
    }
    assert ContributorsReducer().reduce(iter([]))["first_authored_at"] is None


def test_the_export_is_a_page(tmp_path: Path) -> None:
    log = tmp_path / "vault" / "events" / "events.ndjson"
    log.parent.mkdir(parents=True)
    later = commit(SECOND, FIRST, authored_at="2026-03-02T09:00:00+01:00", subject="Go on")
    events = [event(commit(FIRST), 1), event(later, 2)]
    log.write_text(
        "".join(json.dumps(each, sort_keys=True, separators=(",", ":")) + "\n" for each in events)
    )
    ChangelogExportPlugin().export(str(tmp_path / "vault"), str(tmp_path / "page.md"))
    assert (tmp_path / "page.md").read_text() == (
        "# Changes\n"
        "\n## 2026-03-02\n\n- Go on (Ada, `2222222222`, evt_000000000000000000000002)\n"
        "\n## 2026-03-01\n\n- Begin (Ada, `1111111111`, evt_000000000000000000000001)\n"
    )


def test_numbers_of_git() -> None:
    line = " 2 files changed, 1 insertion(+), 30 deletions(-)\n"
    assert [count(line, what) for what in ("file", "insertion", "deletion")] == [2, 1, 30]
    assert count(" 1 file changed, 1 insertion(+)\n", "deletion") == 0


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed (2026-11-22)")
def test_the_feed_reads_a_repository(tmp_path: Path) -> None:
    git = [
        "git",
        "-C",
        str(tmp_path),
        "-c",
        "user.name=Ada \u20ac",
        "-c",
        "user.email=a@example.org",
    ]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run([*git, "init", "-q"], check=True, env=environment)
    for number, subject in enumerate(['First, with "quotes"', "Second \U0001f600"]):
        (tmp_path / "file").write_text("line\n" * (number + 1))
        subprocess.run([*git, "add", "."], check=True, env=environment)
        subprocess.run([*git, "commit", "-q", "-m", subject], check=True, env=environment)
    first, second = commits(str(tmp_path))
    assert first["parents"] == [] and second["parents"] == [first["commit"]]
    assert [first["subject"], second["subject"]] == ['First, with "quotes"', "Second \U0001f600"]
    assert second["author"] == "Ada \u20ac"
    assert (second["files_changed"], second["insertions"], second["deletions"]) == (1, 1, 0)
    for data in (first, second):
        jsonschema.validate(data, CommitEventPlugin.schema)
        assert CommitEventPlugin().validate(data)
    assert [each["commit"] for each in commits(str(tmp_path), newest=1)] == [second["commit"]]


def test_the_feed_says_when_there_is_no_history(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "git_history_plugins.feed", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)},
    )
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.startswith("ERROR: ") and "\nFix: " in done.stderr
