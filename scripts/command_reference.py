#!/usr/bin/env python3
"""Prints docs/commands.md from the help texts of the `provara` on PATH:

python3 scripts/command_reference.py > docs/commands.md
"""

from __future__ import annotations

import os
import re
import subprocess

INTRODUCTION = """\
# Commands

The help texts of the executable, which are their own best reference: `provara COMMAND --help`. This
page is made from them by `scripts/command_reference.py`.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 the evidence is bad, 2 the
request is wrong, 3 it could not be done, 4 a plugin failed or is invalid.
"""


def help_of(*command: str) -> str:
    """The long help of a command, without colours, 100 columns wide."""
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        ["provara", *command, "--help"], env=environment, capture_output=True, check=True
    )
    lines = done.stdout.decode("utf-8").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


def subcommands(text: str) -> list[str]:
    """The names below `Commands:`, except for `help`, which has nothing of its own to say."""
    section = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.MULTILINE)
    names = re.findall(r"^  ([a-z][a-z-]*)", section[1], re.MULTILINE) if section else []
    return [name for name in names if name != "help"]


def show(*command: str) -> None:
    """Prints a command's section, and then those of its subcommands."""
    text = help_of(*command)
    title = " ".join(("provara", *command))
    print(f"\n## {title}\n\n```text\n{text}```")
    for name in subcommands(text):
        show(*command, name)


def main() -> None:
    print(INTRODUCTION, end="")
    show()


if __name__ == "__main__":
    main()
