"""``validate_event_with_plugins``: the schema first, then the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from provara import Vault
from provara.errors import PluginError, RegistrationError
from provara.plugins import PluginRegistry, registry, validate_event_with_plugins
from provara.plugins._validation import check_event
from samples import LOGIN, Install, LoginEventPlugin, MakeModule


@pytest.fixture
def validate(registry: PluginRegistry) -> Any:
    """The function, looking types up in a registry of the test's own."""
    from provara.plugins import registry as process_registry

    with patch.object(process_registry, "get_event_type", side_effect=registry.get_event_type):
        yield validate_event_with_plugins


def test_a_type_that_no_plugin_defines_is_not_judged() -> None:
    assert validate_event_with_plugins("com.example.no.such", {"x": 1}) == (True, "")
    assert validate_event_with_plugins("OBSERVATION", {}) == (True, "")
    assert validate_event_with_plugins("login?", {}) == (True, "")


def test_good_data(validate: Any, registry: PluginRegistry) -> None:
    registry.register_event_type(LoginEventPlugin())
    assert validate("com.acme.audit.login", LOGIN) == (True, "")
    assert validate("COM.ACME.AUDIT.LOGIN", LOGIN) == (True, "")


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ({**LOGIN, "ip_address": "192.168.1"},
         ["Field: 'ip_address'", "Error: '192.168.1' is not a valid IPv4 address"]),
        ({"success": True, "ip_address": "192.168.1.1"},
         ["Field: 'user_id'", "Error: Missing required field 'user_id'"]),
        ({"success": "yes"},
         ["Field: 'user_id'", "Error: Missing required field 'user_id'",
          "Field: 'ip_address'", "Error: Missing required field 'ip_address'",
          "Field: 'success'"]),
    ],
)  # fmt: skip
def test_the_specifications_text(
    validate: Any, registry: PluginRegistry, data: dict[str, Any], lines: list[str]
) -> None:
    registry.register_event_type(LoginEventPlugin())
    valid, text = validate("com.acme.audit.login", data)
    assert valid is False
    found = [line.strip() for line in text.splitlines()]
    assert found[0] == "ERROR: Event validation failed for type 'com.acme.audit.login'."
    assert found[-2:] == [
        "Schema: com.acme.audit.login v1.0",
        "Fix: Correct the payload to match the schema.",
    ]
    for line in lines:
        assert line in found


def test_the_plugin_is_not_asked_about_what_the_schema_refuses(
    validate: Any, registry: PluginRegistry
) -> None:
    asked = []

    class Recording(LoginEventPlugin):
        def validate(self, data: dict[str, Any]) -> bool:
            asked.append(data)
            return True

    registry.register_event_type(Recording())
    assert validate("com.acme.audit.login", {})[0] is False
    assert asked == []
    assert validate("com.acme.audit.login", LOGIN)[0] is True
    assert asked == [LOGIN]
    assert asked[0] is not LOGIN


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda self, data: False, "validate() returned False"),
        (lambda self, data: 0, "validate() returned a false value of type int"),
        (lambda self, data: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda self, data: data["absent"], "KeyError: 'absent'"),
        (lambda self, data: None, "validate() returned None: is a return missing?"),
    ],
)
def test_the_plugins_refusal(
    validate: Any, registry: PluginRegistry, body: Any, reason: str
) -> None:
    registry.register_event_type(type("Picky", (LoginEventPlugin,), {"validate": body})())
    assert validate("com.acme.audit.login", LOGIN) == (
        False,
        "ERROR: Event validation failed for type 'com.acme.audit.login'.\n"
        f"  Error: {reason}\n"
        f"  Plugin: {__name__}.Picky\n"
        "Fix: Correct the payload to satisfy the plugin.",
    )


def test_a_jsonschema_error_is_shown_as_its_sentence(
    validate: Any, registry: PluginRegistry
) -> None:
    import jsonschema

    class Repeating(LoginEventPlugin):
        def validate(self, data: dict[str, Any]) -> bool:
            jsonschema.validate(data, {"required": ["other"]})
            return True

    registry.register_event_type(Repeating())
    text = validate("com.acme.audit.login", LOGIN)[1]
    assert "\n  Error: 'other' is a required property\n  Plugin: " in text


def test_data_that_is_not_json(validate: Any, registry: PluginRegistry) -> None:
    registry.register_event_type(LoginEventPlugin())
    valid, text = validate("com.acme.audit.login", {**LOGIN, "user_agent": {1, 2}})
    assert valid is False
    assert "Error: user_agent: an object of type set is not JSON" in text


def test_the_schema_is_the_one_that_was_registered(registry: PluginRegistry) -> None:
    class Changing(LoginEventPlugin):
        schema: dict[str, Any] = {"type": "object", "required": ["a"]}

    plugin = Changing()
    registry.register_event_type(plugin)
    plugin.schema["required"].clear()
    assert "Missing required field 'a'" in check_event(registry, plugin, {})


def test_exits_are_the_callers_business(validate: Any, registry: PluginRegistry) -> None:
    def leave(self: object, data: object) -> bool:
        raise SystemExit(1)

    registry.register_event_type(type("Leaving", (LoginEventPlugin,), {"validate": leave})())
    with pytest.raises(SystemExit):
        validate("com.acme.audit.login", LOGIN)


def test_the_functions_registry_is_the_modules() -> None:
    class Own(LoginEventPlugin):
        name = "com.example.test.validation.own"

    registry.register_event_type(Own())
    try:
        assert validate_event_with_plugins("com.example.test.validation.own", {})[0] is False
    finally:
        registry._records["event_type"].pop("com.example.test.validation.own")


def test_further_schemas(tmp_path: Path) -> None:
    """A dict by URI or a directory; what is neither is the plugin's own."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.json").write_text('{"type": "integer"}', "utf-8")

    def plugin(schemas: object) -> Any:
        members = {
            "name": "com.example.x",
            "schema": {"properties": {"a": {"$ref": "parts/a.json"}}},
            "validate": lambda self, data: True,
            "schemas": schemas,
        }
        return type("Further", (), members)()

    usable: list[object] = [{"parts/a.json": {"type": "integer"}}, tmp_path, str(tmp_path)]
    for schemas in usable:
        registry = PluginRegistry()
        registry.register_event_type(plugin(schemas))
        (registered,) = registry.list_event_types()
        assert check_event(registry, registered, {"a": 1}) == ""
        assert "'x' is not an integer" in check_event(registry, registered, {"a": "x"})
    unusable: list[tuple[object, str]] = [
        (None, "attribute 'schemas'"),
        (["parts/a.json"], "attribute 'schemas'"),
        ({"parts/a.json": 5}, "it is a number, not an object"),
        (tmp_path / "absent", "absent', which is no directory"),
        ("parts", "'parts', which is not an absolute path"),
    ]
    for schemas, problem in unusable:
        with pytest.raises(RegistrationError, match=problem) as refused:
            PluginRegistry().register_event_type(plugin(schemas))
        assert "\nFix: Provide 'schemas' as a dict of JSON Schemas by URI" in str(refused.value)
    (tmp_path / "parts" / "b.json").write_text("{", "utf-8")
    with pytest.raises(RegistrationError, match=r"'parts/b\.json', which cannot be read"):
        PluginRegistry().register_event_type(plugin(tmp_path))


def test_what_a_property_lacks_is_told() -> None:
    """An ``AttributeError`` inside ``schema`` is not the absence of ``schema``."""

    class Forgetful:
        name = "com.example.x"

        @property
        def schema(self) -> dict[str, Any]:
            return self.tables  # type: ignore[attr-defined, no-any-return]

        def validate(self, data: dict[str, Any]) -> bool:
            return True

    forgetful: Any = Forgetful()
    with pytest.raises(RegistrationError) as refused:
        PluginRegistry().register_event_type(forgetful)
    assert (
        "  Error: 'schema' cannot be read: AttributeError: 'Forgetful' object has no attribute 'tables'"
        in str(refused.value)
    )


def test_data_of_a_type_whose_plugin_is_unusable_is_refused(
    make_module: MakeModule, install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It keeps its name; a type that nobody defines is not judged, and neither is a core type."""
    source = """
        class Broken:
            name = "com.example.shop.broken"
            schema = {"type": "objekt"}
            def validate(self, data): return True
        class Core(Broken):
            name = "OBSERVATION"
    """
    make_module("shop.py", source)
    install(broken="shop:Broken", core="shop:Core")
    registry = PluginRegistry()
    registry.log_problems = False
    registry.discover_plugins()
    monkeypatch.setattr("provara.plugins.registry", registry)
    accepted, text = validate_event_with_plugins("com.example.Shop.broken", {"a": 1})
    assert not accepted
    assert text == registry.problems[0].text
    assert "'objekt'" in text
    for free in ("com.example.shop.other", "OBSERVATION"):
        assert validate_event_with_plugins(free, {"a": 1}) == (True, "")
    vault = Vault.init(tmp_path / "vault", registry=registry)
    for allowed in (False, True):
        with pytest.raises(PluginError, match="objekt"):
            vault.append("com.example.shop.broken", {"a": 1}, allow_unregistered=allowed)
    # One that can be used takes the name; a new search forgets it.
    mended = type("Mended", (), {**vars(LoginEventPlugin), "name": "com.example.shop.broken"})()
    registry.register_event_type(mended)
    assert validate_event_with_plugins("com.example.shop.broken", LOGIN) == (True, "")
