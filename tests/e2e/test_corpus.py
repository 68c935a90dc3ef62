"""The judged vaults: the executable, the independent reader and the index against each other."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import independent
import pytest
from conftest import CORPUS
from support import LOG, Outcome, Provara, events, fingerprint


def table(name: str) -> list[dict[str, str]]:
    with open(CORPUS / name, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


INDEX = [(row["name"], row["expected"]) for row in table("INDEX.tsv")]


def names(expected: str) -> list[str]:
    return [name for name, verdict in INDEX if verdict == expected]


class Finding(NamedTuple):
    """What `CODES.tsv` says of a vault, and what a report says."""

    code: str
    line: int | None
    file: str


#: What must be found in a vault, and which of it is the fault itself.
FOUND: dict[str, list[Finding]] = defaultdict(list)
FAULT: dict[str, Finding] = {}
for _row in table("CODES.tsv"):
    _finding = Finding(_row["code"], int(_row["line"]) if _row["line"] else None, _row["file"])
    FOUND[_row["name"]].append(_finding)
    if _row["role"] == "fault":
        assert _row["name"] not in FAULT
        FAULT[_row["name"]] = _finding

#: What most of these vaults have beside their fault: older forms, and a stale `manifest.sig`.
COMMON = {"PROVARA_W001", "PROVARA_W007", "PROVARA_W009"}


def found(name: str, report: dict[str, Any]) -> list[Finding]:
    """The findings of a report, in its order, without what most vaults have beside theirs."""
    findings = [Finding(each["code"], each["line"], each["file"]) for each in report["findings"]]
    return [each for each in findings if each.code not in COMMON or each in FOUND.get(name, [])]


def test_the_table_names_every_vault_with_a_fault() -> None:
    assert set(FAULT) == set(FOUND) == {name for name, verdict in INDEX if verdict != "valid"}


@pytest.mark.parametrize("name", names("valid"))
def test_valid_vaults_verify(provara: Provara, corpus: Path, name: str) -> None:
    report = provara.run("verify", corpus / name, "--json").json()
    assert report["valid"] is True
    assert found(name, report) == []
    lines = (corpus / name / LOG).read_bytes().count(b"\n")
    assert report["event_count"] == lines


@pytest.mark.parametrize("name", names("valid"))
def test_strict_fails_only_on_a_warning(provara: Provara, corpus: Path, name: str) -> None:
    """`--strict` adds nothing of its own: it turns the warnings that are shown into a failure."""
    findings = provara.run("verify", corpus / name, "--json").json()["findings"]
    outcome = provara.run("verify", corpus / name, "--strict", expect=1 if findings else 0)
    shown = outcome.stdout + outcome.stderr
    assert all(finding["code"] in shown for finding in findings), str(outcome)
    stale = any(problem.code == "SEAL" for problem in independent.check(corpus / name).warnings)
    assert stale == any(finding["code"] == "PROVARA_W001" for finding in findings)


@pytest.mark.parametrize("name", FAULT)
def test_a_fault_is_found_where_it_is(provara: Provara, corpus: Path, name: str) -> None:
    """Every code at its place, what follows from it, and nothing else."""
    invalid = (name, "invalid") in INDEX
    report = provara.run("verify", corpus / name, "--json", expect=1 if invalid else 0).json()
    assert report["valid"] is not invalid
    assert found(name, report) == FOUND[name]
    provara.run("verify", corpus / name, "--strict", expect=1)


def test_a_finding_names_the_event(provara: Provara, corpus: Path) -> None:
    vault = corpus / "x_payload_edited"
    report = provara.run("verify", vault, "--json", expect=1).json()
    changed = events(vault)[100]
    named = {
        (each["event_id"], each["actor"]) for each in report["findings"] if each["line"] == 101
    }
    assert named == {(changed["event_id"], changed["actor"])}


@pytest.mark.parametrize("name", names("invalid"))
def test_a_person_is_told_the_code_and_the_place(provara: Provara, corpus: Path, name: str) -> None:
    """Of every finding with `--all`; without, what follows from another is counted below it."""

    def placed(finding: Finding, outcome: Outcome) -> bool:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        heads = (text for text in outcome.stdout.splitlines() if f"{finding.code} " in text)
        return any(text.endswith(f"  {place}") for text in heads)

    whole = provara.run("verify", corpus / name, "--all", expect=1)
    short = provara.run("verify", corpus / name, expect=1)
    assert placed(FAULT[name], short), str(short)
    for finding in FOUND[name]:
        assert placed(finding, whole), str(whole)
        counted = re.search(rf"follows? from it: .*{finding.code} \w+ \(\d+\)", short.stdout)
        assert placed(finding, short) or counted, str(short)


@pytest.mark.parametrize(("name", "expected"), INDEX)
def test_verifying_leaves_the_vault_alone(
    provara: Provara, copied_corpus: Path, name: str, expected: str
) -> None:
    before = fingerprint(copied_corpus / name)
    provara.run("verify", copied_corpus / name, expect=1 if expected == "invalid" else 0)
    assert fingerprint(copied_corpus / name) == before


@pytest.mark.parametrize(("name", "expected"), INDEX)
def test_the_independent_reader_agrees(corpus: Path, name: str, expected: str) -> None:
    """Two programs that share no code give each vault one verdict, for the same reason."""
    result = independent.check(corpus / name)
    assert bool(result.errors) == (expected == "invalid"), result.problems
    if expected == "invalid":
        assert FAULT[name].code.removeprefix("PROVARA_") in result.codes, result.problems
    if expected == "valid-with-warning":
        assert result.warnings
