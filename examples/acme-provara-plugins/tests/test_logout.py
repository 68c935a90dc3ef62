from __future__ import annotations

import pytest
from acme_provara_plugins import LogoutEventPlugin
from provara.plugins import PluginRegistry


def test_registers_with_its_alias() -> None:
    registry = PluginRegistry()
    registry.register_event_type(LogoutEventPlugin())
    assert registry.resolve_event_type("logout") == "com.acme.audit.logout"


def test_accepts_ordinary_logouts() -> None:
    assert LogoutEventPlugin().validate({"user_id": "alice", "reason": "timeout"})
    assert LogoutEventPlugin().validate(
        {"user_id": "alice", "reason": "administrator", "administrator_id": "bob"}
    )


def test_wants_the_administrator_named() -> None:
    with pytest.raises(ValueError, match="administrator_id"):
        LogoutEventPlugin().validate({"user_id": "alice", "reason": "administrator"})
