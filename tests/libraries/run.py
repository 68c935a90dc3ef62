"""Try what plugin authors use, in plugins of each kind inside the full sandbox, and write the table of
docs/tutorials/libraries.md.

    python run.py ENVIRONMENT [--table FILE]

ENVIRONMENT is a virtual environment that has ``provara`` and requirements.txt.  Exits with 1 where a
library does not do what the table says of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

import cases

HERE = Path(__file__).parent
KINDS = {
    "event type": ("append", "--data", "{}", "--type"),
    "reducer": ("reduce", "--plugin"),
    "export": ("export", "--output", "OUTPUT", "--format"),
}

#: What is refused in plugins of every kind, and why.
REFUSED = {"requests": "refused: the network. An export reaches it with `--allow-net`"}

#: What works if it is told something.
SETTINGS = {"wasmtime": "works with `Config.memory_reservation = 0`; else it reserves 4 GiB"}

BEGIN = "<!-- Made by `make libraries`; do not edit. -->\n"
END = "<!-- The end of the table. -->\n"


class Tried(NamedTuple):
    """What one kind of plugin came to."""

    works: bool
    report: dict[str, float]
    said: str


def attempt(environment: Path, vault: Path, kind: str, index: int) -> Tried:
    """Run one plugin of a kind."""
    name = f"com.example.libraries.n{index}"
    with tempfile.TemporaryDirectory() as place:
        command, *words = [word.replace("OUTPUT", f"{place}/out") for word in KINDS[kind]]
        options = ["--sandbox=require", "--timeout=300"]
        done = subprocess.run(
            [environment / "bin" / "provara", command, vault, *words, name, *options],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": place,
                "PYTHONPATH": str(HERE),
                "PROVARA_PLUGINS": "as_plugins",
            },
            capture_output=True,
            text=True,
        )
    reports = [line for line in done.stderr.splitlines() if "REPORT {" in line]
    report = json.loads(reports[-1].split("REPORT ", 1)[1]) if reports else {}
    return Tried(done.returncode == 0, report, done.stderr)


def versions(environment: Path) -> dict[str, str]:
    """The versions of what is installed, by the name in small letters."""
    site = [str(path) for path in environment.glob("lib/python*/site-packages")]
    found = {str(one.metadata["Name"]).lower(): one.version for one in distributions(path=site)}
    code = "import sys; print(sys.version.split()[0])"
    said = subprocess.check_output([environment / "bin" / "python", "-c", code], text=True)
    found["the standard library"] = said.strip()
    return found


def row(case: cases.Case, version: str, tried: dict[str, Tried]) -> str:
    """A line of the table."""
    reports = [one.report for one in tried.values() if one.report]
    times = [
        f"{min(report[what] for report in reports):.2f}" if reports else "-"
        for what in ("import", "use")
    ]
    name = case.distribution.lower()
    result = REFUSED.get(name) or SETTINGS.get(name) or "works"
    return " | ".join(
        [f"| {case.distribution} {version}", f"`{case.module}`", case.use, *times, f"{result} |"]
    )


def main() -> int:
    """Try all of them, or those that are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("environment", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("names", nargs="*")
    arguments: Any = parser.parse_args()
    environment = Path(os.path.abspath(arguments.environment))
    installed = versions(environment)
    wrong: list[str] = []
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        vault = Path(directory) / "vault"
        subprocess.run(
            [environment / "bin" / "provara", "init", vault], check=True, capture_output=True
        )
        for index, (name, case) in enumerate(cases.CASES.items()):
            if arguments.names and name not in arguments.names:
                continue
            tried = {kind: attempt(environment, vault, kind, index) for kind in KINDS}
            for kind, one in tried.items():
                if one.works == (name in REFUSED):
                    wrong.append(f"{name}, {kind}: works is {one.works}")
                    print(f"--- {wrong[-1]}\n{one.said}", file=sys.stderr)
            rows.append(row(case, installed[name], tried))
            print(rows[-1], flush=True)
    if arguments.table is not None:
        text = arguments.table.read_text()
        before, rest = text.split(BEGIN)
        head = (
            "| library | import | tried | import, s | use, s | in an event type, a reducer, an export |\n"
            "| --- | --- | --- | --- | --- | --- |\n"
        )
        table = head + "\n".join(rows) + "\n"
        arguments.table.write_text(before + BEGIN + "\n" + table + "\n" + END + rest.split(END)[1])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
