from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from acme_provara_plugins import LoginEventPlugin
from provara.plugins import EventTypePlugin, PluginRegistry

GOOD = {"user_id": "alice", "success": True, "ip_address": "192.168.1.1"}


def test_is_an_event_type() -> None:
    registry = PluginRegistry()
    registry.register_event_type(LoginEventPlugin())
    assert isinstance(LoginEventPlugin(), EventTypePlugin)
    assert registry.get_plugin_info()[0]["plugin_class"] == "acme_provara_plugins.LoginEventPlugin"
    assert registry.resolve_event_type("login") == "com.acme.audit.login"


def test_accepts_a_login() -> None:
    assert LoginEventPlugin().validate(GOOD)
    assert LoginEventPlugin().validate({**GOOD, "user_agent": "curl"})


@pytest.mark.parametrize(
    "data",
    [
        {"user_id": "alice"},
        {**GOOD, "success": "yes"},
        {**GOOD, "user_id": ""},
        {**GOOD, "user_agent": 7},
    ],
)
def test_refuses_what_the_schema_refuses(data: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        LoginEventPlugin().validate(data)
