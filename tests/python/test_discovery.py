"""Discovery through entry points: what is loaded, what is reported, and that nothing stops it."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from provara.plugins import PluginRegistry
from samples import Install, MakeModule, TouchExport, in_python

PLUGINS = """
from provara.plugins import EventTypePlugin, ReducerPlugin, ExportPlugin

class LoginEvent:
    name = "com.demo.audit.login"
    schema = {}
    def validate(self, data): return True
    def cli_command(self): return "login"

class Reducer:
    name = "com.demo.reducer"
    def reduce(self, events): return {}

class Export:
    name = "demo"
    def export(self, vault_path, output_path): pass

def make_export(): return Export()
def make_class(): return Reducer
instance = LoginEvent()
"""


def names(registry: PluginRegistry) -> list[str]:
    return [info["name"] for info in registry.get_plugin_info()]


def texts(registry: PluginRegistry) -> list[str]:
    return [problem.text for problem in registry.problems]


def test_classes_factories_and_instances(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("demo_plugins.py", PLUGINS)
    install(
        login="demo_plugins:instance",
        reducer="demo_plugins:make_class",
        export="demo_plugins:make_export",
    )
    assert registry.discover_plugins() == ()
    assert names(registry) == ["com.demo.audit.login", "com.demo.reducer", "demo"]
    for info in registry.get_plugin_info():
        assert info["distribution"] == "demo-plugins"
        assert info["version"] == "1.2.3"
        assert info["source"] == "entry_point"
    assert [info["entry_point"] for info in registry.get_plugin_info()] == [
        "login",
        "reducer",
        "export",
    ]
    assert registry.get_plugin_info()[2]["plugin_class"] == "demo_plugins.Export"


def test_discovery_goes_through_the_module_attribute(registry: PluginRegistry) -> None:
    point = MagicMock()
    point.name = "touch"
    point.load.return_value = TouchExport
    with patch("importlib.metadata.entry_points") as entry_points:
        entry_points.return_value.select.return_value = [point]
        registry.discover_plugins()
    entry_points.assert_called_once_with()
    entry_points.return_value.select.assert_called_once_with(group="provara.plugins")
    assert names(registry) == ["touch"]


def test_the_class_is_shown_as_the_entry_point_names_it(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("demo/csv_export.py", PLUGINS)
    make_module("demo/__init__.py", "from demo.csv_export import Export\n")
    install(export="demo:Export")
    registry.discover_plugins()
    assert registry.get_plugin_info()[0]["plugin_class"] == "demo.Export"


def test_a_re_exported_class_is_shown_by_its_public_path(
    registry: PluginRegistry, make_module: MakeModule
) -> None:
    make_module("demo/csv_export.py", PLUGINS)
    make_module("demo/__init__.py", "from demo.csv_export import Export\n")
    module: Any = importlib.import_module("demo.csv_export")
    registry.register_export(module.Export())
    registry.register_reducer(module.Reducer())
    assert [info["plugin_class"] for info in registry.get_plugin_info()] == [
        "demo.csv_export.Reducer",
        "demo.Export",
    ]


def test_what_is_found_is_cached(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("demo_plugins.py", PLUGINS)
    install(export="demo_plugins:Export")
    registry.discover_plugins()
    install(export="demo_plugins:Export", reducer="demo_plugins:Reducer")
    registry.discover_plugins()
    assert names(registry) == ["demo"]
    registry.reload()
    assert names(registry) == ["com.demo.reducer", "demo"]


def test_the_specifications_text_for_an_invalid_plugin(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("bad.py", "class BadReducer:\n    name = 'com.bad.reducer'\n")
    install("bad-plugin-package", "0.1.0", bad_plugin="bad:BadReducer")
    registry.discover_plugins()
    assert texts(registry) == [
        "ERROR: Plugin 'bad_plugin' is invalid.\n"
        "  Missing required method: 'reduce'\n"
        "  Plugin class: BadReducer\n"
        "  Source: bad-plugin-package v0.1.0\n"
        "Fix: Implement all required protocol methods."
    ]
    assert registry.problems[0].kind == "invalid"
    assert registry.problems[0].plugin == "bad_plugin"


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        # The protocol that the class derives from decides first ...
        ("class XExport(ReducerPlugin):\n  name = 'x'", ["reduce"]),
        ("class X(EventTypePlugin):\n  name = 'com.a.b'\n  schema = {}", ["validate"]),
        ("class X(ExportPlugin):\n  name = 'x'\n  def reduce(self, e): return {}", ["export"]),
        # ... then the members that it has ...
        ("class XReducer:\n  schema = {}\n  name = 'com.a.b'", ["validate"]),
        ("class XExport:\n  def cli_command(self): return None", ["name", "schema", "validate"]),
        ("class XReducer:\n  def export(self, v, o): pass", ["name"]),
        # ... then the end of its name.
        ("class XReducer:\n  name = 'x'", ["reduce"]),
        ("class XReducerPlugin:\n  pass", ["name", "reduce"]),
        ("class CSVExporter:\n  name = 'x'", ["export"]),
        ("class CSVExportPlugin:\n  name = 'x'", ["export"]),
        ("class LoginEventPlugin:\n  name = 'com.a.b'", ["schema", "validate"]),
        ("class LoginEventType:\n  name = 'com.a.b'", ["schema", "validate"]),
    ],
)
def test_what_an_invalid_class_was_meant_to_be(
    registry: PluginRegistry,
    make_module: MakeModule,
    install: Install,
    source: str,
    missing: list[str],
) -> None:
    imports = "from provara.plugins import EventTypePlugin, ReducerPlugin, ExportPlugin\n"
    make_module("bad.py", imports + source)
    install(bad=f"bad:{source.split()[1].split('(')[0].rstrip(':')}")
    registry.discover_plugins()
    (problem,) = registry.problems
    found = [line.split("'")[1] for line in problem.text.splitlines() if "Missing required" in line]
    assert found == missing
    assert names(registry) == []


def test_a_class_that_nothing_tells_about(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("bad.py", "class Thing:\n    name = 'x'\n")
    install(bad="bad:Thing")
    registry.discover_plugins()
    assert "'validate' (event type), 'reduce' (reducer) or 'export'" in texts(registry)[0]


def test_a_class_of_two_kinds_is_both(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module(
        "both.py",
        """
        class Both:
            name = "both"
            def reduce(self, events): return {}
            def export(self, vault_path, output_path): pass
        """,
    )
    install(both="both:Both")
    registry.discover_plugins()
    assert [info["type"] for info in registry.get_plugin_info()] == ["reducer", "export"]
    both: object = registry.get_reducer("both")
    assert both is registry.get_export("both")


BROKEN = {
    "raises_at_import": "raise RuntimeError('import')",
    "exits_at_import": "import sys; sys.exit(3)",
    "raises_base_exception": "class Stop(BaseException): pass\nraise Stop('now')",
    "syntax_error": "def broken(:\n",
    "missing_module": "import no_such_module_anywhere",
    "missing_class": "",
    "constructor_raises": "class Plugin:\n  name='x'\n  def __init__(self): raise KeyError('c')\n"
    "  def reduce(self, e): return {}",
    "constructor_needs_arguments": "class Plugin:\n  name='x'\n  def __init__(self, a): pass\n"
    "  def reduce(self, e): return {}",
    "constructor_exits": "class Plugin:\n  def __init__(self): raise SystemExit('bye')",
    "name_raises": "class Plugin:\n  @property\n  def name(self): raise ValueError('n')\n"
    "  def reduce(self, e): return {}",
    "factory_raises": "def Plugin(): raise OSError('f')",
    "unprintable_error": "class E(Exception):\n  def __str__(self): raise ValueError\nraise E",
    "error_that_exits": "class E(Exception):\n  def __str__(self): raise SystemExit\nraise E",
    "not_a_plugin": "Plugin = 42",
    "none": "Plugin = None",
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_plugin_stops_no_other(
    registry: PluginRegistry, make_module: MakeModule, install: Install, name: str
) -> None:
    make_module("a_broken.py", BROKEN[name])
    make_module("demo_plugins.py", PLUGINS)
    install(a_good="demo_plugins:Export", b_bad="a_broken:Plugin", c_good="demo_plugins:Reducer")
    registry.discover_plugins()
    assert names(registry) == ["com.demo.reducer", "demo"]
    (problem,) = registry.problems
    assert problem.plugin == "b_bad"
    assert problem.text.startswith("ERROR: Plugin 'b_bad' ")
    assert "\n  Source: demo-plugins v1.2.3\n" in problem.text
    assert problem.text.splitlines()[-1].startswith("Fix: ")


def test_a_load_failure_says_how_to_get_rid_of_it(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("broken.py", "raise RuntimeError('first line\\nsecond line')")
    install("demo-plugins", "1.2.3", bad="broken:Plugin")
    registry.discover_plugins()
    assert texts(registry) == [
        "ERROR: Plugin 'bad' could not be loaded.\n"
        "  RuntimeError: first line\n"
        "    second line\n"
        "  Object: broken.Plugin\n"
        "  Source: demo-plugins v1.2.3\n"
        "Fix: Repair the plugin, update it with 'pip install --upgrade demo-plugins', "
        "or remove it with 'pip uninstall demo-plugins'."
    ]


@pytest.mark.parametrize(
    ("record", "advice"),
    [
        (
            '{"url": "file:///home/u/my%20lab", "dir_info": {"editable": true}}',
            "where its source is (/home/u/my lab), or remove it with",
        ),
        (
            '{"url": "file:///home/u/lab", "dir_info": {}}',
            "where its source is (/home/u/lab), and install it from there again, or remove it with",
        ),
        (
            '{"url": "https://example.com/lab.git", "vcs_info": {"vcs": "git", "commit_id": "1"}}',
            "where its source is (https://example.com/lab.git), and install it from there again, or "
            "remove it with",
        ),
        ("{", "where its source is, and install it from there again, or remove it with"),
    ],
)
def test_no_index_is_asked_for_what_came_from_none(
    registry: PluginRegistry,
    make_module: MakeModule,
    install: Install,
    site: Path,
    record: str,
    advice: str,
) -> None:
    """An index may have something else under the name (PEP 610)."""
    make_module("broken.py", "raise RuntimeError")
    install("demo-plugins", "1.2.3", bad="broken:Plugin")
    (site / "demo_plugins-1.2.3.dist-info" / "direct_url.json").write_text(record, "utf-8")
    registry.discover_plugins()
    (text,) = texts(registry)
    fix = f"Fix: Repair the plugin {advice} 'pip uninstall demo-plugins'."
    assert text.splitlines()[-1] == fix


def test_no_index_is_asked_for_a_source_tree_on_the_path(
    registry: PluginRegistry, make_module: MakeModule, site: Path, only_site: None
) -> None:
    make_module("broken.py", "raise RuntimeError")
    info = site / "demo_plugins.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Name: demo-plugins\nVersion: 1.2.3\n", "utf-8")
    (info / "entry_points.txt").write_text("[provara.plugins]\nbad = broken:Plugin\n", "utf-8")
    registry.discover_plugins()
    (text,) = texts(registry)
    assert "pip install" not in text
    assert "Fix: Repair the plugin where its source is, or remove it" in text


def test_ctrl_c_is_the_users(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("broken.py", "raise KeyboardInterrupt")
    install(bad="broken:Plugin")
    with pytest.raises(KeyboardInterrupt):
        registry.discover_plugins()


def test_broken_metadata_is_reported(
    registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise OSError("unreadable")

    monkeypatch.setattr(importlib.metadata, "entry_points", fail)
    registry.discover_plugins()
    assert "OSError: unreadable" in texts(registry)[0]


def test_a_collision_of_entry_points_keeps_the_first(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("demo_plugins.py", PLUGINS)
    make_module("demo_again.py", PLUGINS)
    install("a-demo", "1.0", export="demo_plugins:Export")
    install("b-demo", "2.0", export="demo_again:Export")
    registry.discover_plugins()
    assert names(registry) == ["demo"]
    winner = registry.get_plugin_info()[0]["plugin_class"]
    loser = ({"demo_plugins.Export", "demo_again.Export"} - {winner}).pop()
    assert texts(registry) == [
        "ERROR: Plugin name collision for 'demo'.\n"
        f"  Existing: {winner}\n"
        f"  New: {loser}\n"
        "Fix: Use a unique name (reverse-domain notation recommended)."
    ]


def test_an_explicit_registration_keeps_its_name(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("demo_plugins.py", PLUGINS)
    install(export="demo_plugins:Export")
    mine = TouchExport()
    mine.name = "demo"
    registry.register_export(mine)
    registry.discover_plugins()
    assert registry.get_export("demo") is mine
    assert [problem.kind for problem in registry.problems] == ["collision"]


def test_a_module_may_register_what_its_entry_point_names(
    make_module: MakeModule, site: Path, install: Install
) -> None:
    make_module(
        "demo_plugins.py",
        PLUGINS
        + "from provara.plugins import registry\nregistry.register_export(Export())\n"
        + "registry.register_reducer(Reducer())\n",
    )
    install(export="demo_plugins:Export")
    out = in_python(
        site,
        """
        from provara.plugins import registry
        print([(i["name"], i["source"], i["distribution"], i["entry_point"])
               for i in registry.get_plugin_info() if i["distribution"] == "demo-plugins"],
                  registry.problems)
        """,
    )
    assert out == (
        "[('com.demo.reducer', 'registered', 'demo-plugins', None), "
        "('demo', 'entry_point', 'demo-plugins', 'export')] ()"
    )


def test_reload_forgets_and_imports_anew(
    registry: PluginRegistry, make_module: MakeModule, install: Install, site: Path
) -> None:
    make_module("demo_plugins.py", PLUGINS)
    install(export="demo_plugins:Export")
    registry.register_export(TouchExport())
    registry.discover_plugins()
    old = registry.get_export("demo")
    make_module("demo_plugins.py", PLUGINS.replace('"demo"', '"renamed"'))
    # A second's resolution of the compiled file's time stamp must not hide the change.
    os.utime(site / "demo_plugins.py", (1, 1))
    registry.reload()
    assert names(registry) == ["renamed"]
    assert type(registry.get_export("renamed")) is not type(old)


def test_reload_can_keep_explicit_registrations(registry: PluginRegistry, only_site: None) -> None:
    touch = TouchExport()
    registry.register_export(touch)
    registry.reload(keep_registered=True)
    assert registry.get_export("touch") is touch
    registry.reload()
    assert registry.get_export("touch") is None


def test_reload_leaves_modules_of_the_program_alone(
    registry: PluginRegistry, make_module: MakeModule, install: Install
) -> None:
    make_module("demo_plugins.py", PLUGINS)
    module: Any = importlib.import_module("demo_plugins")
    install(export="demo_plugins:Export")
    registry.discover_plugins()
    registry.reload()
    assert isinstance(registry.get_export("demo"), module.Export)


def test_problems_are_logged_in_full(
    make_module: MakeModule, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    registry = PluginRegistry()
    make_module("broken.py", "raise RuntimeError('no')")
    install(bad="broken:Plugin")
    with caplog.at_level(logging.WARNING, logger="provara.plugins"):
        registry.discover_plugins()
    assert [record.getMessage() for record in caplog.records] == texts(registry)


def test_importing_the_module_discovers(
    make_module: MakeModule, site: Path, install: Install
) -> None:
    make_module("demo_plugins.py", PLUGINS)
    install(export="demo_plugins:Export")
    out = in_python(
        site,
        """
        import sys, provara.plugins
        registry = provara.plugins.registry
        print("demo_plugins" in sys.modules, registry.get_export("demo") is not None)
        """,
    )
    assert out == "True True"


def test_a_plugin_package_may_be_imported_first(
    make_module: MakeModule, site: Path, install: Install
) -> None:
    """Its own import of ``provara.plugins`` starts discovery while it is half-way through."""
    make_module("demo/parts.py", PLUGINS)
    make_module("demo/__init__.py", "from demo.parts import Export, Reducer\n")
    install(export="demo:Export", reducer="demo:Reducer")
    out = in_python(
        site,
        """
        from demo import Export
        from provara.plugins import registry
        print(type(registry.get_export("demo")) is Export, registry.problems)
        infos = registry.get_plugin_info()
        print([i["name"] for i in infos if i["distribution"] == "demo-plugins"])
        """,
    )
    assert out.splitlines() == ["True ()", "['com.demo.reducer', 'demo']"]


def test_threads_that_import_and_discover_do_not_wait_for_each_other(
    make_module: MakeModule, site: Path, install: Install
) -> None:
    make_module(
        "slow.py",
        """
        import threading, time
        importing.set()
        discovering.wait(10)
        time.sleep(0.1)
        from provara.plugins import registry
        class Export:
            name = "slow"
            def export(self, vault_path, output_path): pass
        class Other(Export):
            name = "other"
        registry.get_export("slow")
        registry.register_export(Other())
        """,
    )
    out = in_python(
        site,
        """
        import builtins, importlib, os, threading
        builtins.importing, builtins.discovering = threading.Event(), threading.Event()
        from provara.plugins import registry
        os.environ["PROVARA_PLUGINS"] = "slow:Export"
        thread = threading.Thread(target=importlib.import_module, args=("slow",), daemon=True)
        thread.start()
        importing.wait(10)
        threading.Timer(0.1, discovering.set).start()
        registry.reload()
        thread.join(20)
        print(thread.is_alive(), sorted(plugin.name for plugin in registry.list_exports()
                                        if plugin.name in ("slow", "other")))
        """,
    )
    assert out == "False ['other', 'slow']"
