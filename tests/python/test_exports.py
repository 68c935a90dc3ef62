"""Exports of a vault, from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from provara import Vault
from provara.errors import (
    ProvaraError,
    UsageError,
    VaultError,
)
from provara.plugins import PluginRegistry
from samples import TouchExport
from test_vault import tree


@pytest.mark.parametrize("name", ["csv", "json", "ndjson"])
def test_built_in_exports(vault: Vault, tmp_path: Path, name: str) -> None:
    before = tree(vault.path)
    output = vault.export(name, tmp_path / "out")
    assert output == tmp_path.resolve() / "out"
    text = output.read_bytes().decode()
    if name == "csv":
        assert text.startswith("event_id,type,timestamp_utc,actor,payload\r\n")
        assert text.count("\r\n") == 3
    elif name == "json":
        assert json.loads(text) == list(vault.events())
    else:
        assert output.read_bytes() == vault.log_path.read_bytes()
    assert tree(vault.path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "vault"]


def test_a_plugin_goes_before_a_built_in_export(
    vault: Vault, registry: PluginRegistry, tmp_path: Path
) -> None:
    mine = TouchExport()
    mine.name = "csv"
    registry.register_export(mine)
    assert vault.export("csv", tmp_path / "out").read_text() == str(vault.path)


def test_an_export_that_exists_stays(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="force=True"):
        vault.export("json", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
    vault.export("json", tmp_path / "out", force=True)
    assert json.loads((tmp_path / "out").read_text())[0]["type"] == "GENESIS"


class Failing(TouchExport):
    """Writes something, then does what its ``then`` says."""

    def __init__(self, then: Any) -> None:
        self.then = then

    def export(self, vault_path: str, output_path: str) -> None:
        self.then(Path(output_path))


def fail(path: Path) -> None:
    path.write_text("half")
    raise OSError("disk full")


@pytest.mark.parametrize(
    ("then", "problem"),
    [
        (fail, r"raised in export\(\): OSError: disk full"),
        (lambda path: None, "nothing was written"),
        (lambda path: path.symlink_to("/etc/passwd"), "a symbolic link"),
    ],
)
def test_a_failed_export_leaves_no_mark(
    vault: Vault, registry: PluginRegistry, tmp_path: Path, then: Any, problem: str
) -> None:
    registry.register_export(Failing(then))
    (tmp_path / "out").write_text("mine")
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ProvaraError, match=problem):
        vault.export("touch", tmp_path / "out", force=True)
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()} == before


def write_directory(path: Path) -> None:
    path.mkdir()
    (path / "part").write_text("new")


def test_a_directory_as_output(vault: Vault, registry: PluginRegistry, tmp_path: Path) -> None:
    registry.register_export(Failing(write_directory))
    output = vault.export("touch", tmp_path / "out")
    assert (output / "part").read_text() == "new"
    (output / "old").write_text("old")
    vault.export("touch", tmp_path / "out", force=True)
    assert [path.name for path in output.iterdir()] == ["part"]
    with pytest.raises(UsageError, match="a directory that is not empty"):
        vault.export("json", output, force=True)
    assert (output / "part").read_text() == "new"
    (tmp_path / "file").write_text("old")
    assert vault.export("touch", tmp_path / "file", force=True).is_dir()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_outputs_that_would_harm_the_vault(vault: Vault, tmp_path: Path) -> None:
    before = tree(vault.path)
    for output in (vault.path, vault.path / "out", vault.path / "state" / "out", tmp_path):
        with pytest.raises(UsageError, match="vault"):
            vault.export("json", output, force=True)
    (tmp_path / "link").symlink_to(vault.path / "state")
    with pytest.raises(UsageError, match="where nothing may be written"):
        vault.export("json", tmp_path / "link" / "out")
    with pytest.raises(UsageError, match="neither a file nor a directory"):
        vault.export("json", tmp_path / "link", force=True)
    with pytest.raises(VaultError, match="No such file or directory"):
        vault.export("json", tmp_path / "absent" / "out")
    assert tree(vault.path) == before


def test_force_spares_keys_and_vaults(
    vault: Vault, registry: PluginRegistry, tmp_path: Path
) -> None:
    registry.register_export(Failing(write_directory))
    keyfile = tmp_path / "keys.json"
    other = tmp_path / "full" / "deep" / "vault"
    other.parent.mkdir(parents=True)
    Vault.init(other, private_keys=keyfile)
    before = tree(tmp_path)
    for output in (keyfile, tmp_path / "full", other):
        with pytest.raises(UsageError, match=r"is not replaced|nothing may be written"):
            vault.export("touch", output, force=True)
    assert tree(tmp_path) == before


def test_an_unknown_format(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no export format 'x' \(there is: csv, json, ndjson\)"):
        vault.export("x", tmp_path / "out")
