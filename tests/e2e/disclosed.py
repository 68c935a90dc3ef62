"""A page with events of a vault, and those who check such pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from support import ROOT, Provara
from test_proof_checker import canonical

Document = dict[str, Any]

CRATE = ROOT / "crates" / "provara-pages" / "src" / "disclosure"
OPENING = '<script type="application/json" id="evidence">'
HOSTILE = "</script><script>alert(1)</script><!--\"'&\u202egnp\u200b\u2028\n\t\\u003c"

needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium (2026-12-01)")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node (2026-12-01)")


def in_page(document: str) -> str:
    """A document as it stands in a page."""
    unit = "\\u{:04x}"
    text = document.rstrip("\n")
    return re.sub("[<>&\u2028\u2029]", lambda found: unit.format(ord(found[0])), text)


def parts(page: str) -> tuple[str, str, str]:
    """What stands before the data of a page, the data, and the rest."""
    before, _, rest = page.partition(OPENING)
    data, _, after = rest.partition("</script>")
    return before + OPENING, data, "</script>" + after


class Disclosed:
    """A vault, a page with events of it, and those who check pages."""

    def __init__(self, provara: Provara, vault: Path, directory: Path):
        self.provara, self.vault, self.directory = provara, vault, directory
        for number in range(8):
            data = {"subject": "patient-12", "predicate": "dose_mg", "value": number * 5}
            provara.append(vault, "OBSERVATION", data, "--actor", "nurse")
        data = {
            "subject": HOSTILE,
            "predicate": HOSTILE,
            "value": {"a": [1.5, {HOSTILE: [], "d": {}}]},
        }
        provara.append(vault, "OBSERVATION", data, "--actor", f"Dr. {HOSTILE}")
        self.head = directory / "tree.head"
        self.page = directory / "evidence.html"
        provara.run("tree-head", vault, "--output", self.head)
        lines = ("--lines", "5-8", "--head", self.head)
        provara.run("disclose", vault, *lines, "--asked", HOSTILE, "--output", self.page)
        self.text = self.page.read_text("utf-8")
        self.data = parts(self.text)[1]

    @property
    def document(self) -> Document:
        found: Document = json.loads(self.data)
        return found

    def with_data(self, data: str, name: str = "changed.html") -> Path:
        before, _, after = parts(self.text)
        file = self.directory / name
        file.write_text(before + data + after, "utf-8")
        return file

    def with_document(self, document: Document, name: str = "changed.html") -> Path:
        return self.with_data(in_page(canonical(document)), name)

    def ours(self, file: Path, head: Path | None = None) -> bool:
        """What `verify-proof` says."""
        done = self.provara.run("verify-proof", file, "--head", head or self.head, expect=None)
        assert done.code in (0, 1), done
        return done.code == 0


NODE = """
const fs = require("fs");
const check = new Function(fs.readFileSync(process.argv[1], "utf8") + "; return check;")();
(async () => {
  const faults = [];
  for (const text of JSON.parse(fs.readFileSync(0, "utf8"))) {
    try { await check(text, async () => {}); faults.push(""); }
    catch (error) { faults.push(error.message); }
  }
  console.log(JSON.stringify(faults));
})();
"""


def faults(*data: str) -> list[str]:
    """What the page's checker says is wrong with data; an empty text where nothing is."""
    command = ["node", "-e", NODE, str(CRATE / "checker.js")]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def third_party(directory: Path, document: Document) -> bool:
    """What the checker of docs/proofs.md says of the proof in a disclosure."""
    proof, head = directory / "of-page.proof", directory / "of-page.head"
    proof.write_text(canonical(document["proof"]) + "\n", "utf-8")
    head.write_text(document["proof"]["head"], "utf-8")
    command = [sys.executable, str(CRATE / "check.py"), str(proof), str(head)]
    return subprocess.run(command, capture_output=True).returncode == 0
