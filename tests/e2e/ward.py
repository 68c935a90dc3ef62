"""A vault with a tree head, for tests of what others make of it."""

from __future__ import annotations

from pathlib import Path

from support import Outcome, Provara


class Ward:
    """A vault with three events more than its first two, and a first tree head."""

    def __init__(self, provara: Provara, directory: Path):
        self.provara, self.directory = provara, directory
        self.vault, self.head = directory / "ward", directory / "first.head"
        provara.run("init", self.vault, "--uid", "ward-3")
        for value in range(3):
            self.append(value)
        provara.run("tree-head", self.vault, "--copy", "main", "--output", self.head)

    def append(self, value: int) -> None:
        data = {"subject": "patient", "predicate": "dose", "value": value}
        self.provara.append(self.vault, "OBSERVATION", data)

    def tree_head(self, name: str) -> Path:
        path = self.directory / name
        self.provara.run("tree-head", self.vault, "--output", path)
        return path

    def verify(self, *more: str | Path, expect: int = 0) -> Outcome:
        return self.provara.run("verify", self.vault, *more, expect=expect)
