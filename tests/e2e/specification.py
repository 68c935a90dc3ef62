"""Reads the plugin specification: its code blocks, and where they stand."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from support import ROOT


@dataclass(frozen=True)
class Block:
    """A fenced code block: the headings above it, its language, its text."""

    headings: tuple[str, ...]
    language: str
    text: str


def location() -> Path:
    """The file itself: in `PROVARA_SPEC_DIR`, or in a `shared` directory beside the repository."""
    named = os.environ.get("PROVARA_SPEC_DIR")
    directory = Path(named) if named else ROOT.parent / "shared" / "spec"
    return directory / "PLUGIN_API.md"


def published(part: str) -> Path:
    """Beside the specification: what our copies of the judged vaults and vectors were made from."""
    return location().parents[1] / part


def blocks(text: str) -> list[Block]:
    """All fenced code blocks in order, their text exactly as it stands."""
    found: list[Block] = []
    headings: list[str] = []
    lines: list[str] | None = None
    language = ""
    for line in text.splitlines(keepends=True):
        if lines is not None:
            if line.startswith("```"):
                found.append(Block(tuple(headings), language, "".join(lines)))
                lines = None
            else:
                lines.append(line)
        elif line.startswith("```"):
            language, lines = line[3:].strip(), []
        elif heading := re.match(r"(#+) (.+)", line):
            depth = len(heading[1])
            headings = [*headings[: depth - 1], heading[2].strip()]
    return found


class Specification:
    """The blocks, to be asked for by heading, language and a word that they contain."""

    def __init__(self, text: str):
        self.blocks = blocks(text)

    def block(self, heading: str, language: str, containing: str = "") -> str:
        """The one block under a heading in a language; more or fewer than one is an error."""
        found = [
            block.text
            for block in self.blocks
            if any(heading in above for above in block.headings)
            and block.language == language
            and containing in block.text
        ]
        assert len(found) == 1, f"{len(found)} blocks for {heading!r}, {language!r}, {containing!r}"
        return found[0]
