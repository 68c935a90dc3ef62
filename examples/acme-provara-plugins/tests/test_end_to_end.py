"""What a user does, step by step, with the real executable and the installed package."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

PROVARA = shutil.which("provara")


def run(*arguments: str) -> str:
    assert PROVARA is not None, "install provara-protocol to run this test"
    done = subprocess.run(
        [PROVARA, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plugin_end_to_end(tmp_path: Path) -> None:
    vault = str(tmp_path / "vault")
    run("init", vault)
    for success in (True, False):
        data = {"user_id": "alice", "success": success, "ip_address": "192.168.1.1"}
        run("append", vault, "--type", "login", "--data", json.dumps(data))
    run("append", vault, "--type", "logout", "--data", '{"user_id":"alice","reason":"user"}')
    assert json.loads(run("verify", vault, "--json"))["valid"] is True
    result = json.loads(run("reduce", vault, "--plugin", "com.acme.compliance.monitor"))
    assert result["total_violations"] == 1
    for name in ("csv", "siem-splunk"):
        output = tmp_path / name
        run("export", vault, "--format", name, "--output", str(output))
        assert "com.acme.audit.logout" in output.read_text(encoding="utf-8")


def test_plugins_list_shows_the_package() -> None:
    lines = run("plugins", "list").splitlines()
    for name in (
        "com.acme.audit.login",
        "com.acme.audit.logout",
        "com.acme.compliance.monitor",
        "csv",
        "siem-splunk",
    ):
        assert f"  - {name} (acme-provara-plugins v1.0.0)" in lines
