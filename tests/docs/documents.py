"""The documents, their blocks, and whether an output is what a block shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support import ROOT

FENCE = re.compile(r"^```(\S*)$")
LEAD_IN = re.compile(r"^`([^`]+)`:$")
NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")
#: What no two runs have in common.
VARIABLE = (
    r"(?:evt_[0-9a-f]{24}|bp1_[0-9a-f]{16}|\b[0-9a-f]{64}\b"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"
)
#: What a document leaves open in an output that it shows.
HOLE = re.compile(rf"(?P<lines>^…$)|(?P<part>…)|{VARIABLE}", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of its fence, and what stands before it."""

    language: str
    text: str
    line: int
    lead_in: str

    @property
    def file(self) -> str | None:
        match = LEAD_IN.match(self.lead_in)
        return match and match[1]

    @property
    def is_run(self) -> bool:
        return NOT_RUN.match(self.lead_in) is None


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document."""
    lead_in = ""
    opened: tuple[str, int] | None = None
    text: list[str] = []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if opened is not None:
            if line == "```":
                yield Block(opened[0], "".join(text), opened[1], lead_in)
                opened, text, lead_in = None, [], ""
            else:
                text.append(line + "\n")
        elif match := FENCE.match(line):
            opened = (match[1], number)
        elif line:
            lead_in = line
    assert opened is None, f"{document.name}:{opened[1]}: the block is not closed"


def documents() -> list[Path]:
    pages = (ROOT / "docs").rglob("*.md")
    return [ROOT / "README.md", *sorted(page for page in pages if page.parent.name != "decisions")]


def page_name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def matches(expected: str, output: str) -> bool:
    """Whether `output` is what a `text` block shows."""
    pattern = ""
    end = 0
    anything = {"lines": r"[^\n]*(?:\n[^\n]*)*", "part": r"[^\n]*"}
    for hole in HOLE.finditer(expected):
        pattern += re.escape(expected[end : hole.start()])
        pattern += anything[hole.lastgroup] if hole.lastgroup else VARIABLE
        end = hole.end()
    return re.fullmatch(pattern + re.escape(expected[end:]), output) is not None
