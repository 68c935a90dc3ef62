"""The program of docs/rust.md, built and run outside of the workspace, as a user of the crates would."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from documents import blocks, matches
from support import ROOT

#: Cargo may have to build the crates and all that they depend on.
PATIENCE = 1200.0


def profile() -> str:
    """The workspace's profile for builds of tests: with another one, everything would be built anew."""
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return manifest[manifest.index("[profile.dev]") : manifest.index("[profile.release]")]


def test_a_program_outside_of_the_workspace_uses_the_library(tmp_path: Path) -> None:
    shown = list(blocks(ROOT / "docs/rust.md"))
    for block in shown:
        if block.file is not None:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.replace("../provara/", f"{ROOT}/"), encoding="utf-8")
    (command,) = (block.text for block in shown if block.language == "sh")
    (output,) = (block.text for block in shown if block.language == "text")

    with (tmp_path / "readings/Cargo.toml").open("a", encoding="utf-8") as manifest:
        manifest.write("\n" + profile())
    # The versions that the workspace builds with, which are at hand.
    shutil.copy(ROOT / "Cargo.lock", tmp_path / "readings/Cargo.lock")
    command = command.replace("cargo run", "cargo run --offline")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert matches(output, done.stdout), done.stdout
