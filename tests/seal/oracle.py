#!/usr/bin/env python3
"""A second verifier of marked vaults, after spec/VAULT_FORMAT.md alone.

It judges a vault as a dictionary from path to bytes, shares no code with the product, and favours
plainness over speed. What a line shows by itself is remembered by its bytes, so that thousands of
variations of one vault are judged in milliseconds each.

    python oracle.py VAULT…       # one verdict a line

Not derived here: the state in a checkpoint (its signature and its place are checked; a checkpoint
that the caller does not name as genuine is reported as `unsure`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from oracle_line import Verdict
from oracle_log import Judge
from oracle_seal import SealJudge


def judge(files: Mapping[str, bytes], genuine: frozenset[str] = frozenset()) -> Verdict:
    """The verdict on a vault. `genuine` are the hashes of checkpoints whose states are right."""
    judged = Judge(files, genuine)
    judged.judge()
    SealJudge(judged).judge()
    return judged.out


def read(vault: Path) -> dict[str, bytes]:
    return {
        path.relative_to(vault).as_posix(): path.read_bytes()
        for path in sorted(vault.rglob("*"))
        if path.is_file()
    }


def main() -> int:
    worst = 0
    for name in sys.argv[1:]:
        verdict = judge(read(Path(name)))
        print(f"{name}: {verdict}")
        worst |= not verdict.valid
    return worst


if __name__ == "__main__":
    sys.exit(main())
