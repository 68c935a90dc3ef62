"""The registry: what may be registered, under which names, and in which words it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from provara.errors import ProvaraError, RegistrationError
from provara.plugins import (
    RESERVED_CORE_TYPES,
    EventTypePlugin,
    ExportPlugin,
    PluginRegistry,
    ReducerPlugin,
    SupportsCliCommand,
    builtin,
)
from samples import CountReducer, LoginEventPlugin, TouchExport


def event_type(**members: Any) -> Any:
    """An event type plugin with some members replaced."""
    body = {"name": "com.example.x", "schema": {}, "validate": lambda self, data: True, **members}
    return type("SomeEvent", (), body)()


def refusal(registry: PluginRegistry, plugin: Any, kind: str = "event_type") -> str:
    with pytest.raises(ValueError) as caught:
        getattr(registry, f"register_{kind}")(plugin)
    assert isinstance(caught.value, RegistrationError)
    assert isinstance(caught.value, ProvaraError)
    return str(caught.value)


def test_a_new_registry_is_empty(registry: PluginRegistry) -> None:
    assert registry.list_event_types() == []
    assert registry.list_reducers() == []
    assert registry.list_exports() == []
    assert registry.get_plugin_info() == []
    assert registry.problems == ()
    assert registry.get_event_type("com.acme.audit.login") is None
    assert registry.get_reducer("x") is None
    assert registry.get_export("csv") is None


def test_what_is_registered_is_found(registry: PluginRegistry) -> None:
    login, count, touch = LoginEventPlugin(), CountReducer(), TouchExport()
    registry.register_event_type(login)
    registry.register_reducer(count)
    registry.register_export(touch)
    assert registry.get_event_type("com.acme.audit.login") is login
    assert registry.get_reducer("com.acme.count") is count
    assert registry.get_export("touch") is touch
    assert registry.list_event_types() == [login]
    assert registry.list_reducers() == [count]
    assert registry.list_exports() == [touch]
    assert registry.get_reducer("touch") is None


def test_names_compare_without_regard_to_case(registry: PluginRegistry) -> None:
    registry.register_event_type(event_type(name="com.acme.Login"))
    found = registry.get_event_type("COM.acme.login")
    assert found is not None
    assert found.name == "com.acme.Login"
    text = refusal(registry, event_type(name="com.ACME.login"))
    assert text.startswith("ERROR: Plugin name collision for 'com.ACME.login'.")
    registry.register_export(TouchExport())
    upper = TouchExport()
    upper.name = "TOUCH"
    assert "collision for 'TOUCH'" in refusal(registry, upper, "export")


def test_kinds_do_not_collide_with_each_other(registry: PluginRegistry) -> None:
    reducer, export = CountReducer(), TouchExport()
    reducer.name = export.name = "same"
    registry.register_reducer(reducer)
    registry.register_export(export)
    assert registry.get_reducer("same") is reducer
    assert registry.get_export("same") is export


def test_lists_are_sorted_by_name(registry: PluginRegistry) -> None:
    for name in ("com.b.x", "com.c.x", "com.a.x"):
        registry.register_event_type(event_type(name=name))
    assert [plugin.name for plugin in registry.list_event_types()] == [
        "com.a.x",
        "com.b.x",
        "com.c.x",
    ]


@pytest.mark.parametrize("name", sorted(RESERVED_CORE_TYPES))
def test_core_types_are_reserved(registry: PluginRegistry, name: str) -> None:
    for spelling in (name, name.lower(), name.title()):
        text = refusal(registry, event_type(name=spelling))
        assert text == (
            f"ERROR: Event type name '{spelling}' is reserved for core types.\n"
            "  Plugin class: SomeEvent\n"
            "  Source: registered from Python\n"
            "Fix: Use a reverse-domain name of your own (for example com.example.audit.login)."
        )


@pytest.mark.parametrize(
    "name",
    ["", "login", "com.acme", "com..acme.x", "com.acme.x.", ".com.acme.x", "com.acme.lo gin",
     "c_m.acme.x", "com.acme.\N{CYRILLIC SMALL LETTER A}", "com.acme.x\n"],
)  # fmt: skip
def test_event_types_are_reverse_domain(registry: PluginRegistry, name: str) -> None:
    text = refusal(registry, event_type(name=name))
    assert f"name '{name}' is not in reverse-domain notation" in text
    assert text.splitlines()[-1].startswith("Fix: Use three labels or more")


def test_case_is_kept_as_given(registry: PluginRegistry) -> None:
    registry.register_event_type(event_type(name="com.Acme.Audit-Log.Log_In"))
    assert registry.list_event_types()[0].name == "com.Acme.Audit-Log.Log_In"


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "x\n", "-x", "é", "a" * 201])
@pytest.mark.parametrize("kind", ["reducer", "export"])
def test_other_names_can_be_typed(registry: PluginRegistry, name: str, kind: str) -> None:
    plugin: Any = CountReducer() if kind == "reducer" else TouchExport()
    plugin.name = name
    assert refusal(registry, plugin, kind).startswith(f"ERROR: Plugin name {name!r} is not valid.")


def test_the_specifications_text_for_a_missing_method(registry: PluginRegistry) -> None:
    class BadReducer:
        name = "bad_plugin"

    assert refusal(registry, BadReducer(), "reducer") == (
        "ERROR: Plugin 'bad_plugin' is invalid.\n"
        "  Missing required method: 'reduce'\n"
        "  Plugin class: BadReducer\n"
        "  Source: registered from Python\n"
        "Fix: Implement all required protocol methods."
    )


def test_every_missing_member_is_listed(registry: PluginRegistry) -> None:
    class Nothing:
        pass

    assert refusal(registry, Nothing()) == (
        "ERROR: Plugin 'Nothing' is invalid.\n"
        "  Missing required attribute: 'name'\n"
        "  Missing required attribute: 'schema'\n"
        "  Missing required method: 'validate'\n"
        "  Plugin class: Nothing\n"
        "  Source: registered from Python\n"
        "Fix: Implement all required protocol methods."
    )
    no_schema = type("NoSchema", (), {"name": "com.a.b", "validate": lambda self, data: True})()
    assert refusal(registry, no_schema).endswith("Fix: Define all required protocol attributes.")


def test_a_method_that_cannot_be_called_is_missing(registry: PluginRegistry) -> None:
    assert "Missing required method: 'validate'" in refusal(registry, event_type(validate=True))


def test_a_class_is_not_an_instance(registry: PluginRegistry) -> None:
    registry_text = refusal(registry, LoginEventPlugin)
    assert "Fix: Register an instance: LoginEventPlugin()." in registry_text


@pytest.mark.parametrize("name", [None, 7, b"com.a.b", ["com.a.b"]])
def test_a_name_is_a_string(registry: PluginRegistry, name: object) -> None:
    text = refusal(registry, event_type(name=name))
    assert f"Attribute 'name': expected a string, got {type(name).__name__}" in text


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (None, "not NoneType"),
        ("{}", "not str"),
        ({"type": "strnig"}, "at '/type'"),
        ({"minimum": "1"}, "at '/minimum'"),
        ({"properties": {"a": {"type": {}}}}, "/properties/a/type"),
        ({"$ref": "https://example.com/schema.json"}, "example.com"),
        ({"$schema": "https://example.com/my-draft"}, "unknown dialect"),
        ({"default": float("nan")}, "default: NaN is not JSON"),
        ({1: {}}, "the key 1 is of type int"),
    ],
)
def test_a_schema_is_a_json_schema(registry: PluginRegistry, schema: Any, problem: str) -> None:
    text = refusal(registry, event_type(schema=schema))
    assert text.startswith("ERROR: Plugin 'com.example.x' has an invalid schema.\n")
    assert problem in text
    assert "\nFix: " in text
    assert registry.list_event_types() == []


def test_the_specifications_text_for_a_collision(registry: PluginRegistry) -> None:
    new = type("CSVExportPlugin", (), {"name": "csv", "export": lambda self, a, b: None})
    new.__module__ = "acme_provara_plugins"
    registry.register_export(builtin.CSVExporter())
    assert refusal(registry, new(), "export") == (
        "ERROR: Plugin name collision for 'csv'.\n"
        "  Existing: provara.plugins.builtin.CSVExporter\n"
        "  New: acme_provara_plugins.CSVExportPlugin\n"
        "Fix: Use a unique name (reverse-domain notation recommended)."
    )


def test_builtins_take_no_name_from_a_plugin(registry: PluginRegistry) -> None:
    mine = TouchExport()
    mine.name = "csv"
    registry.register_export(mine)
    assert registry.get_export("csv") is mine


@pytest.mark.parametrize(
    ("plugin", "shown"),
    [
        (event_type(), "1.0"),
        (event_type(version="2.1"), "2.1"),
        (event_type(version=3), "3"),
        (event_type(schema={"version": "4.0"}), "4.0"),
        (event_type(version="5", schema={"version": "4.0"}), "5"),
        (event_type(version=True), "1.0"),
        (event_type(version="x\x1b[2J"), "1.0"),
        (event_type(version=""), "1.0"),
    ],
)
def test_schema_versions(registry: PluginRegistry, plugin: Any, shown: str) -> None:
    registry.register_event_type(plugin)
    assert registry.get_plugin_info()[0]["schema_version"] == shown


def test_plugin_info(registry: PluginRegistry) -> None:
    registry.register_export(TouchExport())
    registry.register_event_type(event_type(cli_command=lambda self: "X-Event"))
    assert registry.get_plugin_info() == [
        {
            "type": "event_type",
            "name": "com.example.x",
            "plugin_class": f"{__name__}.SomeEvent",
            "distribution": None,
            "version": None,
            "source": "registered",
            "entry_point": None,
            "schema_version": "1.0",
            "cli_command": "X-Event",
        },
        {
            "type": "export",
            "name": "touch",
            "plugin_class": "samples.TouchExport",
            "distribution": None,
            "version": None,
            "source": "registered",
            "entry_point": None,
            "schema_version": None,
            "cli_command": None,
        },
    ]


def test_aliases(registry: PluginRegistry) -> None:
    registry.register_event_type(event_type(name="com.b.x", cli_command=lambda self: "Go"))
    registry.register_event_type(event_type(name="com.a.x", cli_command=lambda self: "go"))
    registry.register_event_type(event_type(name="com.c.x", cli_command=lambda self: None))
    registry.register_event_type(event_type(name="com.d.x"))
    assert registry.resolve_event_type("GO") == "com.b.x"
    assert registry.resolve_event_type("com.a.x") == "com.a.x"
    assert registry.resolve_event_type("nothing") is None
    (problem,) = registry.problems
    assert problem.kind == "collision"
    assert problem.text.startswith("ERROR: Command alias collision for 'go'.")


@pytest.mark.parametrize("alias", [7, "two words", "", "observation", "../x", "a\nb"])
def test_bad_aliases_cost_only_the_alias(registry: PluginRegistry, alias: object) -> None:
    registry.register_event_type(event_type(cli_command=lambda self: alias))
    assert registry.get_plugin_info()[0]["cli_command"] is None
    assert len(registry.problems) == 1
    assert registry.problems[0].text.startswith(
        "ERROR: Plugin 'com.example.x' has no usable command alias."
    )
    registry.register_event_type(event_type(name="com.example.y"))
    assert len(registry.get_plugin_info()) == 2
    assert len(registry.problems) == 1


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit("no")])
def test_a_raising_alias_costs_only_the_alias(
    registry: PluginRegistry, error: BaseException
) -> None:
    def fail(self: object) -> str:
        raise error

    registry.register_event_type(event_type(cli_command=fail))
    assert len(registry.get_plugin_info()) == 1
    text = f"cli_command(): raised {type(error).__name__}: no"
    assert text in registry.problems[0].text


def test_an_alias_that_cannot_be_shown(registry: PluginRegistry) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise SystemExit

    registry.register_event_type(event_type(cli_command=lambda self: Hostile()))
    assert registry.get_plugin_info()[0]["cli_command"] is None
    assert "returned an object of type Hostile" in registry.problems[0].text


def test_protocols_are_runtime_checkable() -> None:
    assert isinstance(LoginEventPlugin(), EventTypePlugin)
    assert not isinstance(LoginEventPlugin(), SupportsCliCommand)
    assert isinstance(event_type(cli_command=lambda self: None), SupportsCliCommand)
    assert isinstance(CountReducer(), ReducerPlugin)
    assert isinstance(TouchExport(), ExportPlugin)
    assert not isinstance(CountReducer(), ExportPlugin)
    assert not isinstance(object(), EventTypePlugin)


def test_deriving_from_a_protocol_shows_a_missing_method_at_once() -> None:
    class Incomplete(ReducerPlugin):
        name = "x"

    with pytest.raises(TypeError, match="reduce"):
        Incomplete()  # type: ignore[abstract]


def test_a_failed_registration_changes_nothing(registry: PluginRegistry) -> None:
    registry.register_event_type(event_type())
    before = registry.get_plugin_info()
    refusal(registry, event_type())
    refusal(registry, event_type(name="x"))
    refusal(registry, event_type(name="com.example.y", schema={"type": 1}))
    assert registry.get_plugin_info() == before
