"""Measures what a person waits for, with the installed executable: medians of wall-clock times.

    make bench

`provara --version` and an append of a plugin's event stand beside a bare interpreter start,
since absolute times say little on a shared machine: the ratio holds. The runs of the
commands are interleaved, so that a slow phase of the machine hits all of them. What the sandbox
around plugins add is the median of the differences of pairs, with and without them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SANDBOXED, BARE = "plugins list, sandbox", "plugins list, no sandbox"
#: What the sandbox may add to a start, in milliseconds.
SANDBOX_BUDGET = 5.0
LOGIN = '{"user_id":"alice","success":true,"ip_address":"192.168.1.1"}'


@dataclass
class Case:
    """One command, its budget in milliseconds where it has one, and its times in milliseconds."""

    name: str
    command: Callable[[], list[str]]
    budget: float | None = None
    times: list[float] = field(default_factory=list)

    def run(self, environment: dict[str, str]) -> None:
        words = self.command()
        begin = time.perf_counter()
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env=environment)
        self.times.append((time.perf_counter() - begin) * 1000)
        if done.returncode != 0:
            sys.exit(f"$ {' '.join(words)}\n{done.stderr.decode()}")

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def environment_with_plugins(directory: Path) -> dict[str, str]:
    """Puts the example package on Python's path as pip would install it, and nothing else."""
    site = directory / "site"
    source = directory / "acme-provara-plugins"
    shutil.copytree(
        ROOT / "examples" / "acme-provara-plugins",
        source,
        ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"),
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "install",
            "--no-index",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            site,
            source,
        ],
        check=True,
    )
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(site),
    }


def cases(executable: Path, vault: Path) -> list[Case]:
    """What is measured. Each command may be run any number of times."""
    provara = str(executable)
    return [
        Case("python3 -c pass", lambda: [sys.executable, "-c", "pass"]),
        Case("provara --version", lambda: [provara, "--version"], budget=10),
        Case(
            "append, core type",
            lambda: [provara, "append", str(vault), "--type", "OBSERVATION", "--data", LOGIN],
        ),
        Case(
            "append, plugin's type",
            lambda: [
                provara,
                "append",
                str(vault),
                "--type",
                "com.acme.audit.login",
                "--data",
                LOGIN,
            ],
            budget=150,
        ),
        Case(
            "reduce --plugin",
            lambda: [provara, "reduce", str(vault), "--plugin", "com.acme.compliance.monitor"],
        ),
        Case(SANDBOXED, lambda: [provara, "plugins", "list", "--sandbox=require"]),
        Case(BARE, lambda: [provara, "plugins", "list", "--sandbox=off"]),
        Case("verify", lambda: [provara, "verify", str(vault)]),
    ]


def report(measured: list[Case], runs: int) -> bool:
    """Prints the table; says whether every budget was kept."""
    bare = measured[0].median
    print(f"\n{'':24}{'median':>10}{'fastest':>10}{'slowest':>10}{'/ python3':>11}   budget")
    kept = True
    for case in measured:
        verdict = ""
        if case.budget is not None:
            within = case.median < case.budget
            kept = kept and within
            verdict = f"{case.budget:.0f} ms: {'kept' if within else 'MISSED'}"
        print(
            f"{case.name:24}{case.median:>7.1f} ms{min(case.times):>7.1f} ms"
            f"{max(case.times):>7.1f} ms{case.median / bare:>10.2f}x   {verdict}"
        )
    times = {case.name: case.times for case in measured}
    added = statistics.median(a - b for a, b in zip(times[SANDBOXED], times[BARE], strict=True))
    kept = kept and added < SANDBOX_BUDGET
    print(
        f"\nThe sandbox adds {added:.1f} ms to a start of the host "
        f"({SANDBOX_BUDGET:.0f} ms: {'kept' if added < SANDBOX_BUDGET else 'MISSED'})."
    )
    load = os.getloadavg()[0]
    print(f"{runs} runs each, interleaved; load {load:.1f} on {os.cpu_count()} processors.")
    if not kept and load > 1:
        print("The machine was not quiet: the budgets are for one that is.")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=21, help="runs of each command (default 21)")
    parser.add_argument("--require", action="store_true", help="fail if a budget is missed")
    arguments = parser.parse_args()
    executable = Path(sys.executable).parent / "provara"
    if not executable.is_file():
        sys.exit(f"{executable} does not exist: run `make bench`")
    with tempfile.TemporaryDirectory(prefix="provara-bench-") as name:
        directory = Path(name)
        environment = environment_with_plugins(directory)
        vault = directory / "vault"
        subprocess.run(
            [executable, "init", vault], check=True, stdout=subprocess.DEVNULL, env=environment
        )
        measured = cases(executable, vault)
        for _ in range(2):
            for case in measured:
                case.run(environment)
        for case in measured:
            case.times.clear()
        for _ in range(arguments.runs):
            for case in measured:
                case.run(environment)
    kept = report(measured, arguments.runs)
    return 0 if kept or not arguments.require else 1


if __name__ == "__main__":
    sys.exit(main())
