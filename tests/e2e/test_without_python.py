"""The executable alone, as `cargo install` gives it, on a machine that has no Python at all.

The core works, the built-in exports work, and what needs a plugin says what it needs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import independent
import pytest
from support import Environment, Provara, assert_one_error, fingerprint


@pytest.fixture
def alone(executable: Path, tmp_path: Path) -> Provara:
    """A copy of the executable in a directory of its own, which is all that PATH holds."""
    directory = tmp_path / "alone"
    directory.mkdir()
    copy = Path(shutil.copy(executable, directory / "provara"))
    return Provara(copy, tmp_path / "home", {"PATH": str(directory)})


@pytest.fixture
def vault(alone: Provara, tmp_path: Path) -> Path:
    path = tmp_path / "vault"
    alone.run("init", path)
    return path


def test_the_core_commands(alone: Provara, vault: Path) -> None:
    alone.append(vault, "OBSERVATION", {"subject": "door", "predicate": "state", "value": "open"})
    for words in ("replay", "reduce", "checkpoint", "manifest", "verify --strict"):
        assert alone.run(*words.split(), vault).stderr == "", words
    assert independent.check(vault, written=True).problems == []


@pytest.mark.parametrize("name", ["csv", "ndjson", "json"])
def test_the_built_in_exports(alone: Provara, vault: Path, tmp_path: Path, name: str) -> None:
    before = fingerprint(vault)
    outcome = alone.run("export", vault, "--format", name, "--output", tmp_path / "out")
    assert "ERROR" not in outcome.stderr
    text = (tmp_path / "out").read_text()
    for line in (vault / "events" / "events.ndjson").read_text().splitlines():
        assert json.loads(line)["event_id"] in text
    assert fingerprint(vault) == before


def test_an_unregistered_type(alone: Provara, vault: Path) -> None:
    outcome = alone.append(vault, "com.example.some.type", {"n": 1}, "--allow-unregistered")
    assert "ERROR" not in outcome.stderr
    assert independent.check(vault, written=True).problems == []


@pytest.mark.parametrize(
    "words",
    [
        "plugins list",
        "reduce VAULT --plugin com.example.x",
        "export VAULT --format parchment --output OUT",
        "append VAULT --type com.example.x.y --data {}",
    ],
)
def test_what_needs_a_plugin_says_what_it_needs(
    alone: Provara, vault: Path, tmp_path: Path, words: str
) -> None:
    before = fingerprint(vault)
    places = {"VAULT": str(vault), "OUT": str(tmp_path / "out")}
    outcome = alone.run(*(places.get(word, word) for word in words.split()), expect=3)
    error = assert_one_error(outcome)
    assert "Python" in error and "PROVARA_PYTHON" in error, error
    assert fingerprint(vault) == before
    assert not (tmp_path / "out").exists()


def test_an_interpreter_that_has_no_provara(provara: Provara, tmp_path: Path) -> None:
    """The error names the interpreter that was tried, and what to install into it."""
    empty = tmp_path / "empty"
    python = Environment.bare(empty)
    outcome = provara.with_environment(PROVARA_PYTHON=str(python)).run("plugins", "list", expect=3)
    error = assert_one_error(outcome)
    assert str(empty) in error and "pip install" in error, error
    assert outcome.stderr.strip() == error, "what the interpreter said is no news"


@pytest.mark.parametrize("name", ["/nonexistent/python3", "relative/python3", ""])
def test_an_interpreter_that_is_none(provara: Provara, name: str) -> None:
    outcome = provara.with_environment(PROVARA_PYTHON=name).run("plugins", "list", expect=None)
    if name:
        assert outcome.code == 3 and name in assert_one_error(outcome), str(outcome)
    else:
        assert outcome.code == 0, "an empty variable is an unset one"


def test_an_interpreter_with_another_version(provara: Provara, tmp_path: Path) -> None:
    """A module of another version may speak another protocol: it is refused, not tried."""
    python = Environment.bare(tmp_path / "other")
    (packages,) = (tmp_path / "other" / "lib").glob("python3.*/site-packages")
    package = packages / "provara"
    (package / "plugins").mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "0.9.0"\n')
    (package / "plugins" / "__init__.py").write_text("")
    (package / "plugins" / "_host.py").write_text("raise SystemExit('an older host')\n")
    outcome = provara.with_environment(PROVARA_PYTHON=str(python)).run("plugins", "list", expect=3)
    error = assert_one_error(outcome)
    assert str(tmp_path / "other") in error and "1.1.0" in error, error
    shutil.rmtree(package / "plugins")
    (package / "plugins.py").write_text("")
    outcome = provara.with_environment(PROVARA_PYTHON=str(python)).run("plugins", "list", expect=3)
    error = assert_one_error(outcome)
    assert "has another version of 'provara'; 1.1.0 is needed" in error, error
    assert outcome.stderr.strip() == error
