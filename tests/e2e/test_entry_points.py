"""How the package is started from Python, and the names under which the older tool was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import Provara


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"HOME": str(cwd), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_the_module_is_the_executable(provara: Provara, vault: Path, tmp_path: Path) -> None:
    for words in (["--version"], ["verify", str(vault)], ["verify", str(tmp_path / "none")], []):
        direct = provara.run(*words, expect=None)
        module = python("-m", "provara", *words, cwd=tmp_path)
        assert (module.returncode, module.stdout) == (direct.code, direct.stdout)
        assert module.stderr == direct.stderr


def test_the_older_servers_name_says_what_to_do(tmp_path: Path) -> None:
    for words in ([], ["--transport", "sse", "--port", "8765"]):
        done = python("-m", "provara.mcp", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("ERROR: ")
        assert "Fix: Let the client start: provara mcp --vault DIR" in done.stderr


def test_the_older_servers_name_serves_what_it_is_given(vault: Path, tmp_path: Path) -> None:
    done = python("-m", "provara.mcp", "--vault", str(vault), cwd=tmp_path)
    # No client said a word: the server ends as it does under its own name.
    assert "server of version 1.0" not in done.stderr
    shown = python("-m", "provara.mcp", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "provara mcp" in shown.stdout


def test_importing_the_entry_points_starts_nothing(tmp_path: Path) -> None:
    done = python("-c", "import provara.mcp, provara.__main__, provara._entry", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["provara-mcp"])
def test_the_script_is_announced(name: str) -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert f'{name} = "provara._entry:mcp"' in text
