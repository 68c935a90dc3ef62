#!/usr/bin/env python3
"""Attacks on marked vaults by the thousand, against the executable and the oracle.

    python attack.py --runs 20000                 # every class, `make seal-attack`
    python attack.py --runs 500 --classes old     # one class
    python attack.py --oracle-only --runs 5000    # the page against the attackers

Each attack starts with a fresh state directory, so that only the folder can tell. An outcome:

    refused        it does not verify
    unchanged      every byte is as it was
    lagging        it verifies with a warning, and says what the vault says
    earlier        it verifies, and is a state that the vault was in
    cut-revocation with a revoked key: the revocation is cut off
    cut-adoption   the adoption is cut off: the vault is unmarked again, with warnings
    other-vault    it is, as a whole, a state of another vault
    UNSEEN         it verifies without a warning, and some byte is another
    FORGED         it verifies, and the vault was never in this state

The last two must not occur. On some of what is refused the owner appends, too: it is SEALED OVER if
it then verifies, and the vault was never in the state before. A DISAGREEMENT is a verdict that the
oracle does not share.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import oracle
import writing
from attacker import Attacker
from attacking import carry_out, copy_of, foreign_of
from forge import Signer
from honest import Evidence, Executable, History, Owner, PaperOwner, checkpoint, evidence, live
from names import ADOPTION, INTENT, KEYFILE, LOG
from oracle_line import Verdict
from support import installed_executable
from writing import Files, joined, lines_of

#: The classes, and what part of the runs each gets beside the first.
CLASSES = ("current", "old", "copies", "revoked-null", "revoked-last", "revoked-old")
BAD = ("UNSEEN", "FORGED")
#: Of so many attacks that are refused, on one the owner writes on.
WRITES_ON = 5
#: Attacks on one vault before the next is made.
EACH = 100

#: What a report says of a vault that verifies, and the oracle need not say too.
NOT_DERIVED = {"W008"}


@dataclass
class Found:
    """Something that must not be."""

    kind: str
    group: str
    steps: list[str]
    seed: str
    report: str
    judged: str
    files: Files = field(repr=False)
    before: Files = field(repr=False)


@dataclass
class Tally:
    counts: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    found: list[Found] = field(default_factory=list)
    unsure: int = 0

    def add(self, other: Tally) -> None:
        self.counts += other.counts
        self.found += other.found
        self.unsure += other.unsure


@dataclass(frozen=True)
class Report:
    """What a verification came to: of the executable, or of the oracle in its place."""

    valid: bool
    errors: frozenset[str]
    warnings: frozenset[str]
    text: str


class Bench:
    """A place in memory where one vault after another is put and verified."""

    def __init__(self, executable: Path | None, place: Path) -> None:
        self.executable = executable
        self.vault, self.home = place / "attacked", place / "empty"
        self.there: Files = {}
        self.vault.mkdir()
        for empty in ("artifacts/cas", "state"):
            (self.vault / empty).mkdir(parents=True)

    def put(self, files: Files) -> None:
        """Only what differs from the vault before is written."""
        for path in set(self.there) - set(files):
            (self.vault / path).unlink()
        for path, data in files.items():
            if self.there.get(path) != data:
                target = self.vault / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        self.there = dict(files)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        """One command, on a machine that remembers nothing."""
        assert self.executable is not None
        if self.home.exists():
            shutil.rmtree(self.home)
        self.home.mkdir()
        return subprocess.run(
            [self.executable, *arguments],
            capture_output=True,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            timeout=60,
            check=False,
        )

    def append(self, files: Files, keys: Sequence[Signer]) -> Files:
        """What an owner makes of a vault who appends to it."""
        self.put(files)
        keyfile = self.vault.parent / "owner.json"
        keyfile.write_text(writing.keyfile_text(*keys))
        words = ["--type", writing.NOTE, "--allow-unregistered", "--data", "{}"]
        done = self.run("append", self.vault, *words, "--actor", "owner", "--keyfile", keyfile)
        assert b"panicked" not in done.stderr, done.stderr.decode()
        for empty in ("artifacts/cas", "state"):
            (self.vault / empty).mkdir(parents=True, exist_ok=True)
        self.there = writing.read_from(self.vault)
        if done.returncode != 0 and self.there != files:
            # It may have settled an intent, or moved a torn tail out, and refused then.
            assert set(files) & {INTENT} or not files[LOG].endswith(b"\n"), done.stderr.decode()
        return self.there

    def verify(self, files: Files) -> Report:
        self.put(files)
        done = self.run("verify", "--json", "--no-cache", self.vault)
        text = (done.stdout + done.stderr).decode()
        if done.returncode not in (0, 1) or "panicked" in text:
            return Report(False, frozenset({f"exit {done.returncode}"}), frozenset(), text)
        report = json.loads(done.stdout)
        codes = {each["code"].removeprefix("PROVARA_") for each in report["findings"]}
        assert report["valid"] is (done.returncode == 0), text
        return Report(
            done.returncode == 0,
            frozenset(code for code in codes if code.startswith("E")),
            frozenset(code for code in codes if code.startswith("W")),
            text,
        )


def of_oracle(verdict: Verdict) -> Report:
    return Report(verdict.valid, frozenset(verdict.codes), frozenset(verdict.warned), str(verdict))


@dataclass
class Scene:
    """A vault to attack, and what may be at hand."""

    group: str
    history: History
    foreign: History
    known: set[Evidence]
    of_foreign: set[Evidence]
    genuine: frozenset[str]
    #: The id of the adoption that marked the vault, if `GENESIS` does not.
    adoption: bytes
    #: The keys that count today, the first of them the owner's.
    owner: list[Signer]


def classify(scene: Scene, files: Files, report: Report, judged: Verdict) -> str:
    history = scene.history
    if not report.valid:
        return "refused"
    shown = {path: data for path, data in files.items() if path != KEYFILE}
    if shown == history.current:
        return "unchanged"
    now = evidence(files)
    genesis = lines_of(files[LOG])[0]
    if genesis != lines_of(history.current[LOG])[0]:
        if now in scene.of_foreign:
            return "other-vault"
        # A vault that the attacker founded, with keys of his own throughout.
        return "other-vault" if b'"GENESIS"' in genesis else "FORGED"
    if scene.group != "current" and shown in (*history.rest, *history.between, *scene.foreign.rest):
        return "earlier"
    if scene.adoption and scene.adoption not in files[LOG]:
        # It is unmarked again, or marked by somebody to whom no signed event leads.
        return "cut-adoption" if report.warnings else "UNSEEN"
    if scene.group.startswith("revoked") and history.revocation.encode() not in files[LOG]:
        return "cut-revocation"
    allowed = {evidence(history.current)} if scene.group == "current" else scene.known
    beside = {writing.sha256(data) for path, data in files.items() if checkpoint(path)}
    mine = {writing.sha256(data) for path, data in history.current.items() if checkpoint(path)}
    dropped = scene.group == "current" and beside != mine
    if now not in allowed or beside - scene.genuine or dropped:
        return "FORGED"
    if not report.warnings:
        return "UNSEEN"
    return "lagging" if now == evidence(history.current) else "earlier"


def rotation_of(group: str) -> str:
    fixed = {"revoked-null": "null", "revoked-last": "last", "revoked-old": "null", "copies": "no"}
    return fixed.get(group, "maybe")


def scene_of(
    group: str, rng: random.Random, executable: Path | None, place: Path, paper: bool = False
) -> Scene:
    """A vault with a history, made by the executable where there is one."""
    adopted = group in ("current", "old") and rng.random() < 0.15
    owner: Owner | PaperOwner
    if executable is None or paper:
        owner = PaperOwner(rng, judged=executable is None)
        owner.begin(marked=not adopted)
    else:
        owner = Owner(Executable(executable, place / "home"), place, rng)
        (place / "home").mkdir()
        if adopted:
            drafted = PaperOwner(rng)
            start = drafted.begin(marked=False)
            owner.begin(start.current, start.keys)
        else:
            owner.begin()
    if adopted:
        owner.adopt()
    history = live(owner, rng, rotation=rotation_of(group))
    judged = executable is None
    known = history.known
    if group == "copies":
        foreign = copy_of(history, rng, judged)
        known |= foreign.known
    else:
        foreign = foreign_of(history.keys, rng, judged)
    marked_by_genesis = b'"seal_policy"' in lines_of(history.current[LOG])[0]
    adoptions = [
        json.loads(line)["event_id"].encode()
        for line in lines_of(history.current[LOG])
        if json.loads(line)["type"] == ADOPTION
    ]
    return Scene(
        group,
        history,
        foreign,
        known,
        foreign.known,
        history.genuine | foreign.genuine,
        b"" if marked_by_genesis else adoptions[0],
        [owner.signer, owner.quorum],
    )


def attacks(scene: Scene, rng: random.Random) -> Iterator[Attacker]:
    group = scene.group
    while True:
        stolen: Signer | None = scene.history.revoked if group.startswith("revoked") else None
        yield Attacker(
            scene.history,
            scene.foreign,
            rng,
            old=group in ("old", "copies", "revoked-old"),
            stolen=stolen,
        )


def run_scene(
    group: str, seed: str, count: int, executable: Path | None, paper: bool = False
) -> Tally:
    """One vault, and so many attacks on it."""
    rng = random.Random(seed)
    tally = Tally()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        place = Path(directory)
        scene = scene_of(group, rng, executable, place, paper)
        bench = Bench(executable, place)
        honest_states(scene, bench, tally, seed)
        for number, attacker in zip(range(count), attacks(scene, rng), strict=False):
            files = carry_out(attacker)
            judged = oracle.judge(files, scene.genuine)
            report = bench.verify(files) if executable else of_oracle(judged)
            outcome = classify(scene, files, report, judged)
            tally.counts[group, outcome] += 1
            if judged.unsure and judged.valid:
                tally.unsure += 1
            kinds = [outcome] if outcome in BAD else []
            if executable and outcome == "refused" and number % WRITES_ON == 0:
                kinds += writes_on(scene, bench, files)
            kinds += disagreement(report, judged)
            for kind in kinds:
                found = Found(
                    kind,
                    group,
                    attacker.steps,
                    f"{seed} #{number}",
                    report.text,
                    str(judged),
                    files,
                    scene.history.current,
                )
                tally.found.append(found)
                tally.counts[group, kind] += kind not in BAD
    return tally


def writes_on(scene: Scene, bench: Bench, files: Files) -> list[str]:
    """Whether an owner who appends to a vault that is refused makes it verify."""
    if LOG not in files:
        return []
    after = bench.append(files, scene.owner)
    report = bench.verify(after)
    lines = lines_of(after[LOG])
    if not report.valid or b'"actor":"owner"' not in lines[-1]:
        return []
    before = {**after, LOG: joined(lines[:-1])}
    genesis = lines_of(scene.history.current[LOG])[0]
    if lines[0] != genesis or evidence(before) in scene.known:
        return []
    if scene.adoption and scene.adoption not in after[LOG] and report.warnings:
        return []
    return ["SEALED OVER"]


def disagreement(report: Report, judged: Verdict) -> list[str]:
    if judged.unsure and judged.valid:
        return []
    if report.valid != judged.valid:
        return ["DISAGREEMENT"]
    if report.valid and report.warnings - NOT_DERIVED != judged.warned - NOT_DERIVED:
        return ["DISAGREEMENT (warnings)"]
    return []


def honest_states(scene: Scene, bench: Bench, tally: Tally, seed: str) -> None:
    """What the owner left verifies without a warning about the seal, and the oracle agrees."""
    for number, files in enumerate(scene.history.rest):
        judged = oracle.judge(files, scene.genuine)
        report = bench.verify(files) if bench.executable else of_oracle(judged)
        expected = {"W002", "W001", "W009"} if not judged.marked else set()
        kinds = disagreement(report, judged)
        if not report.valid or report.warnings - {"W003", "W004", "W005"} - expected:
            kinds.append("HONEST REFUSED")
        for kind in kinds:
            steps = scene.history.operations[: number + 1]
            tally.counts[scene.group, kind] += 1
            tally.found.append(
                Found(kind, scene.group, steps, seed, report.text, str(judged), files, files)
            )


def shares(runs: int, classes: list[str]) -> dict[str, int]:
    """The first class gets all runs, each other one a quarter as many."""
    return {group: runs if group == classes[0] else max(1, runs // 4) for group in classes}


def campaign(
    runs: int,
    classes: list[str],
    seed: int,
    executable: Path | None,
    jobs: int = 1,
    paper: bool = False,
) -> Tally:
    work = [
        (group, f"{group} {seed} {start // EACH}", min(EACH, count - start), executable, paper)
        for group, count in shares(runs, classes).items()
        for start in range(0, count, EACH)
    ]
    tally = Tally()
    if jobs == 1:
        for each in work:
            tally.add(run_scene(*each))
        return tally
    with ProcessPoolExecutor(jobs) as pool:
        for part in pool.map(run_scene, *zip(*work, strict=True)):
            tally.add(part)
    return tally


def keep(found: list[Found], directory: Path) -> None:
    """Puts each finding on the disk: the vault, the one before, and what was said."""
    for number, each in enumerate(found):
        place = directory / f"{number:03} {each.kind}"
        shutil.rmtree(place, ignore_errors=True)
        writing.write_to(each.files, place / "vault")
        writing.write_to(each.before, place / "before")
        words = [each.group, each.seed, " ".join(each.steps), each.judged, each.report]
        (place / "what.txt").write_text("\n".join(words) + "\n")


def show(tally: Tally) -> None:
    groups = sorted({group for group, _ in tally.counts})
    outcomes = sorted({outcome for _, outcome in tally.counts})
    for group in groups:
        total = sum(
            n
            for (g, o), n in tally.counts.items()
            if g == group and not o.startswith(("DIS", "HON", "SEALED"))
        )
        counts = [f"{outcome} {tally.counts[group, outcome]}" for outcome in outcomes]
        print(f"{group:14} {total:6}  " + ", ".join(c for c in counts if not c.endswith(" 0")))
    if tally.unsure:
        print(f"not judged by the oracle (a checkpoint's state): {tally.unsure}")
    for each in tally.found[:40]:
        print(f"{each.kind} [{each.seed}] {' '.join(each.steps)}\n    oracle: {each.judged}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="attacks of the first class")
    parser.add_argument("--classes", nargs="+", choices=CLASSES, default=list(CLASSES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--oracle-only", action="store_true")
    parser.add_argument("--executable", type=Path)
    parser.add_argument("--paper", action="store_true", help="vaults of the Python writer")
    parser.add_argument("--keep", type=Path, help="where findings go")
    arguments = parser.parse_args()
    executable = arguments.executable or (None if arguments.oracle_only else installed_executable())
    start = time.monotonic()
    tally = campaign(
        arguments.runs,
        arguments.classes,
        arguments.seed,
        executable,
        arguments.jobs,
        arguments.paper,
    )
    show(tally)
    print(f"{time.monotonic() - start:.0f} s")
    if arguments.keep:
        keep(tally.found, arguments.keep)
    return 1 if tally.found else 0


if __name__ == "__main__":
    sys.exit(main())
