#!/usr/bin/env python3
"""Fails where what signs depends on the crate whose running time depends on its inputs.

`provara-signatures` verifies with tables that are looked into at places that the inputs decide. That is right
for what is public and would give away a secret key, so nothing that holds one may reach it.

Usage: scripts/no_variable_time.py [cargo]
"""

from __future__ import annotations

import subprocess
import sys

SIGNS = "provara-core"
VARIABLE_TIME = "provara-signatures"


def dependencies(cargo: str, package: str) -> set[str]:
    """The names of all packages that a package is built with, itself included, for every platform."""
    command = f"{cargo} tree --locked --package {package} --target all --all-features"
    listed = ["--edges", "normal,build", "--prefix", "none", "--format", "{lib} {p}"]
    done = subprocess.run([*command.split(), *listed], check=True, capture_output=True, text=True)
    return {words[1] for line in done.stdout.splitlines() if len(words := line.split()) > 1}


def main() -> int:
    cargo = sys.argv[1] if len(sys.argv) > 1 else "cargo"
    found = dependencies(cargo, SIGNS)
    if SIGNS not in found:
        print(f"ERROR: cargo tree does not name {SIGNS}", file=sys.stderr)
        return 1
    if VARIABLE_TIME in found:
        print(f"ERROR: {SIGNS} signs, and depends on {VARIABLE_TIME}", file=sys.stderr)
        return 1
    print(
        f"{SIGNS}, which signs: {VARIABLE_TIME} is not among the {len(found)} packages of its build"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
