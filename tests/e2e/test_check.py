"""`plugins check`: whether each plugin can be used, and what its author should know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import ROOT, Environment, Outcome, Provara, assert_one_error

GOOD = """
class Good{n}:
    name = "com.example.good.n{n}"
    schema = {{"type": "object"}}
    def validate(self, data):
        return True
"""
#: Each of these is a plugin, and has something that its author should know, or that is wrong.
MODULES = {
    "advised": """
class Advised:
    name = "com.example.advised.event"
    version = "2.0"
    schema = {"properties": {"by": {"type": "string", "format": "emial"},
                             "a/b": {"minimun": 1, "pattern": "\\\\bx"}},
              "aditionalProperties": False}
    def validate(self, data):
        return True
    def cli_command(self):
        return "advised"
""",
    "old": """
class Old:
    name = "com.example.old.event"
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"const": 1}}}
    def validate(self, data):
        return True
""",
    "faulty": """
class Faulty:
    name = "com.example.faulty.event"
    schema = {"type": "objekt", "properties": {"a": {"minLength": -1}, "b": {"pattern": "("},
              "c": {"$ref": "#/$defs/Lost"}}, "requierd": []}
    def validate(self, data):
        return True
class Working:
    name = "com.example.faulty.reducer"
    def reduce(self, events):
        return {}
""",
    "no_alias": """
class NoAlias:
    name = "com.example.alias.event"
    schema = {"type": "object"}
    def validate(self, data):
        return True
    def cli_command(self):
        return "OBSERVATION"
""",
}
FAULTS = [
    "at '/type': 'objekt' is not allowed here; the types are array, boolean, integer, null, number, "
    "object and string",
    "at '/properties/a/minLength': -1 is less than the minimum of 0",
    "at '/properties/b/pattern': '(' is not a valid regular expression",
    "at '/properties/c/$ref': the reference '#/$defs/Lost' leads nowhere in the schema",
]


@pytest.fixture
def modules(provara: Provara, tmp_path: Path) -> Provara:
    """The executable with the modules on Python's path, none of them chosen."""
    directory = tmp_path / "modules"
    directory.mkdir()
    for name, text in MODULES.items():
        (directory / f"{name}.py").write_text(text, "utf-8")
    (directory / "good.py").write_text(GOOD.format(n=1) + GOOD.format(n=2), "utf-8")
    return provara.with_environment(PYTHONPATH=str(directory))


def chosen(modules: Provara, *names: str) -> Provara:
    return modules.with_environment(PROVARA_PLUGINS=",".join(names))


def checked(outcome: Outcome) -> dict[str, Any]:
    """What is printed with --json, which is as its schema says."""
    value: dict[str, Any] = outcome.json()
    schema = json.loads((ROOT / "schemas" / "plugins-check.v1.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


def by_name(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {plugin["name"]: plugin for plugin in value["plugins"]}


def test_nothing_is_installed(provara: Provara) -> None:
    assert "No plugins are installed." in provara.run("plugins", "check").stdout
    value = checked(provara.run("plugins", "check", "--json"))
    assert value["ok"] and value["plugins"] == []
    error = assert_one_error(provara.run("plugins", "check", "any", expect=2))
    assert "'any'" in error and "pkg.module:Class" in error


def test_advice_has_its_place_and_fails_only_if_it_is_to(modules: Provara) -> None:
    advised = chosen(modules, "advised", "old")
    told = advised.run("plugins", "check")
    for line in [
        "  event type com.example.advised.event: can be used",
        "    alias: advised",
        "    schema: 2.0",
        "    advice: at '/properties/by': the format 'emial' is not known and checks nothing; did you "
        "mean 'email'?",
        "    advice: at '/properties/a~1b': 'minimun' is no keyword and decides nothing; did you mean "
        "'minimum'?",
        "    advice: at '/properties/a': 'const' is ignored by draft 4, the dialect of this schema",
        "all 2 plugins can be used; there is advice on 2 schemas",
    ]:
        assert line in told.stdout.splitlines(), str(told)
    assert told.stderr == ""
    strict = advised.run("plugins", "check", "--strict", expect=4)
    assert strict.stdout == told.stdout
    value = checked(advised.run("plugins", "check", "--json"))
    assert value["ok"] and all(plugin["usable"] for plugin in value["plugins"])
    found = by_name(value)["com.example.advised.event"]
    assert [(it["at"], it["schema"]) for it in found["advice"]] == [
        ("/", None),
        ("/properties/by", None),
        ("/properties/a~1b", None),
        ("/properties/a~1b", None),
    ]
    assert "not portable" in json.dumps(found["advice"])
    assert not checked(advised.run("plugins", "check", "--strict", "--json", expect=4))["ok"]
    assert chosen(modules, "good").run("plugins", "check", "--strict").code == 0


def test_every_fault_of_a_schema_is_told(modules: Provara) -> None:
    faulty = chosen(modules, "faulty", "good")
    told = faulty.run("plugins", "check", expect=4)
    assert "  event type com.example.faulty.event: cannot be used" in told.stdout
    assert "  reducer com.example.faulty.reducer: can be used" in told.stdout
    for fault in FAULTS:
        assert f"      The schema cannot be used: {fault}\n" in told.stdout, str(told)
    assert "    Fix: Correct the plugin's JSON Schema." in told.stdout
    assert "did you mean 'required'?" in told.stdout
    assert told.stdout.endswith("\n1 of 4 cannot be used; there is advice on 1 schema\n")
    value = checked(faulty.run("plugins", "check", "--json", expect=4))
    found = by_name(value)["com.example.faulty.event"]
    assert not value["ok"] and not found["usable"] and found["kind"] == "event_type"
    assert found["class"] == "faulty.Faulty"
    assert sorted(f"at '{it['at']}': {it['text']}" for it in found["faults"]) == sorted(FAULTS)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("com.example.good.n1", ["com.example.good.n1"]),
        ("COM.example.good.n2", ["com.example.good.n2"]),
        ("good.Good1", ["com.example.good.n1"]),
        ("good:Good1", ["com.example.good.n1"]),
        ("good", ["com.example.good.n1", "com.example.good.n2"]),
        ("advised", ["com.example.advised.event"]),
    ],
)
def test_names(modules: Provara, name: str, found: list[str]) -> None:
    """Only what is named counts, whatever else is broken."""
    many = chosen(modules, "good", "faulty", "advised")
    value = checked(many.run("plugins", "check", name, "--json"))
    assert sorted(by_name(value)) == found


def test_a_name_that_names_none(modules: Provara) -> None:
    many = chosen(modules, "good", "faulty")
    outcome = many.run("plugins", "check", "good", "com.example.good.n3", expect=2)
    error = assert_one_error(outcome)
    assert "'com.example.good.n3'" in error and "com.example.good.n" in error and not outcome.stdout
    for name in ("csv", "summary", "OBSERVATION", "observation"):
        assert "built in" in assert_one_error(many.run("plugins", "check", name, expect=2))


def test_a_class_that_is_not_installed(modules: Provara) -> None:
    assert modules.run("plugins", "check", "good:Good2").stdout.count("can be used") == 2
    value = checked(modules.run("plugins", "check", "advised:Advised", "good:Good1", "--json"))
    assert sorted(by_name(value)) == ["com.example.advised.event", "com.example.good.n1"]
    # It is loaded for this check alone.
    assert "com.example.good" not in modules.run("plugins", "list").stdout
    for name, words, end in [
        ("nowhere:Plugin", "No module named 'nowhere'", ""),
        ("good:Absent", "Absent", ""),
        ("faulty:Faulty", "objekt", "; there is advice on 1 schema"),
    ]:
        told = modules.run("plugins", "check", name, expect=4)
        assert words in told.stdout, str(told)
        assert told.stdout.endswith(f"\n1 of 1 cannot be used{end}\n"), str(told)


#: Schemas that are there and cannot be read, and what is said of each.
UNREADABLE = {
    "schema = type('Model', (), {})": "a schema is a dict (a JSON object), not type",
    "schema = classmethod(dict).__func__": "a schema is a dict (a JSON object), not ",
    "schema = '{}'": "a schema is a dict (a JSON object), not str",
    "schema = property(lambda self: 1 // 0)": "ZeroDivisionError",
}


@pytest.mark.parametrize("schema", UNREADABLE)
def test_one_whose_schema_cannot_be_read_has_all_its_names(
    modules: Provara, tmp_path: Path, schema: str
) -> None:
    """It is there, by whatever it is called, and is told of as what it is."""
    text = GOOD.format(n=1).replace('schema = {"type": "object"}', schema)
    (tmp_path / "modules" / "unreadable.py").write_text(text, "utf-8")
    for by in (modules, chosen(modules, "unreadable:Good1")):
        told = by.run("plugins", "check", "unreadable:Good1", expect=4)
        assert UNREADABLE[schema] in told.stdout, str(told)
        assert "  event type com.example.good.n1: cannot be used\n" in told.stdout, str(told)
        assert "    class: unreadable.Good1\n" in told.stdout, str(told)
    for name in ("com.example.good.n1", "unreadable.Good1"):
        checked(chosen(modules, "unreadable").run("plugins", "check", name, "--json", expect=4))


def test_one_that_lacks_a_method_is_known_by_its_own_name(modules: Provara, tmp_path: Path) -> None:
    text = GOOD.format(n=1).replace("def validate", "def valid")
    (tmp_path / "modules" / "lacking.py").write_text(text, "utf-8")
    lacking = chosen(modules, "lacking:Good1")
    for name in ("com.example.good.n1", "lacking.Good1", "lacking:Good1"):
        told = lacking.run("plugins", "check", name, expect=4)
        assert "Missing required method: 'validate'" in told.stdout, str(told)


def test_one_named_on_the_command_line_is_told_of_as_such(modules: Provara, tmp_path: Path) -> None:
    """PROVARA_PLUGINS was never set, and what helps is said by what is wrong."""
    broken = "import nowhere_at_all\n"
    (tmp_path / "modules" / "broken.py").write_text(broken, "utf-8")
    correct = (
        "Fix: Repair the plugin, or correct the name: 'package.module' or 'package.module:Class'."
    )
    absent = "(PYTHONPATH=$PWD if it is in this one)."
    for name, fix in [
        ("nomod:X", absent),
        ("good.inner:X", absent),
        ("good:Nope", correct),
        ("broken:X", correct),
        ("a:b:c", correct),
        (":", correct),
    ]:
        told = modules.run("plugins", "check", name, expect=4).stdout
        assert fix in told and "PROVARA_PLUGINS" not in told, told
        assert f"Source: named on the command line ({name})" in told, told
    named = chosen(modules, "nomod:X").run("plugins", "check", "nomod:X", expect=4).stdout
    assert "Source: PROVARA_PLUGINS (nomod:X)" in named, named
    assert (
        "set PYTHONPATH to the directory of the module, or take it out of PROVARA_PLUGINS" in named
    )


BROKEN = """
class Raising:
    name = "com.example.broken.raising"
    @property
    def schema(self):
        raise RuntimeError("the schema is not here")
    def validate(self, data):
        return True
class Wrong:
    name = "com.example.broken.wrong"
    schema = {"type": "objekt"}
    def validate(self, data):
        return True
"""


@pytest.mark.parametrize("name", ["Raising", "Wrong"])
def test_a_class_with_a_broken_schema_is_found_by_where_it_was_looked_for(
    modules: Provara, tmp_path: Path, name: str
) -> None:
    """It may have been imported from elsewhere."""
    (tmp_path / "modules" / "inner.py").write_text(BROKEN, "utf-8")
    (tmp_path / "modules" / "outer.py").write_text(f"from inner import {name}", "utf-8")
    told = modules.run("plugins", "check", f"outer:{name}", expect=4)
    head = f"  event type com.example.broken.{name.lower()}: cannot be used\n    class: "
    assert head in told.stdout, str(told)


def test_a_plugin_without_its_alias_can_be_used_in_part(modules: Provara) -> None:
    told = chosen(modules, "no_alias").run("plugins", "check", expect=4)
    assert "  event type com.example.alias.event: can be used in part\n" in told.stdout, str(told)
    assert "reserved for core types" in told.stdout
    assert told.stdout.endswith("\n1 of 1 can be used in part\n")


def test_one_that_ends_the_process_hides_no_other(modules: Provara, tmp_path: Path) -> None:
    (tmp_path / "modules" / "dying.py").write_text("import os\nos._exit(3)\n", "utf-8")
    both = chosen(modules, "dying", "good")
    told = both.run("plugins", "check", expect=4)
    assert "plugin dying: cannot be used" in told.stdout and "exit code 3" in told.stdout
    assert told.stdout.endswith("\n1 of 3 cannot be used\n")
    assert both.run("plugins", "check", "good").code == 0
    assert both.run("plugins", "check", "dying", expect=4).code == 4


def test_installed_packages(provara: Provara, tmp_path: Path) -> None:
    """By the name of the package in any spelling, with its version; another broken one does not count."""
    environment = Environment(tmp_path / "venv", "setuptools", "wheel")
    for name, body in [
        ("first-plugins", GOOD.format(n=1)),
        ("second.plugins", "raise RuntimeError('no')"),
    ]:
        package = tmp_path / name
        package.mkdir()
        module = name.partition("-")[0].partition(".")[0]
        (package / f"{module}.py").write_text(body, "utf-8")
        (package / "pyproject.toml").write_text(
            f"""[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "1.2.0"
[project.entry-points."provara.plugins"]
{module}-point = "{module}:Good1"
[tool.setuptools]
py-modules = ["{module}"]
""",
            "utf-8",
        )
        environment.install_package(package)
    installed = provara.with_environment(PROVARA_PYTHON=str(environment.python))
    for name in ("First_Plugins", "first-plugins", "first-point", "com.example.good.n1"):
        told = installed.run("plugins", "check", name)
        assert told.stdout.startswith("first-plugins v1.2.0\n"), str(told)
        assert told.stdout.endswith("\nthe plugin can be used\n"), str(told)
    for name in ("second-plugins", "second-point", "second:Good1"):
        told = installed.run("plugins", "check", name, expect=4)
        assert "no" in told.stdout and "plugin second-point: cannot be used" in told.stdout
        assert told.stdout.startswith("second.plugins v1.2.0\n"), str(told)
    told = installed.run("plugins", "check", expect=4)
    assert told.stdout.endswith("\n1 of 2 cannot be used\n")


def test_without_python(provara: Provara) -> None:
    nowhere = provara.with_environment(PROVARA_PYTHON="/nonexistent/python3")
    nowhere.run("plugins", "check", expect=3)


def test_a_long_list_of_advice_is_cut_where_everything_is_listed(
    modules: Provara, tmp_path: Path
) -> None:
    text = MODULES["old"].replace(
        '{"a": {"const": 1}}', '{f"a{n}": {"const": n} for n in range(50)}'
    )
    (tmp_path / "modules" / "long.py").write_text(text, "utf-8")
    long = chosen(modules, "long")
    listed = long.run("plugins", "list").stderr
    assert listed.count("'const' is ignored") == 20
    assert "provara plugins check com.example.old.event" in listed
    assert long.run("plugins", "check").stdout.count("'const' is ignored") == 50
