#!/usr/bin/env python3
"""Holds the layers of ARCHITECTURE.md against the crates.

Where a section "Inside `provara-...`" says "From the bottom up", its table is an order: a file may use
what stands in its own row or above it, never below. A row covers the files below the modules that it
names; `name/mod.rs` is that file alone. Every file but the root has to be in a row. What is a use is
what `module_circles.py` says.

Usage: scripts/module_layers.py [directory of the workspace]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from module_circles import Name, crates_of, graph_of

SECTION = re.compile(r"^### Inside `(provara-\w+)`\n(.*?)(?=^##)", re.DOTALL | re.MULTILINE)
MODULE = re.compile(r"`([\w:/.]+)`")


def rows_of(section: str) -> list[list[str]]:
    """The modules that each row of a section's table names, as paths."""
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [[name.replace("::", "/") for name in MODULE.findall(cell)] for cell in cells]


def row_of(file: Name, rows: list[list[str]]) -> int | None:
    """The row of a file: that of the longest name that covers it."""
    path = "/".join(file)
    found: list[tuple[int, int]] = []
    for number, names in enumerate(rows):
        for name in names:
            if name == f"{path}/mod.rs":
                found.append((len(path) + 1, number))
            elif f"{path}/".startswith(f"{name}/"):
                found.append((len(name), number))
    return max(found)[1] if found else None


def check(root: Path) -> list[str]:
    """Prints the crates whose layers are stated. Returns what is wrong, a line each."""
    wrong: list[str] = []
    text = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for crate, section in SECTION.findall(text):
        if "From the bottom up" not in section:
            continue
        rows = rows_of(section)
        graph, _ = graph_of(crates_of(root / "crates" / crate / "src")[0])
        print(f"{crate}: {len(graph)} files in {len(rows)} layers")
        place = {file: row_of(file, rows) for file in graph if file}
        for file, row in place.items():
            if row is None:
                wrong.append(f"{crate}: no row of ARCHITECTURE.md names {'/'.join(file)}")
                continue
            for other, name in graph[file].items():
                other_row = place.get(other)
                if other_row is not None and other_row > row:
                    wrong.append(
                        f"{crate}: {'/'.join(file)} uses {'/'.join(other)}, which is above it: {name}"
                    )
        for name in (name for row_names in rows for name in row_names):
            bare = name.removesuffix("/mod.rs")
            if not any(f"{'/'.join(file)}/".startswith(f"{bare}/") for file in place):
                wrong.append(f"{crate}: a row of ARCHITECTURE.md names {name}, which is not there")
    return wrong


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    wrong = check(root)
    for line in wrong:
        print(f"ERROR: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
