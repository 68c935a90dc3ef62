"""Prints a Git history as one JSON object per line, oldest first: data for `provara append`."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

RECORD, FIELD = "\x1e", "\x1f"
FORMAT = RECORD + FIELD.join(["%H", "%P", "%an", "%aI", "%s"]) + FIELD


def commits(repository: str, newest: int | None = None) -> Iterator[dict[str, Any]]:
    """The commits that lead to HEAD, parents before children, as the event type wants them."""
    command = ["git", "-C", repository, "log", "--topo-order", "--reverse", "--shortstat"]
    command += ["--encoding=UTF-8", f"--format=tformat:{FORMAT}"]
    if newest is not None:
        command.append(f"--max-count={newest}")
    done = subprocess.run(command, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode("utf-8", "replace").strip())
    for record in done.stdout.decode("utf-8", "replace").split(RECORD)[1:]:
        commit, parents, author, authored_at, subject, statistics = record.split(FIELD)
        yield {
            "commit": commit,
            "parents": parents.split(),
            "author": author or "unknown",
            "authored_at": authored_at,
            "subject": subject,
            "files_changed": count(statistics, "file"),
            "insertions": count(statistics, "insertion"),
            "deletions": count(statistics, "deletion"),
        }


def count(statistics: str, what: str) -> int:
    """A number of `3 files changed, 5 insertions(+), 1 deletion(-)`; absent means none."""
    found = re.search(rf"(\d+) {what}", statistics)
    return int(found[1]) if found else 0


def main() -> int:
    """Runs `python -m git_history_plugins.feed`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", nargs="?", default=".", help="default: where you are")
    parser.add_argument("--newest", type=int, metavar="N", help="the last N commits only")
    arguments = parser.parse_args()
    try:
        for commit in commits(arguments.repository, arguments.newest):
            print(json.dumps(commit, ensure_ascii=False), flush=True)
    except (OSError, RuntimeError) as problem:
        print(f"ERROR: no history to read in {arguments.repository!r}: {problem}", file=sys.stderr)
        print(
            "Fix: Name a directory that Git tracks, and see that git is installed.", file=sys.stderr
        )
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
