"""The schemas of plugins: what they refer to, when they are read, what is told of them."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from support import Environment, Provara, assert_one_error, events


def with_module(provara: Provara, directory: Path, source: str) -> Provara:
    """The executable with a module of plugins, whose classes are all registered."""
    directory.mkdir(exist_ok=True)
    (directory / "of_the_test.py").write_text(textwrap.dedent(source), "utf-8")
    return provara.with_environment(PYTHONPATH=str(directory), PROVARA_PLUGINS="of_the_test")


ORDER = """
    from pathlib import Path
    class Order:
        name = "com.example.shop.order"
        schema = {"$id": "https://example.com/order.json", "properties": {
            "customer": {"$ref": "parts/customer.json"},
            "items": {"items": {"$ref": "https://example.com/item.json#/$defs/Item<T>"}}}}
        schemas = %s
        def validate(self, data):
            return True
"""
CUSTOMER = {"required": ["name"], "properties": {"zip": {"$ref": "zip.json"}}}
ZIP = {"type": "string", "pattern": r"^(?!0).{5}$"}
ITEM = {"$id": "https://example.com/item.json", "$defs": {"Item<T>": {"type": "integer"}}}


@pytest.mark.parametrize("form", ["dict", "directory"])
def test_a_plugin_brings_the_schemas_that_its_own_refers_to(
    provara: Provara, vault: Path, tmp_path: Path, form: str
) -> None:
    code = tmp_path / "code"
    files = {"parts/customer.json": CUSTOMER, "parts/zip.json": ZIP, "any-name.json": ITEM}
    for name, schema in files.items():
        path = code / "schemas" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema), "utf-8")
    given = repr(files) if form == "dict" else 'Path(__file__).parent / "schemas"'
    shop = with_module(provara, code, ORDER % given)
    good = {"customer": {"name": "a", "zip": "10115"}, "items": [1]}
    shop.append(vault, "com.example.shop.order", good)
    assert events(vault)[-1]["payload"] == good
    # The further schemas say that a postal code is text.
    typed = ["--set", "customer.name=a", "--set", "customer.zip=10115"]
    shop.run("append", vault, "--type", "com.example.shop.order", *typed)
    assert events(vault)[-1]["payload"] == {"customer": {"name": "a", "zip": "10115"}}
    for data, field in [
        ({"customer": {}}, "customer.name"),
        ({"customer": {"name": 1, "zip": "1011\r"}}, "customer.zip"),
        ({"items": ["1"]}, "items[0]"),
    ]:
        refused = shop.append(vault, "com.example.shop.order", data, expect=2)
        assert f"Field: '{field}'" in refused.stderr
    assert shop.run("plugins", "list").stderr == ""


def test_a_schema_that_is_missing_is_named(provara: Provara, vault: Path, tmp_path: Path) -> None:
    given = {"parts/customer.json": CUSTOMER, "any-name.json": ITEM}
    shop = with_module(provara, tmp_path / "code", ORDER % given)
    for command in (
        ["append", vault, "--type", "com.example.shop.order", "--data", "{}"],
        ["plugins", "list"],
    ):
        outcome = shop.run(*command, expect=None)
        assert outcome.code == (4 if command[0] == "append" else 0)
        assert "'https://example.com/parts/zip.json', which is not here" in outcome.stderr
        assert "attribute 'schemas'" in outcome.stderr
        assert "nothing is fetched" in outcome.stderr


PROPERTIES = """
    class Good:
        name = "com.example.read.good"
        version = "2.0"
        def validate(self, data):
            return True
        @property
        def schema(self):
            print("read good")
            return {"type": "object", "properties": {"n": {"type": "integer"}}}
    class Bad(Good):
        name = "com.example.read.bad"
        @property
        def schema(self):
            print("read bad")
            return {"type": "objekt"}
    class Raising(Good):
        name = "com.example.read.raising"
        @property
        def schema(self):
            raise RuntimeError("no file")
    class Count:
        name = "count"
        def reduce(self, events):
            return {"events": sum(1 for _ in events)}
"""


def test_only_the_schema_that_a_command_needs_is_read(
    provara: Provara, vault: Path, tmp_path: Path
) -> None:
    read = with_module(provara, tmp_path / "code", PROPERTIES)
    appended = read.append(vault, "com.example.read.good", {"n": 1})
    assert "read good" in appended.stderr
    assert "read bad" not in appended.stderr
    refused = read.append(vault, "com.example.read.good", {"n": "1"}, expect=2)
    assert "Schema: com.example.read.good v2.0" in refused.stderr
    reduced = read.run("reduce", vault, "--plugin", "count")
    assert reduced.json() == {"events": len(events(vault))}
    assert "read" not in reduced.stderr
    for name, why in [("bad", "at '/type': 'objekt'"), ("raising", "RuntimeError: no file")]:
        failed = read.append(vault, f"com.example.read.{name}", {}, expect=4)
        assert why in failed.stderr, failed
        assert f"Plugin 'com.example.read.{name}' is invalid" in failed.stderr
        # Nobody could judge its data, and that is not the way around it.
        unregistered = ["--allow-unregistered"]
        for more in ([], unregistered):
            error = assert_one_error(
                read.append(vault, f"com.example.read.{name}", {}, *more, expect=4)
            )
            assert f"The plugin that defines the event type 'com.example.read.{name}'" in error
            assert "Fix: Correct the plugin's JSON Schema." in error
            assert "Did you mean" not in error
        line = json.dumps({"type": f"com.example.read.{name}", "data": {}})
        batched = read.run("append", vault, "--batch", "-", *unregistered, stdin=line, expect=4)
        assert why in batched.stderr, batched
    batch = "".join(
        json.dumps({"type": f"com.example.read.{name}", "data": {"n": 1}}) + "\n"
        for name in ("good", "bad", "good")
    )
    before = len(events(vault))
    read.run("append", vault, "--batch", "-", stdin=batch, expect=4)
    assert len(events(vault)) <= before + 1
    listed = read.run("plugins", "list", "--json")
    names = [plugin["name"] for plugin in listed.json()["event_types"]]
    assert names == ["com.example.read.good"]
    assert len(listed.json()["problems"]) == 2


def test_the_list_warns_of_what_decides_nothing(provara: Provara, tmp_path: Path) -> None:
    source = r"""
        class Advised:
            name = "com.example.told.advised"
            schema = {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {
                "by": {"type": "string", "format": "emial"},
                "n": {"minimun": 1, "const": 2},
                "word": {"type": "string", "pattern": "\\bword"}}}
            def validate(self, data):
                return True
    """
    told = with_module(provara, tmp_path / "code", source)
    listed = told.run("plugins", "list")
    warnings = [line for line in listed.stderr.splitlines() if line.startswith("WARNING: ")]
    start = "WARNING: the schema of 'com.example.told.advised', at '/properties"
    assert [warning.removeprefix(start) for warning in warnings] == [
        "/by': the format 'emial' is not known and checks nothing; did you mean 'email'?",
        "/n': 'minimun' is no keyword and decides nothing; did you mean 'minimum'?",
        "/n': 'const' is ignored by draft 4, the dialect of this schema.",
        "/word': the pattern '\\bword' is not portable: '\\b' and '\\B' go by letters of all scripts "
        "here, and by ASCII in JavaScript.",
    ]
    advice = told.run("plugins", "list", "--json").json()["advice"]
    assert len(advice) == 4
    assert advice[0]["plugin"] == "com.example.told.advised"


MODELS = """
    from datetime import datetime, time, timedelta
    from typing import Annotated, Literal, Union
    from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema

    CLOCK = "^[0-9]{2}(:[0-9]{2}){2}([.][0-9]+)?$"

    class Loose(BaseModel):
        began: datetime | None = None
        alarm: time | None = None
        took: timedelta | None = None

    class Strict(BaseModel):
        model_config = ConfigDict(ser_json_timedelta="float")
        began: AwareDatetime | None = None
        alarm: Annotated[time, WithJsonSchema({"type": "string", "pattern": CLOCK})] | None = None
        took: timedelta | None = None

    class Cat(BaseModel):
        model_config = ConfigDict(extra="forbid")
        kind: Literal["cat"]
        lives: int
    class Dog(BaseModel):
        kind: Literal["dog"]
        tricks: int
    class Owner(BaseModel):
        pet: Union[Cat, Dog] = Field(discriminator="kind")

    class Plugin:
        def validate(self, data):
            return True
    class LooseEvent(Plugin):
        name = "com.example.model.loose"
        schema = Loose.model_json_schema(mode="serialization")
    class StrictEvent(Plugin):
        name = "com.example.model.strict"
        schema = Strict.model_json_schema(mode="serialization")
    class OwnerEvent(Plugin):
        name = "com.example.model.owner"
        schema = Owner.model_json_schema()
"""

#: What a model is given, and what it writes.
WRITE = """
import json, sys
from datetime import datetime, time, timedelta, timezone
from of_the_test import Loose, Strict
values = [
    ("began", datetime(2026, 1, 2, 3, 4, 5)), ("alarm", time(3, 4, 5)),
    ("took", timedelta(seconds=1.5)), ("took", timedelta(hours=1, seconds=1)),
    ("took", timedelta(days=400)), ("took", timedelta(seconds=-5)),
    ("took", timedelta(hours=1, minutes=30)),
    ("began", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)),
]
for model in Loose, Strict:
    for name, value in values:
        if model is Strict and name == "began" and value.tzinfo is None:
            continue
        written = model(**{name: value}).model_dump_json(exclude_none=True)
        print(json.dumps([model.__name__.lower(), written]))
"""


def test_what_pydantic_writes_and_what_its_schema_says(tmp_path: Path) -> None:
    """The table in docs/tutorials/plugin-package.md, with the real package."""
    environment = Environment(tmp_path / "venv", "pydantic==2.14.4")
    code = tmp_path / "code"
    provara = with_module(Provara(environment.executable, tmp_path / "home"), code, MODELS)
    vault = tmp_path / "vault"
    provara.run("init", vault)
    written = environment.python_run("-c", WRITE, env={"PYTHONPATH": str(code)})
    found: dict[str, list[tuple[str, int]]] = {"loose": [], "strict": []}
    for line in written.splitlines():
        model, text = json.loads(line)
        outcome = provara.append(vault, f"com.example.model.{model}", text, expect=None)
        found[model].append((next(iter(json.loads(text).values())), outcome.code))
    assert found["loose"] == [
        ("2026-01-02T03:04:05", 2),
        ("03:04:05", 2),
        ("PT1.5S", 2),
        ("PT1H1S", 2),
        ("P1Y35D", 2),
        ("-PT5S", 2),
        ("PT1H30M", 0),
        ("2026-01-02T03:04:05Z", 0),
    ]
    assert [code for _, code in found["strict"]] == [0] * 7
    owner: list[tuple[dict[str, Any], str, str]] = [
        (
            {"kind": "cat", "lives": 9, "x": 1},
            "pet.x",
            "Unexpected field 'x' (in the form Cat)",
        ),
        ({"kind": "dog"}, "pet.tricks", "Missing required field 'tricks' (in the form Dog)"),
        ({"kind": "dgo"}, "pet.kind", "'dgo' is none of the 2 forms; did you mean 'dog'?"),
    ]
    for pet, field, error in owner:
        refused = provara.append(vault, "com.example.model.owner", {"pet": pet}, expect=2)
        assert_one_error(refused)
        assert f"Field: '{field}'\n  Error: {error}\n" in refused.stderr
