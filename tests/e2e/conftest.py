"""Fixtures: the executable beside this interpreter, and environments with plugin packages."""

from __future__ import annotations

import ctypes
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from support import HERE, ROOT, Environment, Provara, installed_executable

CORPUS = HERE.parent / "corpus"


@pytest.fixture(scope="session")
def executable() -> Path:
    """The executable under test."""
    return installed_executable()


@pytest.fixture
def provara(executable: Path, tmp_path: Path) -> Provara:
    """The executable, without any installed plugin."""
    return Provara(executable, tmp_path / "home")


@pytest.fixture
def vault(provara: Provara, tmp_path: Path) -> Path:
    """A vault as `init` makes it, with its two first events."""
    path = tmp_path / "vault"
    provara.run("init", path)
    return path


@pytest.fixture(scope="session")
def acme_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which the example package is installed."""
    environment = Environment(
        tmp_path_factory.mktemp("acme") / "venv", "setuptools", "wheel", "pytest"
    )
    environment.install_package(ROOT / "examples" / "acme-provara-plugins")
    return environment


@pytest.fixture
def acme(acme_environment: Environment, tmp_path: Path) -> Provara:
    """The executable of the environment that has the example package."""
    return Provara(acme_environment.executable, tmp_path / "home")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The judged vaults, unpacked once; a test that writes must copy."""
    directory = tmp_path_factory.mktemp("corpus")
    with tarfile.open(CORPUS / "vaults.tar.xz") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(directory, filter="data")
        else:
            archive.extractall(directory)
    return directory


@pytest.fixture
def copied_corpus(corpus: Path, tmp_path: Path) -> Path:
    """A private copy of the judged vaults."""
    return Path(shutil.copytree(corpus, tmp_path / "corpus"))


#: The version of Landlock that has the last part of the sandbox, rules for the network (Linux 6.7).
FULL_LANDLOCK = 4


def landlock() -> int:
    """The version of Landlock that the kernel itself states; 0 without Landlock."""
    create_ruleset, ask_for_version = 444, 1
    call = ctypes.CDLL(None).syscall
    return max(0, int(call(create_ruleset, None, ctypes.c_size_t(0), ask_for_version)))


@pytest.fixture
def sandboxed(provara: Provara) -> None:
    """Leaves a test out where the system lacks a part of the sandbox; else all of it must hold."""
    if sys.platform != "linux":
        pytest.skip("the sandbox is Linux's (2026-11-22)")
    confinement = provara.run("doctor", "--json").json()["confinement"]
    if confinement["level"] != "full":
        assert landlock() < FULL_LANDLOCK, confinement
        pytest.skip(f"this kernel lacks a part of the sandbox (2026-11-22): {confinement}")
