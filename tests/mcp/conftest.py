"""The executable under test, vaults, and an environment with the example package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, Environment, installed_executable
from support_mcp import Server


@pytest.fixture(scope="session")
def executable() -> Path:
    """The executable under test."""
    return installed_executable()


@pytest.fixture(scope="session")
def acme_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which the example package is installed."""
    directory = tmp_path_factory.mktemp("acme") / "venv"
    environment = Environment(directory, "setuptools", "wheel")
    environment.install_package(ROOT / "examples" / "acme-provara-plugins")
    return environment


@pytest.fixture
def vault(executable: Path, tmp_path: Path) -> Path:
    """A new vault."""
    path = tmp_path / "vault"
    made = Server(executable, tmp_path / "home", None).run("init", path)
    assert made.returncode == 0, made.stderr
    return path


Make = Callable[..., Server]


@pytest.fixture
def plain(executable: Path, tmp_path: Path) -> Make:
    """A server whose Python has no plugins."""

    def make(*options: str | Path) -> Server:
        return Server(executable, tmp_path / "home", Path(sys.executable), *options)

    return make


@pytest.fixture
def acme(executable: Path, tmp_path: Path, acme_environment: Environment) -> Make:
    """A server whose Python has the example package."""

    def make(*options: str | Path) -> Server:
        return Server(executable, tmp_path / "home", acme_environment.python, *options)

    return make


@pytest.fixture(params=["stdio", "http"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)
