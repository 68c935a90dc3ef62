#!/usr/bin/env python3
"""The crash states of the real writer, judged by the executable and by the oracle.

`crates/provara-vault/tests/all/crash_enumeration.rs` enumerates them and writes each one out:

    CRASH_STATES_OUT=DIR CRASH_ENUMERATION=all cargo test -p provara-vault --test all crash_enumeration::
    python crash.py DIR

A state is a line of `DIR/<operation>.ndjson`: what the library said of it, and its files by their
hashes, whose bytes are below `DIR/blobs`. The two must agree on every one: on the verdict, and where
it is valid on the warnings.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import oracle
import writing
from attack import Bench, Report, disagreement
from support import installed_executable
from writing import Files


@dataclass(frozen=True)
class State:
    """A state as it was written out, and what the library said of it."""

    operation: str
    files: Files
    valid: bool
    codes: frozenset[str]


def states(directory: Path) -> Iterator[State]:
    blobs: dict[str, bytes] = {}

    def blob(digest: str) -> bytes:
        if digest not in blobs:
            blobs[digest] = (directory / "blobs" / digest).read_bytes()
        return blobs[digest]

    for listing in sorted(directory.glob("*.ndjson")):
        with listing.open() as lines:
            for line in lines:
                state = json.loads(line)
                files = {path: blob(digest) for path, digest in state["files"].items()}
                codes = frozenset(code.removeprefix("PROVARA_") for code in state["codes"])
                yield State(listing.stem, files, state["valid"], codes)


def of_library(state: State) -> Report:
    errors = frozenset(code for code in state.codes if code.startswith("E"))
    return Report(state.valid, errors, state.codes - errors, "")


def genuine(files: Files) -> frozenset[str]:
    """The enumerated writer makes every checkpoint, and makes it right."""
    return frozenset(writing.sha256(data) for path, data in files.items() if path.endswith(".chk"))


def judge(directory: Path, executable: Path | None, keep: Path | None) -> bool:
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    good = True
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as place:
        bench = Bench(executable, Path(place))
        for number, state in enumerate(states(directory)):
            judged = oracle.judge(state.files, genuine(state.files))
            kinds = []
            if executable:
                report = bench.verify(state.files)
                kinds = disagreement(report, judged)
                said = report.text
                if report.valid is not state.valid:
                    kinds.append("LIBRARY AND EXECUTABLE")
            else:
                said = f"{state.valid} {sorted(state.codes)}"
                kinds = disagreement(of_library(state), judged)
            counts[state.operation, "valid" if judged.valid else "to be repaired"] += 1
            for kind in kinds:
                good = False
                counts[state.operation, kind] += 1
                if counts[state.operation, kind] <= 5:
                    print(f"{kind} {state.operation} #{number}\n    {judged}\n    {said}")
                    if keep:
                        target = keep / f"{state.operation} {kind} {number}"
                        writing.write_to(state.files, target)
    for (operation, kind), count in sorted(counts.items()):
        print(f"{operation:24} {kind:16} {count:7}")
    print(f"{sum(n for (_, k), n in counts.items() if k in ('valid', 'to be repaired'))} states")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--executable", type=Path)
    parser.add_argument(
        "--library",
        action="store_true",
        dest="against_library",
        help="against the library's verdicts",
    )
    parser.add_argument("--keep", type=Path, help="where states go on which they disagree")
    arguments = parser.parse_args()
    executable = None
    if not arguments.against_library:
        executable = arguments.executable or installed_executable()
    start = time.monotonic()
    good = judge(arguments.directory, executable, arguments.keep)
    print(f"{time.monotonic() - start:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
