"""What the tests of the Python package share."""

from __future__ import annotations

import importlib.metadata
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provara import Vault
from provara.plugins import PluginRegistry
from samples import Install, MakeModule


@pytest.fixture
def registry() -> PluginRegistry:
    """A registry that logs nothing; its problems are looked at by the tests."""
    registry = PluginRegistry()
    registry.log_problems = False
    return registry


@pytest.fixture(autouse=True)
def no_environment_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVARA_PLUGINS", raising=False)


@pytest.fixture(autouse=True)
def own_memory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of these vaults is remembered in the user's own directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on ``sys.path``, whose modules are forgotten afterwards."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
        if any(Path(place).is_relative_to(directory) for place in places if place):
            del sys.modules[name]


@pytest.fixture
def make_module(site: Path) -> MakeModule:
    """Write a module (``a/b.py`` makes the package ``a``, too) into ``site``."""

    def make(path: str, source: str) -> None:
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(source), encoding="utf-8")

    return make


@pytest.fixture
def only_site(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let discovery see only the distributions in ``site``."""
    original: Any = importlib.metadata.entry_points

    class OnlySite:
        def select(self, **wanted: str) -> list[Any]:
            return [
                point
                for point in original().select(**wanted)
                if point.dist is not None
                and Path(str(point.dist.locate_file(""))).resolve() == site.resolve()
            ]

    monkeypatch.setattr(importlib.metadata, "entry_points", OnlySite)


@pytest.fixture
def install(site: Path, only_site: None) -> Install:
    """Make a distribution with entry points in ``site``, as ``pip install`` would."""

    def make(name: str = "demo-plugins", version: str = "1.2.3", **points: str) -> None:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        lines = [f"{label} = {value}" for label, value in points.items()]
        (info / "entry_points.txt").write_text(
            "\n".join(["[provara.plugins]", *lines, ""]), encoding="utf-8"
        )
        importlib.invalidate_caches()

    return make


@pytest.fixture
def vault(tmp_path: Path, registry: PluginRegistry) -> Vault:
    """A new vault that looks up plugins in ``registry``."""
    return Vault.init(tmp_path / "vault", registry=registry)
