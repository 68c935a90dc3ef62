"""Hostile plugins, one attack each, against the real executable.

Inside the sandbox an attack fails, the command says what was tried and ends with exit 4, and the
vault and everything else is as it was. Without the sandbox the same plugin succeeds, so that the
sandbox is what stopped it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import (
    HERE,
    Environment,
    Outcome,
    Provara,
    assert_one_error,
    fingerprint,
    needs_sandbox,
)

HOSTILE = HERE / "hostile"
SECRET = "TOP SECRET"


def attacks() -> dict[str, Any]:
    """The list of attacks, read in a process of its own: its modules have common names."""
    code = """
import json, sys
sys.path.insert(0, sys.argv[1])
import attacks_on_files, attacks_on_processes, attacks_on_the_host, attacks_on_the_network
from world import ATTACKS
keys = ("kinds", "always_stopped", "at_import", "root_only")
print(json.dumps({n: {k: getattr(a, k) for k in keys} for n, a in ATTACKS.items()}))
"""
    command = [sys.executable, "-B", "-c", code, str(HOSTILE)]
    return dict(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


ATTACKS = attacks()
CASES = [(name, kind) for name, attack in ATTACKS.items() for kind in attack["kinds"]]
SANDBOXED = [name for name, attack in ATTACKS.items() if not attack["always_stopped"]]


class Scene:
    """A vault, a home and listeners, and a hostile plugin that is after them."""

    def __init__(self, provara: Provara, directory: Path, name: str):
        self.home = directory / "scene-home"
        (self.home / ".ssh").mkdir(parents=True)
        (self.home / ".ssh" / "id_ed25519").write_text(SECRET)
        self.outside = directory / "outside"
        self.outside.mkdir()
        self.results = directory / "results"
        self.results.mkdir()
        self.vault = directory / "vault"
        modules = directory / "modules"
        shutil.copytree(HOSTILE, modules, ignore=shutil.ignore_patterns("__pycache__"))
        self.modules = modules
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(directory / "socket"))
        self.abstract = socket.socket(socket.AF_UNIX)
        abstract = f"provara-hostile-{os.getpid()}-{id(self)}"
        self.abstract.bind("\0" + abstract)
        self.listeners = [self.tcp, self.udp, self.unix, self.abstract]
        for listener in self.listeners:
            listener.setblocking(False)
        self.unix.listen()
        self.abstract.listen()
        # One that the shell gave to the command, as `3<file` does.
        self.descriptor = os.open(self.home / ".ssh" / "id_ed25519", os.O_RDONLY)
        self.provara = provara.with_environment(
            HOME=str(self.home),
            PYTHONPATH=str(modules),
            PROVARA_PLUGINS="hostile_plugin",
            SECRET_TOKEN=SECRET,
        )
        provara.run("init", self.vault)
        # What nobody names, in a directory that Python reads.
        (modules / "data").mkdir()
        provara.run("init", modules / "data" / "vault")
        provara.run("init", directory / "spare-vault", "--private-keys", modules / "data" / "spare")
        choice = {
            "attack": name,
            "key": str(self.vault / "identity" / "private_keys.json"),
            "vault": str(self.vault),
            "home": str(self.home),
            "outside": str(self.outside),
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "unix": str(directory / "socket"),
            "abstract": abstract,
        }
        (modules / "choice.json").write_text(json.dumps(choice))

    def run(self, kind: str, *more: str) -> Outcome:
        """Lets the plugin do its work, for its kind."""
        words: list[str | Path]
        if kind == "event":
            words = ["append", self.vault, "--type", "com.example.hostile.event", "--data", "{}"]
        elif kind == "reducer":
            words = ["reduce", self.vault, "--plugin", "com.example.hostile.reducer"]
        else:
            words = ["export", self.vault, "--format", "hostile", "--output", self.results / "out"]
        return self.provara.run(*words, *more, expect=None, pass_fds=[self.descriptor])

    def run_bare(self) -> str:
        """Lets the plugin do its work in an interpreter of its own, and gives what it said."""
        done = subprocess.run(
            [sys.executable, "-B", "-c", "import hostile_plugin; hostile_plugin.run()"],
            stderr=subprocess.PIPE,
            text=True,
            env=self.provara.environment,
            pass_fds=[self.descriptor],
        )
        return done.stderr

    def everything(self) -> dict[str, Any]:
        """All that an attack could change."""
        # An export's own directory has had a staging directory in it: its time is another one.
        found: dict[str, Any] = {"results": os.listdir(self.results)}
        for directory in (self.vault, self.home / ".ssh", self.outside, self.modules):
            for name, entry in fingerprint(directory).items():
                if "__pycache__" not in name:
                    found[f"{directory.name}/{name}"] = entry
        return found

    def heard(self) -> list[str]:
        """Which listeners heard something."""
        heard = []
        for listener in self.listeners:
            try:
                if listener.type == socket.SOCK_DGRAM:
                    listener.recv(100)
                else:
                    listener.accept()[0].close()
            except BlockingIOError:
                continue
            heard.append(str(listener.family))
        return heard

    def close(self) -> None:
        os.close(self.descriptor)
        for listener in self.listeners:
            listener.close()


@pytest.fixture
def scene(provara: Provara, tmp_path: Path) -> Iterator[Any]:
    """Makes the scene of an attack; at most one a test."""
    made: list[Scene] = []

    def make(name: str) -> Scene:
        made.append(Scene(provara, tmp_path, name))
        return made[-1]

    yield make
    for one in made:
        one.close()


@needs_sandbox
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_attack_fails(scene: Any, name: str, kind: str) -> None:
    there = scene(name)
    before = there.everything()
    outcome = there.run(kind, "--sandbox=require", "--timeout=30")
    # A validator that just raises has refused the data, which is not the plugin's failure.
    refused = kind == "event" and ATTACKS[name]["always_stopped"]
    assert outcome.code in ((2, 4) if refused else (4,)), str(outcome)
    error = assert_one_error(outcome)
    assert outcome.stdout == "", str(outcome)
    said = outcome.stdout + outcome.stderr
    assert "the attack succeeded" not in said and SECRET not in said, str(outcome)
    assert "\x1b" not in said and "\u202e" not in said, str(outcome)
    if name in SANDBOXED:
        assert "stopped by its sandbox" in error and "it tried" in error, error
    assert there.everything() == before
    assert there.heard() == []
    there.provara.run("verify", there.vault)


@needs_sandbox
@pytest.mark.parametrize("name", SANDBOXED)
def test_the_attack_is_real(scene: Any, name: str) -> None:
    if ATTACKS[name]["root_only"] and os.geteuid() != 0:
        pytest.skip("only root may do this without the sandbox (2026-11-22)")
    there = scene(name)
    outcome = there.run(ATTACKS[name]["kinds"][0], "--sandbox=off")
    assert "the attack succeeded" in outcome.stderr, str(outcome)


@needs_sandbox
@pytest.mark.parametrize(
    "name",
    [
        "connect_over_a_path",
        "connect_over_an_abstract_name",
        "point_a_pair_elsewhere",
        "talk_to_the_kernel",
        "listen_to_everybody",
        "forge_packets",
        "read_the_key",
        "start_a_program",
    ],
)
def test_the_network_is_the_internet_only(scene: Any, name: str) -> None:
    """What an export may do with `--allow-net`, and nothing else."""
    there = scene(name)
    outcome = there.run("export", "--sandbox=require", "--allow-net", "--timeout=30")
    assert outcome.code == 4 and "stopped by its sandbox" in assert_one_error(outcome), str(outcome)
    assert there.heard() == []


@needs_sandbox
@pytest.mark.parametrize("name", ["read_a_descriptor_left_open", "read_the_environment"])
def test_what_the_launcher_takes_away_is_there(scene: Any, name: str) -> None:
    """These two fail with `--sandbox=off` too: what they look for never reaches the host."""
    there = scene(name)
    assert "the attack succeeded" in there.run_bare()
    assert "the attack succeeded" not in there.run("event", "--sandbox=off").stderr


def test_there_are_enough() -> None:
    assert len(ATTACKS) >= 40
    assert len(CASES) >= 100


# ------------------------------------------------------------------ plugins of one module


def with_module(provara: Provara, directory: Path, name: str, text: str) -> Provara:
    """The executable with one plugin module, which lies in `directory/modules`."""
    modules = directory / "modules"
    modules.mkdir(exist_ok=True)
    (modules / f"{name}.py").write_text(text)
    return provara.with_environment(PYTHONPATH=str(modules), PROVARA_PLUGINS=name)


BOUNDLESS = """
class Boundless:
    name = "com.example.boundless"
    def reduce(self, events):
        return {{"a": "x" * {size}}}

class Verbose:
    name = "com.example.verbose"
    schema = {{"type": "object", "description": "x" * {size}}}
    def validate(self, data): return True
    def cli_command(self): return None
"""


def test_what_a_plugin_returns_has_an_end(provara: Provara, vault: Path, tmp_path: Path) -> None:
    """A result that no frame can carry is its plugin's failure; a schema costs its type alone."""
    words = ["reduce", str(vault), "--plugin", "com.example.boundless"]
    there = with_module(provara, tmp_path, "boundless", BOUNDLESS.format(size=64 << 20))
    error = assert_one_error(there.run(*words, expect=4))
    assert "The plugin 'com.example.boundless' failed: it returned 6710" in error, error
    problem = there.run("plugins", "list").stderr
    assert "type: com.example.verbose" in problem and "4194304 are allowed" in problem, problem
    there = with_module(provara, tmp_path, "boundless", BOUNDLESS.format(size=1 << 20))
    assert len(there.run(*words).json()["a"]) == 1 << 20


def test_an_output_gives_nobody_its_owners_rights(
    provara: Provara, vault: Path, tmp_path: Path
) -> None:
    """A plugin chooses the mode of what it makes; whoever runs the output becomes nobody else."""
    out = tmp_path / "out"
    there = with_module(
        provara,
        tmp_path,
        "setuid",
        "import os\n"
        "class Setuid:\n"
        "    name = 'setuid'\n"
        "    def export(self, vault_path, output_path):\n"
        "        os.umask(0)\n"
        "        os.close(os.open(output_path, os.O_CREAT | os.O_WRONLY, 0o6777))\n",
    )
    there.run("export", vault, "--format", "setuid", "--output", out)
    assert out.stat().st_mode & 0o7000 == 0


@needs_sandbox
@pytest.mark.parametrize("call", ["os.mkfifo(path)", "os.mknod(path)"])
def test_the_call_that_was_refused_is_named(
    provara: Provara, vault: Path, tmp_path: Path, call: str
) -> None:
    """Also where Python tells nobody of it, and the last that it told of was another one."""
    there = with_module(
        provara,
        tmp_path,
        "maker",
        "import os\n"
        "class Maker:\n"
        "    name = 'com.example.maker'\n"
        "    def reduce(self, events):\n"
        "        open(__file__).close()\n"
        "        path = '/tmp/made'\n"
        f"        {call}\n",
    )
    outcome = there.run("reduce", vault, "--plugin", "com.example.maker", expect=4)
    error = assert_one_error(outcome)
    assert f"it tried {call}, but a reducer may write nothing" in error, error


LOOKUP = """
import socket, urllib.request

class Lookup:
    name = "lookup"
    def export(self, vault_path, output_path):
        socket.getaddrinfo("name.invalid", 443)

class Fetch:
    name = "fetch"
    def export(self, vault_path, output_path):
        urllib.request.urlopen("http://name.invalid/")
"""


@needs_sandbox
@pytest.mark.parametrize("name", ["lookup", "fetch"])
def test_a_name_that_is_not_found_is_no_violation(
    provara: Provara, vault: Path, tmp_path: Path, name: str
) -> None:
    """With the network, the sandbox stops nothing; without it, it does."""
    there = with_module(provara, tmp_path, "lookup", LOOKUP)
    words = ["export", str(vault), "--format", name, "--output", str(tmp_path / "out")]
    error = assert_one_error(there.run(*words, "--allow-net", expect=4))
    assert "sandbox" not in error, error
    assert f"The plugin '{name}' failed" in error, error
    error = assert_one_error(there.run(*words, expect=4))
    assert "may not use the network" in error and "--allow-net" in error, error


# ------------------------------------------------------------------- editable installs

PROJECT = """
[project]
name = "nosy-plugin"
version = "1.0"
[project.entry-points."provara.plugins"]
nosy = "nosy:Nosy"
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
{setuptools}
"""

NOSY = """
class Nosy:
    name = "com.example.nosy"
    def reduce(self, events):
        found = {{}}
        for path in {paths!r}:
            try:
                found[path] = open(path).read()
            except OSError as error:
                found[path] = error.strerror
        return found
"""

#: By a path in a `.pth` file, and by a finder module.
LAYOUTS = {
    "path": ("src", 'package-dir = {"" = "src"}\npy-modules = ["nosy"]'),
    "finder": ("lib", 'package-dir = {nosy = "lib/nosy"}\npackages = ["nosy"]'),
}


@needs_sandbox
@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_an_editable_install_only_the_sources_are_open(tmp_path: Path, layout: str) -> None:
    environment = Environment(tmp_path / "venv", "setuptools", "wheel")
    provara = Provara(environment.executable, tmp_path / "home")
    directory, setuptools = LAYOUTS[layout]
    project, other = tmp_path / "project", tmp_path / "other"
    sources = project / directory
    module = sources / "nosy.py" if layout == "path" else sources / "nosy" / "__init__.py"
    module.parent.mkdir(parents=True)
    (project / "pyproject.toml").write_text(PROJECT.format(setuptools=setuptools))
    vault = project / "vault"
    provara.run("init", vault)
    provara.run("init", tmp_path / "v2", "--private-keys", module.with_name("k"))
    for path in (project / ".env", module.with_name(".env"), other / "pyproject.toml"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(SECRET)
    closed = [
        vault / "identity" / "private_keys.json",
        vault / "events" / "events.ndjson",
        module.with_name("k"),
        project / ".env",
        module.with_name(".env"),
        other / "pyproject.toml",
    ]
    opened = module.with_name("data.txt")
    opened.write_text("public")
    paths = [str(path) for path in (opened, *closed)]
    module.write_text(NOSY.format(paths=paths))
    environment.pip("install", "--no-build-isolation", "--editable", project)
    # Any package may have such a file; it is not the installer's record of anything.
    site = next(environment.directory.glob("lib/python3*/site-packages"))
    (site / "greedy.pth").write_text(f"{other}\n")

    def read(*more: str) -> dict[str, str]:
        reduced = provara.run("reduce", tmp_path / "v2", "--plugin", "com.example.nosy", *more)
        return dict(reduced.json())

    # Keys lie in it: nothing of it is open before the user says so.
    closed_all = provara.run("plugins", "list", "--sandbox=require")
    assert "com.example.nosy" not in closed_all.stdout, str(closed_all)
    provara.run("plugins", "list", "--editable", project)
    inside = read("--sandbox=require")
    assert inside.pop(str(opened)) == "public"
    assert set(inside.values()) == {"Permission denied"}, inside
    assert "Permission denied" not in read("--sandbox=off").values()


# --------------------------------------------------------- before the first line of Python

STARTERS = {
    "pth": ("hostile.pth", "import hostile_start\n"),
    "sitecustomize": ("sitecustomize.py", "import hostile_start\n"),
}


@pytest.fixture(scope="module")
def infected(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment of its own, into which a package may put what runs at the start."""
    return Environment(tmp_path_factory.mktemp("infected") / "venv")


@needs_sandbox
@pytest.mark.parametrize("starter", STARTERS)
def test_code_that_runs_at_the_start_is_inside(
    infected: Environment, tmp_path: Path, starter: str
) -> None:
    provara = Provara(infected.executable, tmp_path / "home")
    vault, loot = tmp_path / "vault", tmp_path / "loot"
    provara.run("init", vault)
    site = next(infected.directory.glob("lib/python3*/site-packages"))
    code = (
        "try:\n"
        f"    key = open({str(vault / 'identity' / 'private_keys.json')!r}).read()\n"
        f"    open({str(loot)!r}, 'w').write(key)\n"
        "except OSError:\n"
        "    pass\n"
    )
    name, text = STARTERS[starter]
    look = "import importlib.util as u; print(u.find_spec('sitecustomize'))"
    if starter == "sitecustomize" and infected.python_run("-c", look).strip() != "None":
        pytest.skip("this Python has a sitecustomize of its own, as Debian's (2026-11-22)")
    made = [site / name, site / "hostile_start.py"]
    try:
        made[0].write_text(text)
        made[1].write_text(code)
        for kind in ("require", "off"):
            provara.append(vault, "com.example.none.such", {}, f"--sandbox={kind}", expect=None)
            assert loot.exists() == (kind == "off")
    finally:
        for path in made:
            path.unlink(missing_ok=True)


# ------------------------------------------------------------------------ hostile schemas

SCHEMAS = {
    "a catastrophic pattern": (
        {"properties": {"x": {"pattern": r"^(?=(a+)+$)(a+)+\1b$"}}},
        {"x": "a" * 60 + "!"},
        2,
    ),
    "a remote reference": ({"$ref": "http://127.0.0.1:{port}/schema"}, {}, 4),
    "a reference to a file": ({"$ref": "file:///etc/hostname"}, {}, 4),
    "a reference to itself": ({"$ref": "#"}, {}, 0),
    "a deep recursion": (
        {"properties": {"n": {"$ref": "#"}}, "required": ["n"], "additionalProperties": False},
        json.loads('{"n":' * 90 + "{}" + "}" * 90),
        2,
    ),
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_a_hostile_schema(provara: Provara, vault: Path, tmp_path: Path, case: str) -> None:
    schema, data, code = SCHEMAS[case]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        text = json.dumps(schema).replace("{port}", str(server.getsockname()[1]))
        there = with_module(
            provara,
            tmp_path,
            "hostile_schema",
            "import json\n"
            "class HostileEventPlugin:\n"
            "    name = 'com.example.hostile.schema'\n"
            f"    schema = json.loads({text!r})\n"
            "    def validate(self, data): return True\n"
            "    def cli_command(self): return None\n",
        )
        # Whatever it decides, it decides: no hang (the support gives a minute), no crash.
        outcome = there.append(vault, "com.example.hostile.schema", data, expect=code)
        with pytest.raises(BlockingIOError):
            server.accept()
    if code:
        assert "ERROR: " in outcome.stderr and "Fix: " in outcome.stderr, str(outcome)
