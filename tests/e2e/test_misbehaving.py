"""Plugins that misbehave, one fixture for each way: what the person sees, and what stays as it was.

A plugin that fails is exit 4; a plugin that refuses data is exit 2, as a schema is. Whatever
a plugin does, the vault keeps its bytes, the core its commands, and other plugins theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import (
    MISBEHAVING,
    Outcome,
    Provara,
    Running,
    assert_one_error,
    descendants,
    fingerprint,
    wait_until_gone,
)

# What each way must be called in the error: the person shall know what happened.
IN_A_METHOD = {
    "raises": "the plugin is broken",
    "exits": "tried to exit the process",
    "vanishes": "ended its process (exit code 0)",
    "killed": "SIGKILL",
    "crashes": "SIGSEGV",
    "interrupts": "KeyboardInterrupt",
    "recurses": "RecursionError",
}
AT_IMPORT = {
    "raises_at_import": "the module is broken",
    "exits_at_import": "goodbye",
    "killed_at_import": "SIGKILL",
}


@pytest.fixture
def plugins(provara: Provara, tmp_path: Path) -> Provara:
    """The executable with a copy of the fixtures on Python's path, none of them chosen."""
    modules = tmp_path / "modules"
    shutil.copytree(MISBEHAVING, modules, ignore=shutil.ignore_patterns("__pycache__"))
    return provara.with_environment(PYTHONPATH=str(modules))


def chosen(plugins: Provara, *names: str) -> Provara:
    return plugins.with_environment(PROVARA_PLUGINS=",".join(names))


def nothing_changed(vault: Path, before: object, outcome: Outcome) -> None:
    assert fingerprint(vault) == before
    assert outcome.stdout == "", str(outcome)


# ------------------------------------------------------------------------- methods


@pytest.mark.parametrize("way", IN_A_METHOD)
def test_reduce(plugins: Provara, vault: Path, way: str) -> None:
    before = fingerprint(vault)
    name = f"com.example.{way}.reducer"
    outcome = chosen(plugins, way).run("reduce", vault, "--plugin", name, expect=4)
    nothing_changed(vault, before, outcome)
    error = assert_one_error(outcome)
    assert name in error and IN_A_METHOD[way] in error, error


@pytest.mark.parametrize("way", IN_A_METHOD)
def test_reduce_into_a_file(plugins: Provara, vault: Path, tmp_path: Path, way: str) -> None:
    target = tmp_path / "results"
    target.mkdir()
    name = f"com.example.{way}.reducer"
    chosen(plugins, way).run(
        "reduce", vault, "--plugin", name, "--output", target / "out.json", expect=4
    )
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("way", IN_A_METHOD)
@pytest.mark.parametrize("existing", [False, True])
def test_export(plugins: Provara, vault: Path, tmp_path: Path, way: str, existing: bool) -> None:
    """No half-written export: the target is as it was, and nothing is left beside it."""
    before = fingerprint(vault)
    place = tmp_path / "results"
    place.mkdir()
    if existing:
        (place / "out").write_text("last year's export")
    place_before = {path.name: path.read_text() for path in place.iterdir()}
    words: list[str | Path] = ["export", vault, "--format", way, "--output", place / "out"]
    outcome = chosen(plugins, way).run(*words, *(["--force"] if existing else []), expect=4)
    nothing_changed(vault, before, outcome)
    error = assert_one_error(outcome)
    assert f"'{way}'" in error and IN_A_METHOD[way] in error, error
    assert {path.name: path.read_text() for path in place.iterdir()} == place_before


@pytest.mark.parametrize("way", [way for way in IN_A_METHOD if way not in ("raises", "recurses")])
def test_validate(plugins: Provara, vault: Path, way: str) -> None:
    before = fingerprint(vault)
    name = f"com.example.{way}.event"
    outcome = chosen(plugins, way).append(vault, name, {}, expect=4)
    nothing_changed(vault, before, outcome)
    error = assert_one_error(outcome)
    assert name in error and IN_A_METHOD[way] in error, error


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("refuses", "com.example.refuses.with_false", "False"),
        ("refuses", "com.example.refuses.with_exception", "the amount is above the limit"),
        ("raises", "com.example.raises.event", "the plugin is broken"),
        ("recurses", "com.example.recurses.event", "recursion"),
    ],
)
def test_validate_refuses(
    plugins: Provara, vault: Path, module: str, name: str, words: str
) -> None:
    """An exception of `validate` is its way to say no: the data is wrong, not the plugin."""
    before = fingerprint(vault)
    outcome = chosen(plugins, module).append(vault, name, {}, expect=2)
    nothing_changed(vault, before, outcome)
    error = assert_one_error(outcome)
    assert name in error and words in error, error


KINDS = ["set", "nan", "infinity", "key", "cycle", "surrogate", "date"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_is_not_json(plugins: Provara, vault: Path, kind: str) -> None:
    before = fingerprint(vault)
    name = f"com.example.not_json.{kind}"
    outcome = chosen(plugins, "not_json").run("reduce", vault, "--plugin", name, expect=4)
    nothing_changed(vault, before, outcome)
    error = assert_one_error(outcome)
    assert name in error, error


def test_a_result_keeps_integers_of_any_length(plugins: Provara, vault: Path) -> None:
    name = "com.example.not_json.integer"
    outcome = chosen(plugins, "not_json").run("reduce", vault, "--plugin", name)
    assert outcome.json() == {"count": 2**60}


# --------------------------------------------------------------------- loading them


@pytest.mark.parametrize("module", AT_IMPORT)
def test_a_module_that_fails_at_import(plugins: Provara, vault: Path, module: str) -> None:
    before = fingerprint(vault)
    broken = chosen(plugins, module)
    outcome = broken.run("reduce", vault, "--plugin", "com.example.wanted", expect=4)
    nothing_changed(vault, before, outcome)
    assert module in outcome.stderr and AT_IMPORT[module] in outcome.stderr, str(outcome)
    assert "Fix: " in outcome.stderr and "ERROR: " in outcome.stderr, str(outcome)
    headline = "ERROR: No plugin that can be used provides the reducer 'com.example.wanted'.\n"
    assert headline in outcome.stderr, str(outcome)


def test_a_module_that_hangs_at_import_is_named(plugins: Provara) -> None:
    outcome = chosen(plugins, "good,hangs_at_import").run("plugins", "list", "--timeout=3")
    error = assert_one_error(outcome)
    assert "ERROR: Plugin 'hangs_at_import' could not be loaded.\n" in error, error
    assert "The process that loads plugins was ended after 3 s." in error, error
    assert "--timeout SECONDS" in error and "another one" not in error, error
    assert "com.example.good.event" in outcome.stdout, str(outcome)


def test_the_users_time_limit_is_the_users(provara: Provara) -> None:
    """Too short for any plugin: that is what it says, not that the installation is broken."""
    outcome = provara.run("plugins", "list", "--timeout=0.0001", expect=4)
    error = assert_one_error(outcome)
    assert "The process for plugins did not finish within 0.0001 s" in error, error
    assert "--timeout" in error and "author" not in error and "Uninstall" not in error, error


CLASSES = {
    "raises_in_constructor:UnbuildableReducer": "the constructor is broken",
    "raises_in_schema:SchemalessEventPlugin": "the schema is broken",
    "raises_in_name:NamelessReducer": "the name is broken",
    "raises_in_cli_command:UnaliasedEventPlugin": "the alias is broken",
    "bad_schema:BadSchemaEventPlugin": "objekt",
    "reserved_name:ReservedEventPlugin": "reserved for core types",
    "no_such_module:Plugin": "no_such_module",
    "good:NoSuchClass": "NoSuchClass",
    "not a module": "not a module",
}


@pytest.mark.parametrize("entry", CLASSES)
def test_a_class_that_cannot_be_registered(plugins: Provara, entry: str) -> None:
    """`plugins list` shows what works on stdout, and says what does not on stderr.

    That is what it was asked for, hence exit 0. A type without its alias is usable all the same."""
    outcome = chosen(plugins, entry, "good").run("plugins", "list")
    assert CLASSES[entry] in assert_one_error(outcome)
    for name in ("com.example.good.event", "com.example.good.reducer", "good"):
        assert f"  - {name}" in outcome.stdout, str(outcome)
    listed = [line for line in outcome.stdout.splitlines() if line.startswith("  - ")]
    assert len(listed) == (4 if "cli_command" in entry else 3), str(outcome)


@pytest.mark.parametrize(
    "entry",
    [
        *CLASSES,
        "raises_at_import",
        "exits_at_import",
        "killed_at_import",
        "prints_at_import",
        "not_json",
    ],
)
def test_one_broken_plugin_breaks_no_other(
    plugins: Provara, vault: Path, tmp_path: Path, entry: str
) -> None:
    both = chosen(plugins, entry, "good")
    both.append(vault, "com.example.good.event", {"n": 1})
    assert both.run("reduce", vault, "--plugin", "com.example.good.reducer").json() == {"events": 3}
    both.run("export", vault, "--format", "good", "--output", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "3 events\n"


EVERYTHING = [
    *sorted(path.stem for path in MISBEHAVING.glob("*.py") if "at_import" not in path.stem),
    *AT_IMPORT,
    "hangs_at_import",
]


def test_no_core_command_notices_any_of_them(plugins: Provara, vault: Path, tmp_path: Path) -> None:
    every = chosen(plugins, *EVERYTHING)
    every.append(vault, "OBSERVATION", {"value": 1})
    for words in ("verify --strict", "replay", "reduce", "checkpoint", "manifest"):
        assert every.run(*words.split(), vault).stderr == "", words
    assert every.run("init", tmp_path / "new").stderr == ""


# ------------------------------------------------------------------------- printing


def test_printing_disturbs_nothing(plugins: Provara, vault: Path, tmp_path: Path) -> None:
    """What a plugin prints reaches stderr, marked and harmless; stdout is the result."""
    printing = chosen(plugins, "prints")
    reduced = printing.run("reduce", vault, "--plugin", "com.example.prints.reducer")
    exported = printing.run("export", vault, "--format", "prints", "--output", tmp_path / "out")
    appended = printing.append(vault, "com.example.prints.event", {}, "--json")
    assert reduced.json() == {"events": 2}
    assert (tmp_path / "out").read_text() == "half of an export\n"
    assert appended.json()["event_type"] == "com.example.prints.event"
    for outcome in (reduced, exported, appended):
        assert "printed by the plugin" in outcome.stderr, str(outcome)
        assert "\x1b" not in outcome.stderr and "\x07" not in outcome.stderr, str(outcome)
        marked = [line for line in outcome.stderr.splitlines() if "printed by" in line]
        assert all(line.startswith("[") for line in marked), str(outcome)
    printing.run("verify", vault, "--strict")


def test_printing_at_import(plugins: Provara) -> None:
    outcome = chosen(plugins, "prints_at_import").run("plugins", "list", "--json")
    assert "com.example.prints.at.import" in json.dumps(outcome.json())
    assert "printed by the plugin" in outcome.stderr


# ------------------------------------------------------------------ never answering

WORKS = {
    "reduce": ["reduce", "VAULT", "--plugin", "com.example.{}.reducer"],
    "export": ["export", "VAULT", "--format", "{}", "--output", "OUT"],
    "validate": ["append", "VAULT", "--type", "com.example.{}.event", "--data", "{{}}"],
}


@contextlib.contextmanager
def begun(
    plugins: Provara, way: str, words: list[str], vault: Path, place: Path
) -> Iterator[Running]:
    """A command whose plugin has begun, in a process of its own."""
    places = {"VAULT": str(vault), "OUT": str(place / "out")}
    words = [places.get(word, word.format(way)) for word in words]
    with Running(chosen(plugins, way), *words) as running:
        running.wait_for("the plugin has begun")
        assert running.children
        yield running


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("way", ["hangs", "spins"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_ends_it(
    plugins: Provara, vault: Path, tmp_path: Path, work: str, way: str, number: signal.Signals
) -> None:
    """Whatever the plugin does about signals, it ends with the command, and leaves nothing."""
    place = tmp_path / "results"
    place.mkdir()
    before = fingerprint(vault)
    with begun(plugins, way, WORKS[work], vault, place) as running:
        running.signal(number)
        assert running.finish() == 128 + number, running.stderr
        assert wait_until_gone(running.children) == set()
    assert fingerprint(vault) == before
    assert list(place.iterdir()) == []
    assert running.stdout == ""


def test_an_interruption_by_a_terminal(plugins: Provara, vault: Path, tmp_path: Path) -> None:
    """Ctrl-C in a shell reaches the whole process group, and people press it more than once."""
    with begun(plugins, "spins", WORKS["reduce"], vault, tmp_path) as running:
        for _ in range(3):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGINT)
        assert running.finish() == 128 + signal.SIGINT, running.stderr
        assert wait_until_gone(running.children) == set()


@pytest.mark.parametrize("way", ["hangs", "spins"])
def test_a_killed_command_leaves_no_orphan(
    plugins: Provara, vault: Path, tmp_path: Path, way: str
) -> None:
    """SIGKILL cannot be caught: the kernel has to end the plugin."""
    with begun(plugins, way, WORKS["reduce"], vault, tmp_path) as running:
        running.signal(signal.SIGKILL)
        running.finish()
        assert wait_until_gone(running.children) == set()


@pytest.mark.parametrize("batch", [False, True])
def test_a_schema_that_takes_for_ever_is_ended(
    plugins: Provara, vault: Path, tmp_path: Path, batch: bool
) -> None:
    """Whether data fits is found out by a process that can be killed."""
    before = fingerprint(vault)
    name = "com.example.explodes.event"
    lines = tmp_path / "lines"
    lines.write_text(json.dumps({"type": name, "data": {"this": 1}}) + "\n")
    words = ["--batch", lines] if batch else ["--type", name, "--data", '{"this":1}']
    exploding = chosen(plugins, "explodes")
    outcome = exploding.run("append", vault, *words, "--timeout", "3", expect=4)
    assert f"The plugin '{name}' did not finish within 3 s" in outcome.stderr, outcome.stderr
    if not batch:
        nothing_changed(vault, before, outcome)
    with Running(exploding, "append", vault, *words) as running:
        running.wait_for("the plugin has begun")
        # The plugin's host, and the process that applies schemas.
        limit = time.monotonic() + 20
        while len(descendants(running.process.pid)) < 2 and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(0.2)
        family = descendants(running.process.pid)
        assert len(family) == 2
        running.signal(signal.SIGINT)
        assert running.finish() == 128 + signal.SIGINT, running.stderr
        assert wait_until_gone(family) == set()


def test_an_interruption_while_it_is_imported(
    plugins: Provara, vault: Path, tmp_path: Path
) -> None:
    before = fingerprint(vault)
    with begun(plugins, "hangs_at_import", WORKS["reduce"], vault, tmp_path) as running:
        running.signal(signal.SIGINT)
        assert running.finish() == 128 + signal.SIGINT
        assert wait_until_gone(running.children) == set()
    assert fingerprint(vault) == before


def test_the_vault_is_not_locked_while_a_plugin_thinks(
    plugins: Provara, vault: Path, tmp_path: Path
) -> None:
    """`validate` comes before the lock: a plugin that hangs holds up nobody else."""
    with begun(plugins, "hangs", WORKS["validate"], vault, tmp_path):
        plugins.append(vault, "OBSERVATION", {"value": 1})


EDITED_MEANWHILE = """
import sys, time
class Reducer:
    name = "com.example.slow.reducer"
    def reduce(self, events):
        found = [event["payload"].get("value") for event in events]
        print("reduced", file=sys.stderr, flush=True)
        time.sleep(1)
        return {"values": found}
"""


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_a_log_that_is_edited_meanwhile_is_not_the_reducers_fault(
    plugins: Provara, vault: Path, tmp_path: Path, options: list[str]
) -> None:
    """Each run gets the events that verified, and none that came to their place since."""
    (tmp_path / "modules" / "slow_reducer.py").write_text(EDITED_MEANWHILE, "utf-8")
    slow = chosen(plugins, "slow_reducer")
    data = {"subject": "s", "predicate": "p", "value": "first"}
    slow.append(vault, "OBSERVATION", data)
    log = vault / "events" / "events.ndjson"
    words: list[str | Path] = ["reduce", vault, "--plugin", "com.example.slow.reducer", *options]
    with Running(slow, *words) as running:
        running.wait_for("reduced")
        before = log.read_bytes()
        log.write_bytes(before.replace(b"first", b"other"))
        assert running.finish(60) == 0, running.stderr
    log.write_bytes(before)
    assert json.loads(running.stdout)["values"][-1] == "first"
    assert running.stderr.count("reduced") == 1 + len(options)
