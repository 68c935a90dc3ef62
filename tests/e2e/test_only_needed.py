"""A command loads the plugins that it asks for; what is remembered of the others changes no answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support import Outcome, Provara

MODULE = """
print("loaded {name}")

class Event:
    name = {type!r}
    schema = {{"type": "object"}}
    def validate(self, data):
        if data.get("refused"):
            raise ValueError("refused by {name}")
        return True
    def cli_command(self):
        return {alias!r}

class Reducer:
    name = "org.example.{name}.reducer"
    def reduce(self, events):
        return {{"by": "{name}"}}
"""

pytestmark = pytest.mark.usefixtures("sandboxed")

#: How long files must have been as they are before anything is remembered that depends on them.
SETTLED = 3.2


def package(site: Path, name: str, type_: str | None = None, code: str = "") -> None:
    """A package of one event type and one reducer, as an installer leaves it."""
    type_ = type_ or f"org.example.{name}.event"
    module = MODULE.format(name=name, type=type_, alias=f"{name}-event") + code
    (site / f"{name}.py").write_text(module)
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = f"[provara.plugins]\nevent = {name}:Event\nreducer = {name}:Reducer\n"
    (metadata / "entry_points.txt").write_text(points)


class World:
    """An installation with some packages, its vault, and what it remembers."""

    def __init__(self, provara: Provara, directory: Path, names: Iterable[str]) -> None:
        self.site = directory / "site"
        self.site.mkdir()
        for name in names:
            package(self.site, name)
        self.provara = provara.with_environment(PYTHONPATH=str(self.site))
        self.vault = directory / "vault"
        self.provara.run("init", self.vault)

    def append(self, type_: str, *more: str, expect: int | None = 0) -> Outcome:
        return self.provara.append(self.vault, type_, {}, *more, expect=expect)

    def learn(self) -> None:
        """Lets commands learn all that there is to be learned."""
        time.sleep(SETTLED)
        for _ in range(20):
            self.append(self.some_type())
            if self.memory().get("complete"):
                return
        raise AssertionError(f"nothing was learned: {self.memory()}")

    def some_type(self) -> str:
        return "org.example.a.event"

    def memory(self) -> dict[str, Any]:
        files = list((self.provara.home / ".local/state/provara/claims").glob("*.json"))
        assert len(files) <= 1
        return dict(json.loads(files[0].read_bytes())) if files else {}

    def claims(self, name: str) -> list[str] | None:
        """What is remembered of a package: its names, or nothing if it is always loaded."""
        entry = self.memory()["distributions"].get(str(self.site / f"{name}-1.0.dist-info"))
        claims = None if entry is None else entry["claims"]
        return None if claims is None else sorted(claim["name"] for claim in claims)


def loaded(outcome: Outcome) -> list[str]:
    """The packages whose modules were imported, in this order."""
    lines = outcome.stderr.splitlines()
    return [line.rpartition(" ")[2] for line in lines if "] loaded " in line]


def without_prints(outcome: Outcome) -> str:
    return "\n".join(line for line in outcome.stderr.splitlines() if "] loaded " not in line)


@pytest.fixture
def world(provara: Provara, tmp_path: Path) -> World:
    return World(provara, tmp_path, "abc")


def test_only_the_plugins_that_are_asked_for_are_loaded(world: World) -> None:
    assert loaded(world.append("org.example.a.event")) == ["a", "b", "c"]
    world.learn()
    assert loaded(world.append("org.example.a.event")) == ["a"]
    assert loaded(world.append("ORG.example.B.event")) == ["b"]
    assert loaded(world.append("c-event")) == ["c"]
    reduced = world.provara.run("reduce", world.vault, "--plugin", "org.example.b.reducer")
    assert loaded(reduced) == ["b"] and reduced.json() == {"by": "b"}
    # A listing asks for all.
    assert loaded(world.provara.run("plugins", "list")) == ["a", "b", "c"]


def test_what_was_learned_is_what_each_said_alone(provara: Provara, tmp_path: Path) -> None:
    world = World(provara, tmp_path, "abc")
    memory = provara.home / ".local/state/provara/claims"
    # It speaks for the others where it can, and would write what is remembered.
    meddling = f"""
import os, sys
for path in ({str(memory)!r}, os.environ.get("PROVARA_PLUGIN_STATE"), os.environ.get("TMPDIR")):
    try:
        with open(os.path.join(path, "x.json"), "w") as file:
            file.write("{{}}")
    except (OSError, TypeError):
        pass
host = sys.modules["provara.plugins._host"]
before = host._OPERATIONS["discover"]
def discover(request):
    result = before(request)
    for plugin in result["plugins"]:
        if plugin["name"] == "org.example.b.event":
            plugin["name"] = "org.example.b.other"
    return result
host._OPERATIONS["discover"] = discover
"""
    package(world.site, "meddler", code=meddling)
    world.learn()
    for name in "abc":
        own = [f"{name}-event", f"org.example.{name}.event", f"org.example.{name}.reducer"]
        assert world.claims(name) == own
    assert [path.suffix for path in memory.iterdir()] == [".json"]
    assert not (memory / "x.json").exists()
    # It has no part in what concerns the others any more.
    assert loaded(world.append("org.example.b.event")) == ["b"]


def test_two_with_one_type_collide_as_ever(provara: Provara, tmp_path: Path) -> None:
    world = World(provara, tmp_path, "abcd")
    package(world.site, "c", "org.example.b.event")
    before = world.append("org.example.b.event")
    assert "1 problem with installed plugins" in before.stderr
    world.learn()
    after = world.append("org.example.b.event")
    assert loaded(after) == ["b", "c"]
    assert without_prints(after) == without_prints(before)
    # Who has nothing to do with it hears of it all the same, as before.
    other = world.append("org.example.d.event")
    assert loaded(other) == ["b", "c", "d"]
    assert "1 problem with installed plugins" in other.stderr


def test_a_plugin_that_changes_in_place_is_seen(world: World) -> None:
    world.learn()
    assert loaded(world.append("org.example.b.event")) == ["b"]
    # Of the first one by name, which takes the type over: nothing else changes, not even the size.
    source = (world.site / "a.py").read_text()
    (world.site / "a.py").write_text(source.replace("org.example.a.event", "org.example.b.event"))
    taken = world.append("org.example.b.event")
    assert loaded(taken) == ["a", "b"]
    assert "1 problem with installed plugins" in taken.stderr
    refused = world.provara.append(world.vault, "org.example.b.event", {"refused": True}, expect=2)
    assert "refused by a" in refused.stderr
    unknown = world.append("org.example.a.event", expect=2)
    assert loaded(unknown) == ["a", "b", "c"]


def test_a_new_package_is_seen_at_once(world: World) -> None:
    world.learn()
    package(world.site, "0", "org.example.b.event")
    taken = world.append("org.example.b.event")
    assert loaded(taken)[0] == "0" and "1 problem with installed plugins" in taken.stderr


def test_a_name_that_nobody_has_is_asked_of_all(world: World) -> None:
    unknown = world.append("org.example.d.event", expect=2)
    world.learn()
    again = world.append("org.example.d.event", expect=2)
    assert loaded(again) == ["a", "b", "c"]
    assert without_prints(again) == without_prints(unknown)
    assert "3 installed plugins" in again.stderr
    free = world.append("org.example.d.event", "--allow-unregistered")
    assert loaded(free) == ["a", "b", "c"]


def test_a_broken_plugin_is_told_of_by_every_command(world: World) -> None:
    package(world.site, "broken", code="\nraise RuntimeError('no')\n")
    package(world.site, "quits", code="\nimport os; os._exit(3)\n")
    before = world.append("org.example.a.event")
    world.learn()
    assert world.claims("broken") is None and world.claims("quits") is None
    after = world.append("org.example.a.event")
    assert without_prints(after) == without_prints(before)
    assert "the plugin 'event (quits)' was left out" in after.stderr


def test_a_module_of_the_variable_counts_as_ever(world: World) -> None:
    (world.site / "more.py").write_text(
        MODULE.format(name="more", type="org.example.more.event", alias="b-event")
    )
    chosen = World.__new__(World)
    chosen.__dict__ = dict(world.__dict__)
    chosen.provara = world.provara.with_environment(PROVARA_PLUGINS="more")
    before = chosen.append("org.example.a.event")
    assert "1 problem with installed plugins" in before.stderr
    chosen.learn()
    # Its alias is also that of one which was left out: so nobody is.
    after = chosen.append("org.example.a.event")
    assert without_prints(after) == without_prints(before)
    assert loaded(after) == ["a", "more", "a", "b", "c", "more"]


def test_nothing_is_remembered_where_plugins_are_not_confined(world: World) -> None:
    time.sleep(SETTLED)
    for _ in range(4):
        world.append("org.example.a.event", "--sandbox=off")
    assert world.memory() == {}
    world.learn()
    assert loaded(world.append("org.example.a.event", "--sandbox=off")) == ["a", "b", "c"]


def test_what_the_system_tells_of_itself_keeps_nobody_from_being_known(world: World) -> None:
    package(world.site, "b", code="\nopen('/proc/meminfo').read()\n")
    world.learn()
    assert world.claims("b") == ["b-event", "org.example.b.event", "org.example.b.reducer"]


def test_one_package_is_not_examined(provara: Provara, tmp_path: Path) -> None:
    world = World(provara, tmp_path, "a")
    world.learn()
    assert world.memory()["distributions"] == {}
