"""What surrounds a plugin: the variables of spec/PLUGIN_API.md, section 8, and no others."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support import ROOT, Outcome, Provara

TELLING = """
import json, os

def tell():
    print("surroundings", json.dumps(dict(os.environ)))

class TellingEventPlugin:
    name = "com.example.telling.event"
    schema = {"type": "object"}
    def validate(self, data):
        tell()
        with open(os.path.join(os.environ["PROVARA_PLUGIN_STATE"], "kept"), "w") as file:
            file.write("by the event type")
        return True
    def cli_command(self):
        return None

class TellingReducer:
    name = "com.example.telling.reducer"
    def reduce(self, events):
        tell()
        return {"events": sum(1 for _ in events)}

class TellingExportPlugin:
    name = "telling"
    def export(self, vault_path, output_path):
        tell()
        with open(os.path.join(os.environ["PROVARA_PLUGIN_STATE"], "kept")) as file:
            with open(output_path, "w") as output:
                output.write(file.read())
"""
COUNTING = """
class CountingReducer:
    name = "com.example.counting"
    def reduce(self, events):
        return {"events": sum(1 for _ in events)}
"""

FIXED = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PROVARA_HOST": "1",
}

#: Of the temporary directory, which is another one each time: itself, and what lies below it.
TEMPORARY = {"TMPDIR", "TEMP", "TMP"}
BELOW = {"XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"}


def without_temporary(found: dict[str, str]) -> dict[str, str]:
    """The other variables, where those of the temporary directory are as they must be."""
    (place,) = {found[name] for name in TEMPORARY}
    assert all(found[name].startswith(f"{place}/") for name in BELOW), found
    return {name: found[name] for name in found.keys() - TEMPORARY - BELOW}


@pytest.fixture
def plugins(provara: Provara, tmp_path: Path) -> Provara:
    """The executable with two modules of plugins, and variables that are not for them."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "telling.py").write_text(TELLING)
    (modules / "counting.py").write_text(COUNTING)
    return provara.with_environment(
        PYTHONPATH=f"{modules}:relative",
        PROVARA_PLUGINS="telling",
        VIRTUAL_ENV=str(tmp_path / "venv"),
        PROVARA_ACTOR="someone",
        PYTHONSTARTUP="/nothing",
        AWS_SECRET_ACCESS_KEY="secret",
    )


def surroundings(outcome: Outcome) -> list[dict[str, str]]:
    """The environments that plugins told of, in their order."""
    lines = [line.partition(" surroundings ")[2] for line in outcome.stderr.splitlines()]
    return [json.loads(line) for line in lines if line]


def test_the_variables(plugins: Provara, vault: Path, tmp_path: Path) -> None:
    """All of the host's, by kind: a reducer alone has no place to keep anything."""
    output = tmp_path / "out"
    outcomes = {
        "event": plugins.append(vault, "com.example.telling.event", {}),
        "reducer": plugins.run("reduce", vault, "--plugin", "com.example.telling.reducer"),
        "export": plugins.run("export", vault, "--format", "telling", "--output", output),
    }
    states = {}
    for kind, outcome in outcomes.items():
        (told,) = surroundings(outcome)
        found = without_temporary(told)
        assert len(found.pop("PROVARA_HOST_MARK")) >= 16
        states[kind] = found.pop("PROVARA_PLUGIN_STATE", None)
        assert found == {
            **FIXED,
            "HOME": plugins.environment["HOME"],
            "PYTHONPATH": str(tmp_path / "modules"),
            "VIRTUAL_ENV": str(tmp_path / "venv"),
            "PROVARA_PLUGINS": "telling",
        }, kind
    assert states["reducer"] is None
    assert states["event"] == states["export"]
    assert output.read_text() == "by the event type"


def test_the_contract_names_them() -> None:
    lines = (ROOT / "spec" / "PLUGIN_API.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith("| environment |")]
    of_the_user = {"HOME", "PYTHONPATH", "VIRTUAL_ENV", "PROVARA_PLUGINS"}
    of_a_run = {"PROVARA_PLUGIN_STATE", "PROVARA_HOST_MARK", "PYTHONMALLOC"}
    named = {*FIXED, *of_the_user, *of_a_run, *TEMPORARY, *BELOW}
    assert set(re.findall(r"`([A-Z][A-Z_0-9]*)[=`]", row)) == named


def test_a_second_run_is_another(plugins: Provara, vault: Path) -> None:
    name = "com.example.telling.reducer"
    told = surroundings(plugins.run("reduce", vault, "--plugin", name, "--check"))
    assert told[0]["TMPDIR"] != told[1]["TMPDIR"]
    first, second = map(without_temporary, told)
    differing = {key: second[key] for key in second if first.get(key) != second[key]}
    assert differing.pop("PROVARA_HOST_MARK")
    assert differing == {"PYTHONHASHSEED": "1", "PYTHONMALLOC": "malloc"}
    assert first.keys() <= second.keys()


@pytest.mark.parametrize(
    ("items", "names"),
    [
        (["telling", "counting"], {"event", "reducer", "counting"}),
        (["telling:TellingReducer", "counting"], {"reducer", "counting"}),
        (["counting", "telling:TellingEventPlugin"], {"event", "counting"}),
    ],
)
@pytest.mark.parametrize("separator", [",", os.pathsep])
def test_the_chosen_modules(
    plugins: Provara, items: list[str], names: set[str], separator: str
) -> None:
    """`PROVARA_PLUGINS`, by commas and by the separator of paths, which is a colon here, too."""
    chosen = plugins.with_environment(PROVARA_PLUGINS=separator.join(items))
    outcome = chosen.run("plugins", "list")
    listed = {
        line.split()[1].split(".")[-1] for line in outcome.stdout.splitlines() if "  - " in line
    }
    assert listed - {"telling"} == names, str(outcome)
    # What is relative reaches no plugin, and that is told.
    told = [line for line in outcome.stderr.splitlines() if "compiled modules" not in line]
    assert len(told) == 1 and "'relative' of PYTHONPATH" in told[0], str(outcome)
