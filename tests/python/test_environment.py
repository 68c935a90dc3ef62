"""``PROVARA_PLUGINS``: how it is split, and what a module in it stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from provara.plugins import PluginRegistry
from provara.plugins._discovery import split_environment
from samples import MakeModule, in_python

CLASSES = """
class CountReducer:
    name = "com.env.count"
    def reduce(self, events): return {}

class DumpExport:
    name = "dump"
    def export(self, vault_path, output_path): pass

class _Hidden:
    name = "hidden"
    def reduce(self, events): return {}

class Helper:
    pass

def make(): return DumpExport()
"""


@pytest.mark.skipif(os.pathsep != ":", reason="2026-11: tests the POSIX separator")
@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("", []),
        (" , ,", []),
        ("pkg.module", ["pkg.module"]),
        ("pkg.module:Class", ["pkg.module:Class"]),
        ("pkg.module:Class,other", ["pkg.module:Class", "other"]),
        (" a:B , c:D ", ["a:B", "c:D"]),
        ("a.b:C:d.e:F", ["a.b:C", "d.e:F"]),
        ("a.b:C:json:e.f:G:", ["a.b:C", "json", "e.f:G"]),
        ("a:Outer.Inner:b", ["a:Outer.Inner", "b"]),
        ("a:_Private", ["a:_Private"]),
        # No module is called `make_a_plugin`, so it is a factory of `a`; `json` is a module.
        ("a:make_a_plugin:json", ["a:make_a_plugin", "json"]),
        ("a:json", ["a", "json"]),
        # With a comma a colon never separates items.
        ("a:json,b", ["a:json", "b"]),
        ("a:json,", ["a:json"]),
    ],
)
def test_splitting(value: str, items: list[str]) -> None:
    assert split_environment(value) == items


def test_the_windows_separator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pathsep", ";")
    assert split_environment("a:B;c;d:e,f") == ["a:B", "c", "d:e", "f"]


def discover(
    registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch, value: str
) -> list[tuple[str, str]]:
    monkeypatch.setenv("PROVARA_PLUGINS", value)
    registry.discover_plugins()
    return [(info["name"], info["plugin_class"]) for info in registry.get_plugin_info()]


pytestmark = pytest.mark.usefixtures("only_site")


def test_a_class_of_a_module(
    registry: PluginRegistry, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_module("envmod.py", CLASSES)
    assert discover(registry, monkeypatch, "envmod:CountReducer") == [
        ("com.env.count", "envmod.CountReducer")
    ]
    assert registry.get_plugin_info()[0]["source"] == "environment"
    assert registry.problems == ()


def test_a_factory_of_a_module(
    registry: PluginRegistry, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_module("envmod.py", CLASSES)
    assert discover(registry, monkeypatch, "envmod:make") == [("dump", "envmod.DumpExport")]


def test_a_module_that_registers_nothing(
    registry: PluginRegistry, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_module("envmod.py", CLASSES)
    make_module("other.py", "from envmod import CountReducer\n" + CLASSES.replace("env", "other"))
    assert discover(registry, monkeypatch, "envmod") == [
        ("com.env.count", "envmod.CountReducer"),
        ("dump", "envmod.DumpExport"),
    ]
    assert registry.problems == ()


def test_only_classes_that_the_module_defines(
    registry: PluginRegistry, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_module("base.py", CLASSES)
    make_module("envmod.py", "from base import *\nclass Mine(CountReducer):\n  name = 'mine'\n")
    assert discover(registry, monkeypatch, "envmod") == [("mine", "envmod.Mine")]


def test_classes_of_a_package_count(
    registry: PluginRegistry, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_module("envpkg/inner.py", CLASSES)
    make_module("envpkg/__init__.py", "from envpkg.inner import CountReducer\n")
    assert discover(registry, monkeypatch, "envpkg") == [("com.env.count", "envpkg.CountReducer")]


def test_a_module_that_registers_what_it_likes(make_module: MakeModule, site: Path) -> None:
    make_module(
        "envmod.py",
        CLASSES + "from provara.plugins import registry\nregistry.register_export(DumpExport())\n",
    )
    out = in_python(
        site,
        """
        from provara.plugins import registry
        print([(i["name"], i["source"]) for i in registry.get_plugin_info()
               if i["source"] != "entry_point"], registry.problems)
        registry.reload()
        print([i["name"] for i in registry.get_plugin_info() if i["source"] != "entry_point"])
        """,
        PROVARA_PLUGINS="envmod",
    )
    assert out.splitlines() == ["[('dump', 'environment')] ()", "['dump']"]


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("envmod:Nothing", "AttributeError"),
        ("envmod:Helper", "is invalid"),
        ("/tmp/plugin.py", "is neither 'package.module' nor 'package.module:Class'"),
        ("env mod", "is neither 'package.module' nor"),
        (".relative", "is neither 'package.module' nor"),
        ("empty", "The module registers no plugin and defines no class that is one"),
    ],
)
def test_items_that_cannot_be_used(
    registry: PluginRegistry,
    make_module: MakeModule,
    monkeypatch: pytest.MonkeyPatch,
    item: str,
    problem: str,
) -> None:
    make_module("envmod.py", CLASSES)
    make_module("empty.py", "")
    assert discover(registry, monkeypatch, f"{item},envmod:DumpExport") == [
        ("dump", "envmod.DumpExport")
    ]
    (found,) = registry.problems
    assert found.plugin == item
    assert problem in found.text
    assert f"\n  Source: PROVARA_PLUGINS ({item})\n" in found.text


def test_a_class_derived_from_a_protocol_is_meant_to_be_a_plugin(
    registry: PluginRegistry, make_module: MakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_module(
        "envmod.py",
        "from provara.plugins import ReducerPlugin\nclass Half(ReducerPlugin):\n  name = 'half'\n",
    )
    assert discover(registry, monkeypatch, "envmod") == []
    assert registry.problems[0].text == (
        "ERROR: Plugin 'envmod' is invalid.\n"
        "  Missing required method: 'reduce'\n"
        "  Plugin class: Half\n"
        "  Source: PROVARA_PLUGINS (envmod)\n"
        "Fix: Implement all required protocol methods."
    )


def test_entry_points_come_first(
    registry: PluginRegistry,
    make_module: MakeModule,
    monkeypatch: pytest.MonkeyPatch,
    install: object,
) -> None:
    make_module("envmod.py", CLASSES)
    make_module("demo_plugins.py", CLASSES)
    assert callable(install)
    install(dump="demo_plugins:DumpExport")
    assert discover(registry, monkeypatch, "envmod:DumpExport") == [
        ("dump", "demo_plugins.DumpExport")
    ]
    assert [problem.kind for problem in registry.problems] == ["collision"]
