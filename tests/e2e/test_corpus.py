"""The judged vaults: the executable, the independent reader and the index against each other."""

from __future__ import annotations

import csv
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

import independent
import pytest
from conftest import CORPUS
from support import Provara, fingerprint

LOG = "events/events.ndjson"


def index() -> list[tuple[str, str]]:
    with open(CORPUS / "INDEX.tsv", newline="") as table:
        return [(row["name"], row["expected"]) for row in csv.DictReader(table, delimiter="\t")]


INDEX = index()


def names(expected: str) -> list[str]:
    return [name for name, verdict in INDEX if verdict == expected]


@dataclass(frozen=True)
class Verdict:
    """What an invalid vault must get, and what may follow from it but need not."""

    code: str
    line: int | None = None
    file: str = LOG
    consequences: Set[tuple[str, int | None]] = frozenset()


# Where one event of a chain is lost, the actor's next event (line 107) points at nothing.
NEXT_OF_ACTOR = {("E006", 107), ("E002", 107)}

INVALID = {
    "v_successor": Verdict("E204", 1, consequences={("E004", 1), ("E006", 2), ("E002", 2)}),
    "x_blank_line": Verdict("E104", 101),
    "x_checkpoint_no_manifest": Verdict("E302", None, "checkpoints/0000000200.chk"),
    "x_duplicate_event": Verdict("E007", 102, consequences={("E002", 102)}),
    "x_duplicate_json_key": Verdict("E104", 101, consequences=NEXT_OF_ACTOR),
    "x_forked_chain": Verdict("E002", 201),
    "x_last_event_deleted": Verdict("E011", None, consequences={("E012", None)}),
    "x_malformed_json_middle": Verdict("E104", 101, consequences=NEXT_OF_ACTOR),
    "x_manifest_path_traversal": Verdict("E302", None, "manifest.json"),
    "x_manifest_stale": Verdict("E011", None, consequences={("E012", None)}),
    "x_non_utf8_byte": Verdict("E104", 101, consequences=NEXT_OF_ACTOR),
    "x_noncanonical_whitespace": Verdict("E104", 101),
    "x_payload_edited": Verdict("E004", 101, consequences={("E003", 101)}),
    "x_payload_edited_resigned": Verdict("E004", 101),
    "x_phantom_file": Verdict("E302", None, "artifacts/cas/phantom.bin"),
    "x_prev_missing": Verdict("E006", 200),
    "x_sig_removed": Verdict("E300", 101, consequences=NEXT_OF_ACTOR),
    "x_trailing_garbage": Verdict("E104", 201),
    "x_truncated_last_line": Verdict("E104", 200),
    "x_unknown_key": Verdict("E204", 200),
}


def test_the_table_names_every_invalid_vault() -> None:
    assert set(INVALID) == set(names("invalid"))


@pytest.mark.parametrize("name", names("valid"))
def test_valid_vaults_verify(provara: Provara, corpus: Path, name: str) -> None:
    report = provara.run("verify", corpus / name, "--json").json()
    assert report["valid"] is True
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    assert errors == []
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


@pytest.mark.parametrize("name", names("valid-with-warning"))
def test_doubtful_vaults_verify_with_a_warning(provara: Provara, corpus: Path, name: str) -> None:
    report = provara.run("verify", corpus / name, "--json").json()
    assert report["valid"] is True
    warnings = [finding for finding in report["findings"] if finding["severity"] == "warning"]
    assert warnings, report
    words = {
        "x_last_event_deleted_remanifest": "manifest.sig",
        "x_no_final_newline": LOG,
        "x_other_actors_key": "key",
    }[name]
    assert any(words in f"{finding['file']} {finding['message']}" for finding in warnings), report
    provara.run("verify", corpus / name, "--strict", expect=1)


@pytest.mark.parametrize("name", names("invalid"))
def test_invalid_vaults_get_their_code(provara: Provara, corpus: Path, name: str) -> None:
    verdict = INVALID[name]
    outcome = provara.run("verify", corpus / name, "--json", expect=1)
    report = outcome.json()
    assert report["valid"] is False
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    found = {(finding["code"].removeprefix("PROVARA_"), finding["line"]) for finding in errors}
    assert (verdict.code, verdict.line) in found, str(outcome)
    assert found - {(verdict.code, verdict.line)} <= verdict.consequences, str(outcome)
    place = [f["file"] for f in errors if f["code"] == f"PROVARA_{verdict.code}"]
    assert verdict.file in place, str(outcome)


@pytest.mark.parametrize("name", names("invalid"))
def test_a_person_is_told_the_code_and_the_place(provara: Provara, corpus: Path, name: str) -> None:
    verdict = INVALID[name]
    outcome = provara.run("verify", corpus / name, expect=1)
    shown = outcome.stdout + outcome.stderr
    assert f"PROVARA_{verdict.code}" in shown, str(outcome)
    assert (str(verdict.line) if verdict.line else verdict.file) in shown, str(outcome)


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
    if name in INVALID:
        assert INVALID[name].code in result.codes, result.problems
    if expected == "valid-with-warning":
        assert result.warnings
