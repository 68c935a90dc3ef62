"""The package as a product: what its import costs, its types, its versions, its metadata."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import provara
import pytest
from provara import _native, errors, plugins
from provara._core_types import RESERVED_CORE_TYPES

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_is_cheap() -> None:
    loaded = python(
        """
        import sys
        before = set(sys.modules)
        import provara
        print(*sorted(set(sys.modules) - before))
        """
    )
    assert loaded.split() == ["__future__", "provara"] or loaded.split() == ["provara"]


def test_core_types_need_no_plugins(tmp_path: Path) -> None:
    loaded = python(
        f"""
        import sys, provara
        vault = provara.Vault.init({str(tmp_path / "v")!r})
        vault.append("OBSERVATION", {{"a": 1}})
        assert vault.verify().valid and vault.summary() and vault.beliefs()
        list(vault.events())
        print(*[name for name in sys.modules
                if name.startswith(("provara.plugins", "importlib.metadata", "jsonschema"))])
        """
    )
    assert loaded == ""


def test_the_host_imports_little() -> None:
    loaded = python(
        """
        import os, sys
        os.environ["PROVARA_HOST"] = "1"
        before = set(sys.modules)
        import provara.plugins._host
        from provara.plugins import _scan, _schemas, _validation
        heavy = ["json", "logging", "dataclasses", "inspect", "importlib.metadata", "traceback",
                 "jsonschema", "subprocess", "socket", "tempfile", "email", "provara.vault",
                 "collections", "contextlib", "enum", "functools", "importlib", "re", "runpy",
                 "threading", "types", "typing", "provara.plugins.protocols"]
        print(*[name for name in heavy if name in sys.modules.keys() - before])
        """,
        "-I",
    )
    assert loaded == ""


def test_names_of_plugins_are_found_on_first_use() -> None:
    assert set(plugins.__all__) <= set(dir(plugins))
    for name in plugins.__all__:
        assert getattr(plugins, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plugins.nothing  # noqa: B018


def test_names_are_found_on_first_use() -> None:
    assert set(provara.__all__) <= set(dir(provara))
    for name in provara.__all__:
        assert getattr(provara, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        provara.nothing  # noqa: B018


def test_one_version_everywhere() -> None:
    assert provara.__version__ == "1.1.0"
    assert _native.__version__ == provara.__version__
    metadata = importlib.metadata.metadata("provara-protocol")
    assert metadata["Version"] == provara.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    requires = importlib.metadata.requires("provara-protocol") or []
    assert [requirement.split(">")[0] for requirement in requires] == ["jsonschema"]


def test_the_reserved_names_are_those_of_the_core() -> None:
    assert plugins.RESERVED_CORE_TYPES is RESERVED_CORE_TYPES
    assert len(RESERVED_CORE_TYPES) == 10
    for name in RESERVED_CORE_TYPES:
        assert _native.check_type_name(name) == f"'{name}' is reserved for core types"


def test_every_exception_is_one_of_ours() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.ProvaraError)
    assert issubclass(errors.RegistrationError, ValueError)
    assert issubclass(errors.VaultError, OSError)


def test_types_are_shipped() -> None:
    package = Path(provara.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_native.pyi").is_file()


def run_tool(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stub_is_that_of_the_module(tmp_path: Path) -> None:
    run_tool("mypy.stubtest", "provara._native", cwd=tmp_path)


GOOD_AUTHOR = """
from collections.abc import Iterator
from typing import Any

import provara
from provara import Report, Vault
from provara.plugins import EventTypePlugin, ReducerPlugin, registry

class LoginEventPlugin:
    name = "com.acme.audit.login"
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}

    def validate(self, data: dict[str, Any]) -> bool:
        return True

class Derived(ReducerPlugin):
    def __init__(self) -> None:
        self.name = "derived"

    def reduce(self, events: Iterator[dict[str, Any]]) -> dict[str, Any]:
        return {}

plugin: EventTypePlugin = LoginEventPlugin()
registry.register_event_type(LoginEventPlugin())
registry.register_reducer(Derived())
report: Report = Vault("v").verify()
state: dict[str, Any] = provara.beliefs(Vault("v").events())
"""


def test_an_authors_code_is_strictly_typed(tmp_path: Path) -> None:
    (tmp_path / "author.py").write_text(GOOD_AUTHOR)
    run_tool("mypy", "--strict", "author.py", cwd=tmp_path)


def test_mypy_points_out_what_an_author_got_wrong(tmp_path: Path) -> None:
    (tmp_path / "author.py").write_text(
        "from provara.plugins import ReducerPlugin, registry\n"
        "class Bad:\n    name = 'x'\n"
        "class Half(ReducerPlugin):\n    name = 'x'\n"
        "registry.register_reducer(Bad())\n"
        "Half()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "author.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert 'author.py:6: error: Argument 1 to "register_reducer"' in done.stdout
    assert 'author.py:7: error: Cannot instantiate abstract class "Half"' in done.stdout


def test_the_source_distribution_holds_the_whole_workspace() -> None:
    """Cargo builds nothing where a member of the workspace is missing."""
    cargo = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    members = re.findall(r'"([^"]+)"', cargo.split("members = [", 1)[1].split("]", 1)[0])
    assert "bindings/python" in members
    manifest = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    grafted = [line.split()[1] for line in manifest if line.startswith("graft ")]
    for member in members:
        assert any(member == path or member.startswith(path + "/") for path in grafted), member
        assert (ROOT / member / "Cargo.toml").is_file()
