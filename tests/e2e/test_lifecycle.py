"""The whole life of installed packages, from `pip install` to `pip uninstall`."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import independent
import primitives
import pytest
from support import LOG, ROOT, Environment, Provara, assert_one_error, events, fingerprint

LOGINS: list[dict[str, Any]] = [
    {"user_id": "alice", "success": True, "ip_address": "192.168.1.1"},
    {"user_id": "mallory", "success": False, "ip_address": "10.0.0.9", "user_agent": 'curl, "8"\n'},
    {"user_id": "bob", "success": True, "ip_address": "10.0.0.2"},
]


@pytest.fixture
def vault(acme: Provara, tmp_path: Path) -> Path:
    path = tmp_path / "vault"
    acme.run("init", path)
    for login in LOGINS:
        acme.append(path, "com.acme.audit.login", login)
    return path


def test_what_was_appended_is_what_was_given(vault: Path) -> None:
    assert [event["payload"] for event in events(vault)[2:]] == LOGINS
    assert independent.check(vault, written=True).problems == []


def test_a_reducer(acme: Provara, vault: Path, tmp_path: Path) -> None:
    before = fingerprint(vault)
    name = "com.acme.compliance.monitor"
    shown = acme.run("reduce", vault, "--plugin", name)
    assert shown.json()["total_violations"] == 1
    acme.run("reduce", vault, "--plugin", name, "--output", tmp_path / "out.json")
    written = (tmp_path / "out.json").read_bytes()
    assert json.loads(written) == shown.json()
    assert written.rstrip(b"\n") == primitives.jcs(primitives.parse(written)), "canonical"
    assert fingerprint(vault) == before


def test_exports(acme: Provara, vault: Path, tmp_path: Path) -> None:
    """The plugin's csv, not the built-in one; both kinds name every event."""
    before = fingerprint(vault)
    for name in ("csv", "siem-splunk", "ndjson", "json"):
        acme.run("export", vault, "--format", name, "--output", tmp_path / name)
        assert fingerprint(vault) == before
    with open(tmp_path / "csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["event_id"] for row in rows] == [event["event_id"] for event in events(vault)]
    assert (tmp_path / "ndjson").read_bytes() == (vault / LOG).read_bytes()
    assert json.loads((tmp_path / "json").read_text()) == events(vault)
    for event in events(vault):
        assert event["event_id"] in (tmp_path / "siem-splunk").read_text()


def test_the_list_as_json(acme: Provara) -> None:
    listed = json.dumps(acme.run("plugins", "list", "--json").json())
    every = json.dumps(acme.run("plugins", "list", "--json", "--all").json())
    for name in (
        "com.acme.audit.login",
        "com.acme.audit.logout",
        "com.acme.compliance.monitor",
        "csv",
        "siem-splunk",
    ):
        assert f'"{name}"' in listed
    assert "ndjson" not in listed and "ndjson" in every


def test_data_built_by_set(acme: Provara, vault: Path) -> None:
    acme.run(
        "append",
        vault,
        "--type",
        "login",
        "--set",
        "user_id=1234",
        "--set",
        "success=false",
        "--set",
        "ip_address=10.1.1.1",
    )
    payload = events(vault)[-1]["payload"]
    assert payload == {"user_id": "1234", "success": False, "ip_address": "10.1.1.1"}


def test_several_schema_problems_are_listed(acme: Provara, vault: Path) -> None:
    before = fingerprint(vault)
    outcome = acme.append(
        vault, "com.acme.audit.login", {"success": "yes", "ip_address": "no"}, expect=2
    )
    error = assert_one_error(outcome)
    assert "Missing required field 'user_id'" in error
    for field in ("user_id", "success", "ip_address"):
        assert f"Field: '{field}'" in error, error
    assert fingerprint(vault) == before


def test_the_case_of_a_name_does_not_matter_to_find_it(acme: Provara, vault: Path) -> None:
    """The event carries what was typed, and the command says how the plugin spells it."""
    outcome = acme.append(vault, "COM.Acme.Audit.LOGIN", LOGINS[0])
    assert events(vault)[-1]["type"] == "COM.Acme.Audit.LOGIN"
    assert "spells this type 'com.acme.audit.login'" in outcome.stderr, str(outcome)
    assert independent.check(vault, written=True).problems == []


def test_uninstalling_loses_nothing(
    acme: Provara, provara: Provara, vault: Path, tmp_path: Path
) -> None:
    """`provara` is an environment that never had the plugins."""
    before = fingerprint(vault)
    provara.run("verify", vault, "--strict")
    assert (
        provara.run("reduce", vault, "--json").json() == acme.run("reduce", vault, "--json").json()
    )
    error = assert_one_error(
        provara.run("reduce", vault, "--plugin", "com.acme.compliance.monitor", expect=2)
    )
    assert "com.acme.compliance.monitor" in error
    provara.run("export", vault, "--format", "csv", "--output", tmp_path / "csv")
    assert all(event["event_id"] in (tmp_path / "csv").read_text() for event in events(vault))
    assert_one_error(provara.append(vault, "com.acme.audit.login", LOGINS[0], expect=2))
    assert fingerprint(vault) == before
    provara.append(vault, "com.acme.audit.login", LOGINS[0], "--allow-unregistered")
    acme.run("verify", vault, "--strict")


def test_the_summary(acme: Provara, vault: Path) -> None:
    summary = acme.run("reduce", vault, "--json").json()
    log = events(vault)
    assert summary["event_count"] == 5
    assert summary["types"] == {"GENESIS": 1, "OBSERVATION": 1, "com.acme.audit.login": 3}
    assert summary["last_event"] == log[-1]["event_id"]
    assert summary["actors"]["provara_user"]["head"] == log[-1]["event_id"]


def test_the_vault_can_be_moved_and_read_from_anywhere(
    acme: Provara, vault: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "another place" / "völt"
    moved.parent.mkdir()
    shutil.move(vault, moved)
    acme.run("verify", "völt", "--strict", cwd=moved.parent)
    acme.append(moved, "login", LOGINS[0])
    acme.run("export", "völt", "--format", "csv", "--output", "out.csv", cwd=moved.parent)
    assert (moved.parent / "out.csv").is_file()
    assert independent.check(moved, written=True).problems == []


@pytest.mark.parametrize("name", ["acme-provara-plugins", "git-history-plugins"])
def test_the_examples_own_tests(acme_environment: Environment, tmp_path: Path, name: str) -> None:
    """Each example brings the tests that its author would write: they pass once installed."""
    if name != "acme-provara-plugins":
        acme_environment = Environment(tmp_path / "venv", "setuptools", "wheel", "pytest")
        acme_environment.install_package(ROOT / "examples" / name)
    tests = Path(shutil.copytree(ROOT / "examples" / name / "tests", tmp_path / "tests"))
    out = acme_environment.python_run("-m", "pytest", "-q", "-W", "error", tests, cwd=tmp_path)
    assert " passed" in out and "failed" not in out
