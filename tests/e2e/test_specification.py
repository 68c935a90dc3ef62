"""The code blocks of the plugin specification, taken out of the file, work unchanged.

They become packages that pip builds and installs into an environment of their own. Nothing
of a block is edited; what a block leaves open (where its classes live, `run_command`, the
data that it abbreviates as `{...}`) is put around it here.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from specification import Specification, location
from support import Environment, Outcome, Provara, fingerprint

pytestmark = pytest.mark.skipif(
    not location().is_file(),
    reason="the specification is not here; PROVARA_SPEC_DIR names its directory (2026-11-22)",
)

INIT = """
from acme_provara_plugins.compliance_reducer import ComplianceReducer
from acme_provara_plugins.csv_export import CSVExportPlugin
from acme_provara_plugins.login_event import LoginEventPlugin

__all__ = ["CSVExportPlugin", "ComplianceReducer", "LoginEventPlugin"]
"""


@pytest.fixture(scope="session")
def specification() -> Specification:
    return Specification(location().read_text(encoding="utf-8"))


def write_package(directory: Path, specification: Specification, pyproject: str) -> Path:
    """The package of the "Publishing" section, its modules being the three example blocks."""
    package = directory / "acme_provara_plugins"
    package.mkdir(parents=True)
    (directory / "pyproject.toml").write_text(pyproject)
    (directory / "README.md").write_text("# ACME plugins\n")
    (package / "__init__.py").write_text(INIT)
    for module, section in {
        "login_event": "1. Custom Event Types",
        "compliance_reducer": "2. Custom Reducers",
        "csv_export": "3. Custom Export Formats",
    }.items():
        (package / f"{module}.py").write_text(specification.block(section, "python"))
    return directory


def template(specification: Specification) -> str:
    return specification.block("pyproject.toml Template", "toml")


@pytest.fixture(scope="session")
def environment(
    tmp_path_factory: pytest.TempPathFactory, specification: Specification
) -> Environment:
    """An environment with the specification's package, as its template declares it."""
    directory = tmp_path_factory.mktemp("specification")
    made = Environment(directory / "venv", "setuptools", "wheel", "pytest")
    made.install_package(
        write_package(directory / "acme-provara-plugins", specification, template(specification))
    )
    return made


@pytest.fixture(scope="session")
def bare_environment(
    tmp_path_factory: pytest.TempPathFactory, specification: Specification
) -> Environment:
    """An environment in which the same classes can be imported, but nothing declares them."""
    directory = tmp_path_factory.mktemp("bare")
    made = Environment(directory / "venv", "setuptools", "wheel")
    write_package(directory / "modules", specification, template(specification))
    return made


@pytest.fixture
def acme_spec(environment: Environment, tmp_path: Path) -> Provara:
    return Provara(environment.executable, tmp_path / "home")


@pytest.fixture
def vault(acme_spec: Provara, tmp_path: Path) -> Path:
    path = tmp_path / "my-vault"
    acme_spec.run("init", path)
    return path


def shell(block: str, provara: Provara, directory: Path) -> Outcome:
    """Runs a block of shell commands where `my-vault` is."""
    done = subprocess.run(
        ["bash", "-euc", block],
        capture_output=True,
        text=True,
        env=provara.environment,
        cwd=directory,
        timeout=60,
    )
    return Outcome(("bash", block), done.returncode, done.stdout, done.stderr)


# ------------------------------------------------------------------- registration


def test_plugins_list(acme_spec: Provara, specification: Specification) -> None:
    sample = specification.block("`provara plugins list`", "", "Installed Provara Plugins")
    absent = ("com.acme.audit.logout", "siem-splunk")
    expected = [line for line in sample.splitlines() if not any(name in line for name in absent)]
    outcome = acme_spec.run("plugins", "list")
    assert outcome.stdout.splitlines() == expected
    assert outcome.stderr == ""


def test_plugins_list_of_the_example_package(acme: Provara, specification: Specification) -> None:
    sample = specification.block("`provara plugins list`", "", "Installed Provara Plugins")
    assert acme.run("plugins", "list").stdout == sample


def test_the_shorter_pyproject_installs_too(tmp_path: Path, specification: Specification) -> None:
    """The first pyproject.toml has no [build-system]: pip's default must serve it."""
    pyproject = specification.block("Via Entry Points", "toml")
    environment = Environment(tmp_path / "venv", "setuptools", "wheel")
    environment.install_package(write_package(tmp_path / "package", specification, pyproject))
    listed = Provara(environment.executable, tmp_path / "home").run("plugins", "list").stdout
    assert "  - com.acme.audit.login (acme-provara-plugins v1.0.0)\n" in listed


def test_the_recommended_version_range_is_satisfied(
    tmp_path: Path, specification: Specification
) -> None:
    recommended = specification.block("Core Compatibility", "toml").strip()
    pyproject, count = re.subn(r"(?m)^dependencies = .*$", recommended, template(specification))
    assert count == 1
    environment = Environment(tmp_path / "venv", "setuptools", "wheel")
    environment.install_package(write_package(tmp_path / "package", specification, pyproject))
    environment.pip("check")


def test_registration_from_python(environment: Environment, specification: Specification) -> None:
    """The block registers in a program of its own, where the entry points were discovered
    already: there the names are taken, by the same classes. A reload without them is clean."""
    block = specification.block("Via Python API", "python")
    program = (
        "import importlib.metadata\n"
        "importlib.metadata.entry_points = lambda **_: importlib.metadata.EntryPoints(())\n"
        "from acme_provara_plugins import *\n"
        f"{block}\n"
        "assert registry.get_event_type('com.acme.audit.login').cli_command() == 'login'\n"
        "assert registry.get_reducer('com.acme.compliance.monitor') is not None\n"
        "assert type(registry.get_export('csv')) is CSVExportPlugin\n"
        "print('registered')\n"
    )
    assert environment.python_run("-c", program).strip() == "registered"


# ----------------------------------------------------------------------- commands


def test_the_commands(
    acme_spec: Provara, vault: Path, tmp_path: Path, specification: Specification
) -> None:
    """append, reduce and export as the "CLI Commands" section writes them."""
    append = shell(specification.block("`provara append", "bash"), acme_spec, tmp_path)
    assert append.code == 0, str(append)
    event = json.loads((vault / "events" / "events.ndjson").read_text().splitlines()[-1])
    assert event["type"] == "com.acme.audit.login"
    assert event["payload"] == {"user_id": "alice", "success": True, "ip_address": "192.168.1.1"}

    failed = '{"user_id":"mallory","success":false,"ip_address":"10.0.0.9"}'
    acme_spec.append(vault, "login", failed)
    mallory = json.loads((vault / "events" / "events.ndjson").read_text().splitlines()[-1])

    before = fingerprint(vault)
    reduce = shell(specification.block("`provara reduce", "bash"), acme_spec, tmp_path)
    assert reduce.code == 0, str(reduce)
    assert reduce.json() == {
        "compliance_version": "1.0",
        "total_violations": 1,
        "violations": [
            {
                "event_id": mallory["event_id"],
                "violation": "failed_login",
                "timestamp": mallory["timestamp_utc"],
            }
        ],
    }

    export = shell(specification.block("`provara export", "bash"), acme_spec, tmp_path)
    assert export.code == 0, str(export)
    rows = (tmp_path / "vault-export.csv").read_text().splitlines()
    assert rows[0] == "event_id,type,timestamp_utc,actor,payload"
    assert len(rows) == 1 + 4
    assert "{'ip_address': '10.0.0.9'" in rows[-1], "written by the plugin, not by the built-in"
    assert fingerprint(vault) == before
    acme_spec.run("verify", vault)


def test_the_alias_of_a_type(acme_spec: Provara, vault: Path) -> None:
    acme_spec.append(vault, "login", {"user_id": "bob", "success": True, "ip_address": "10.0.0.1"})
    event = json.loads((vault / "events" / "events.ndjson").read_text().splitlines()[-1])
    assert event["type"] == "com.acme.audit.login"


# ------------------------------------------------------------------------- errors


def test_an_invalid_plugin(tmp_path: Path, specification: Specification) -> None:
    package = tmp_path / "bad-plugin-package"
    (package / "bad_plugin_package").mkdir(parents=True)
    (package / "pyproject.toml").write_text(
        '[project]\nname = "bad-plugin-package"\nversion = "0.1.0"\n'
        'dependencies = ["provara-protocol>=1.0.0"]\n'
        '[project.entry-points."provara.plugins"]\n'
        'bad_plugin = "bad_plugin_package:BadReducer"\n'
        '[build-system]\nrequires = ["setuptools>=68.0"]\n'
        'build-backend = "setuptools.build_meta"\n'
    )
    (package / "bad_plugin_package" / "__init__.py").write_text(
        'class BadReducer:\n    name = "com.example.bad"\n'
    )
    environment = Environment(tmp_path / "venv", "setuptools", "wheel")
    environment.install_package(package)
    provara = Provara(environment.executable, tmp_path / "home")
    expected = specification.block("Invalid Plugin", "")
    assert provara.run("plugins", "list").stderr == expected
    vault = tmp_path / "vault"
    assert provara.run("init", vault).stderr.count("ERROR") == 0, "a command that needs no plugin"
    before = fingerprint(vault)
    wanted = provara.run("reduce", vault, "--plugin", "com.example.bad", expect=4)
    assert expected in wanted.stderr
    assert fingerprint(vault) == before


def test_a_name_collision(
    bare_environment: Environment, tmp_path: Path, specification: Specification
) -> None:
    """The built-in `csv`, once a program registers it explicitly, keeps its name."""
    modules = bare_environment.directory.parent / "modules"
    (modules / "registers_the_builtin.py").write_text(
        "from provara.plugins import registry\n"
        "from provara.plugins.builtin import CSVExporter\n"
        "registry.register_export(CSVExporter())\n"
    )
    provara = Provara(
        bare_environment.executable,
        tmp_path / "home",
        {
            "PYTHONPATH": str(modules),
            "PROVARA_PLUGINS": "registers_the_builtin,acme_provara_plugins:CSVExportPlugin",
        },
    )
    outcome = provara.run("plugins", "list")
    assert outcome.stderr == specification.block("Name Collision", "")


def test_a_name_collision_in_python(environment: Environment, specification: Specification) -> None:
    program = (
        "from provara.plugins import PluginRegistry\n"
        "from provara.plugins.builtin import CSVExporter\n"
        "from acme_provara_plugins import CSVExportPlugin\n"
        "registry = PluginRegistry()\n"
        "registry.register_export(CSVExporter())\n"
        "try:\n"
        "    registry.register_export(CSVExportPlugin())\n"
        "except ValueError as problem:\n"
        "    print(problem)\n"
    )
    assert environment.python_run("-c", program) == specification.block("Name Collision", "")


def test_a_schema_failure(acme_spec: Provara, vault: Path, specification: Specification) -> None:
    before = fingerprint(vault)
    data = {"user_id": "alice", "success": True, "ip_address": "192.168.1"}
    outcome = acme_spec.append(vault, "com.acme.audit.login", data, expect=2)
    assert outcome.stderr == specification.block("Schema Validation Failure", "")
    assert outcome.stdout == ""
    assert fingerprint(vault) == before


# -------------------------------------------------------------- the tests it shows


def test_the_unit_test(
    environment: Environment, tmp_path: Path, specification: Specification
) -> None:
    """`my_plugin` is the first example block under the name that the unit test imports."""
    (tmp_path / "my_plugin.py").write_text(specification.block("1. Custom Event Types", "python"))
    (tmp_path / "test_unit.py").write_text(specification.block("Unit Tests", "python"))
    out = environment.python_run("-m", "pytest", "-q", "test_unit.py", cwd=tmp_path)
    assert "1 passed" in out


RUN_COMMAND = '''
import shlex
import subprocess

DATA = {data!r}


def run_command(command):
    """Runs a command without a shell, the data in place of the specification's `{{...}}`.

    The block looks at the last result only: the others are looked at here."""
    words = shlex.split(command.replace("{{...}}", DATA))
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result


'''


def test_the_integration_test(
    environment: Environment, tmp_path: Path, specification: Specification
) -> None:
    """The block's `'{{...}}'` stands for the data of the append command shown above it."""
    append = shlex.split(specification.block("`provara append", "bash").replace("\\\n", " "))
    data = append[append.index("--data") + 1]
    (tmp_path / "test_integration.py").write_text(
        RUN_COMMAND.format(data=data) + specification.block("Integration Tests", "python")
    )
    out = environment.python_run("-m", "pytest", "-q", "test_integration.py", cwd=tmp_path)
    assert "1 passed" in out
