"""The older tool, as a black box: what it makes of marked vaults, and what is made of its work.

It is version 1.0.3 from PyPI, in an environment of its own. Where the registry cannot be reached
these tests are left out; PROVARA_OLDER_TOOL names an executable that is there already.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import names
import pytest
import writing
from forge import Signer
from honest import Executable, Owner
from names import ADOPTION, KEY_ADDED, KEYS, LOG, MANIFEST, REDACTION, SIGNATURE, STATEMENT
from support import ROOT, installed_executable
from writing import Files, lines_of, read_from

VERSION = "1.0.3"
#: What is found in every vault that the older tool appended to: its form of lines.
FORM = {"PROVARA_W007"}


@pytest.fixture(scope="session")
def older_tool() -> Path:
    """The executable of the older tool."""
    named = os.environ.get("PROVARA_OLDER_TOOL")
    if named:
        return Path(named)
    place = ROOT / "build" / f"older-{VERSION}"
    executable = place / "bin" / "provara"
    if not executable.is_file():
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", "--without-pip", place], check=True
        )
        python = place / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        package = f"provara-protocol=={VERSION}"
        done = subprocess.run(
            [*pip, "--python", python, "install", "--no-input", package],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"{package} cannot be installed (2026-11-28): {reason}")
    return executable


class Pair:
    """One vault, and both tools."""

    def __init__(self, older: Path, place: Path) -> None:
        self.owner = Owner(
            Executable(installed_executable(), place / "home"), place, random.Random(5)
        )
        self.older = Executable(older, place / "older-home")
        for home in ("home", "older-home"):
            (place / home).mkdir()

    @property
    def vault(self) -> Path:
        return self.owner.vault

    @property
    def files(self) -> Files:
        return read_from(self.vault)

    def old(self, command: str, *arguments: str | Path, expect: int = 0) -> str:
        done = self.older.run(command, self.vault, *arguments, expect=expect)
        return done.stdout + done.stderr

    def old_append(self, actor: str = "older", data: Any = None) -> None:
        words = ["--type", "OBSERVATION", "--data", json.dumps(data or {"value": 1})]
        self.old("append", *words, "--actor", actor, "--keyfile", self.owner.keyfile)

    def ours(self, expect: int = 0) -> set[str]:
        """The codes of our verification."""
        done = self.owner.run("verify", self.vault, "--json", "--no-cache", expect=expect)
        report = json.loads(done.stdout)
        assert report["valid"] is (expect == 0)
        return {finding["code"] for finding in report["findings"]}

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in lines_of(self.files[LOG])]


@pytest.fixture
def pair(older_tool: Path, tmp_path: Path) -> Pair:
    """A marked vault with some events."""
    both = Pair(older_tool, tmp_path)
    both.owner.begin()
    both.owner.append("alice")
    both.owner.batch()
    return both


def test_it_verifies_what_we_write(pair: Pair) -> None:
    owner = pair.owner
    pair.old("verify")
    for step in (
        owner.append,
        owner.batch,
        owner.manifest,
        owner.checkpoint,
        owner.redact,
        owner.adopt,
    ):
        step()
        pair.old("verify")
        assert pair.ours() == set()
    kinds = {event["type"] for event in pair.events()}
    assert {STATEMENT, ADOPTION, REDACTION} <= kinds
    assert any("seal" in event for event in pair.events())


def test_it_verifies_an_added_key(pair: Pair) -> None:
    """An addition, and the entry of `keys.json` that names it."""
    added = Signer("added")
    payload = {
        "added_at_utc": "2026-11-28T00:00:00.000000Z",
        "algorithm": "Ed25519",
        "key_id": added.key_id,
        "public_key_b64": added.entry()["public_key_b64"],
        "roles": ["attestation"],
    }
    words = ["--type", KEY_ADDED, "--allow-unregistered", "--data", json.dumps(payload)]
    pair.owner.run("append", pair.vault, *words, *pair.owner.signed())
    keys = json.loads(pair.files[KEYS])["keys"]
    assert [key.get("addition_event_id") for key in keys] == [
        None,
        None,
        pair.events()[-1]["event_id"],
    ]
    pair.old("verify")
    assert pair.ours() == set()


def test_it_refuses_a_vault_with_a_revoked_key(pair: Pair) -> None:
    """It did with version 1.1.0, too: it takes the status of today for that of every event."""
    pair.owner.rotate()
    assert "not found or revoked" in pair.old("verify", expect=1)
    assert pair.ours() == set()


def test_what_it_appends_is_provable(pair: Pair) -> None:
    before = pair.files
    pair.old_append()
    pair.old_append("alice")
    pair.old_append()
    after = pair.files
    assert after[SIGNATURE] == before[SIGNATURE]
    assert after[KEYS] == before[KEYS]
    assert after[LOG].startswith(before[LOG])
    assert pair.ours() == {"PROVARA_W001", "PROVARA_W014", *FORM}
    # Our next append goes on, and seals it.
    pair.owner.append("alice")
    assert pair.ours() == FORM
    pair.old("verify")
    # Once more, in turn.
    pair.old_append("bob")
    pair.owner.batch()
    assert pair.ours() == FORM
    pair.old("verify")


def test_events_after_its_own_are_not_cut_out(pair: Pair) -> None:
    """Its events name no seal: what is removed behind them is still missed."""
    pair.old_append()
    pair.owner.append("alice")
    files = pair.files
    lines = lines_of(files[LOG])
    del lines[-2]
    files[LOG] = writing.joined(lines)
    writing.relist(files, "2026-11-28T00:00:00.000000Z")
    writing.write_to(files, pair.vault)
    assert "PROVARA_E015" in pair.ours(expect=1)


def test_its_checkpoint_is_unlisted_and_then_listed(pair: Pair) -> None:
    pair.old("checkpoint", "--keyfile", pair.owner.keyfile)
    (checkpoint,) = (path for path in pair.files if path.endswith(".chk"))
    assert checkpoint.encode() not in pair.files[MANIFEST]
    assert pair.ours() == {"PROVARA_W001"}
    pair.owner.append("alice")
    assert checkpoint.encode() in pair.files[MANIFEST]
    assert pair.ours() == set()


def test_its_checkpoint_listed_by_itself(pair: Pair) -> None:
    pair.old("checkpoint", "--keyfile", pair.owner.keyfile)
    pair.old_append()
    assert b".chk" in pair.files[MANIFEST]
    assert pair.ours() == {"PROVARA_W001", "PROVARA_W014", *FORM}
    pair.owner.append("alice")
    assert pair.ours() == FORM


def test_its_manifest_of_an_unchanged_vault(pair: Pair) -> None:
    """It writes the list anew, with another time."""
    before = pair.files
    pair.old("manifest")
    assert pair.files[names.ROOT] == before[names.ROOT]
    assert pair.files[MANIFEST] != before[MANIFEST]
    assert pair.ours() == {"PROVARA_W001"}
    pair.owner.append("alice")
    assert pair.ours() == set()


def test_its_manifest_takes_files_in_that_nobody_sealed(pair: Pair) -> None:
    """Only an owner who has looked can make them part of the vault."""
    (pair.vault / "artifacts" / "new.bin").write_bytes(b"new")
    pair.old("manifest")
    assert pair.ours(expect=1) == {"PROVARA_E015"}
    note = json.dumps({"n": 1})
    words = ["--type", writing.NOTE, "--allow-unregistered", "--data", note]
    refused = pair.owner.run("append", pair.vault, *words, *pair.owner.signed(), expect=1)
    assert "provara adopt" in refused.stderr
    pair.owner.adopt()
    assert pair.ours() == set()
    pair.old("verify")


def test_its_redaction_has_to_be_adopted(pair: Pair) -> None:
    target = next(event for event in pair.events() if event["type"] == writing.NOTE)
    words = ["--target", target["event_id"], "--reason", "OTHER"]
    pair.old("redact", *words, "--keyfile", pair.owner.keyfile)
    pair.old("verify")
    assert "PROVARA_E015" in pair.ours(expect=1)
    pair.owner.adopt()
    assert pair.ours() == {"PROVARA_W012", *FORM}
    pair.old("verify")
    pair.owner.append("alice")
    assert pair.ours() == {"PROVARA_W012", *FORM}


def test_its_redaction_reprints_numbers(pair: Pair) -> None:
    """A number that Python prints otherwise: it refuses the vault before, and breaks the event."""
    words = ["--type", writing.NOTE, "--allow-unregistered", "--actor", "num"]
    pair.owner.run("append", pair.vault, *words, "--data", '{"v":1e-7}', *pair.owner.signed())
    assert "PROVARA_E003" in pair.old("verify", expect=1)
    target = next(event for event in pair.events() if event["type"] == writing.NOTE)
    more = ["--target", target["event_id"], "--reason", "OTHER"]
    pair.old("redact", *more, "--keyfile", pair.owner.keyfile)
    assert b'"v":1e-07' in pair.files[LOG]
    assert {"PROVARA_E003", "PROVARA_E004", "PROVARA_E015"} <= pair.ours(expect=1)


def test_its_rotation_by_append_takes_no_effect(pair: Pair) -> None:
    """It wraps the payload of every type, so that its revocation revokes nobody: E203."""
    payload = {
        "revoked_key_id": pair.owner.signer.key_id,
        "reason": "lost",
        "trust_boundary_event_id": None,
        "revoked_at_utc": "2026-11-28T00:00:00Z",
    }
    words = ["--type", "KEY_REVOCATION", "--data", json.dumps(payload)]
    signer = [*pair.owner.signed(pair.owner.quorum)]
    pair.old("append", *words, *signer)
    assert {"PROVARA_E203", "PROVARA_E300"} <= pair.ours(expect=1)


def test_a_vault_of_its_own_is_adopted(older_tool: Path, tmp_path: Path) -> None:
    """It made the vault: unmarked, its seal never renewed. We write on, and mark it when asked."""
    pair = Pair(older_tool, tmp_path)
    owner = pair.owner
    pair.old("init", "--quorum", "--private-keys", owner.keyfile)
    pair.old_append()
    start = read_from(pair.vault)
    owner.begin(start, writing.read_keyfile(owner.keyfile.read_bytes()))
    assert pair.ours() == {"PROVARA_W001", *FORM}
    owner.append("alice")
    assert pair.ours() == FORM
    owner.adopt()
    assert pair.ours() == FORM
    pair.old("verify")
    pair.old_append()
    assert pair.ours() == {"PROVARA_W001", "PROVARA_W014", *FORM}
    owner.append("alice")
    assert pair.ours() == FORM
    pair.old("verify")
