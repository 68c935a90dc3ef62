"""Packages that end or block the process which loads the plugins: each costs itself and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import Environment, Provara, assert_one_error, fingerprint

#: What a package does while it is imported, and what is told of it.
ENDINGS = {
    "exits": ("import os; os._exit(7)", "ended (exit code 7)"),
    "vanishes": ("import os; os._exit(0)", "ended (exit code 0)"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "ended (signal 11 (SIGSEGV))"),
    "spins": ("while True: pass", "was ended after 3 s"),
    "closes": ("import os, time; os.closerange(3, 256); time.sleep(60)", "ended (how is unknown)"),
}

PLUGINS = """
class Event:
    name = "com.example.{name}.event"
    schema = {{"type": "object"}}
    def validate(self, data): return True
    def cli_command(self): {alias}

class Reducer:
    name = "com.example.{name}.reducer"
    def __init__(self): {init}
    def reduce(self, events): return {{"events": sum(1 for _ in events)}}
"""

POINTS = """[provara.plugins]
event = {name}_plugins:Event
reducer = {name}_plugins:Reducer
"""


def package(
    directory: Path, name: str, code: str = "", *, init: str = "pass", alias: str = "return None"
) -> None:
    """A package with two plugins, as an installer leaves it; what runs at import stands last."""
    metadata = directory / f"{name}_plugins-1.0.dist-info"
    metadata.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}-plugins\nVersion: 1.0\n"
    (metadata / "METADATA").write_text(text)
    (metadata / "entry_points.txt").write_text(POINTS.format(name=name))
    module = PLUGINS.format(name=name, init=init, alias=alias) + code + "\n"
    (directory / f"{name}_plugins.py").write_text(module)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of packages with two good ones, between which the others are loaded."""
    directory = tmp_path / "site"
    package(directory, "a_good")
    package(directory, "z_good")
    return directory


@pytest.fixture
def plugins(provara: Provara, site: Path) -> Provara:
    return provara.with_environment(PYTHONPATH=str(site))


def names(provara: Provara, *more: str) -> tuple[list[str], list[dict[str, str]]]:
    """The event types and the problems of a listing."""
    listed = provara.run("plugins", "list", "--json", *more).json()
    return [entry["name"] for entry in listed["event_types"]], listed["problems"]


GOOD = ["com.example.a_good.event", "com.example.z_good.event"]


def test_several_at_once(plugins: Provara, site: Path) -> None:
    for way, (code, _) in ENDINGS.items():
        package(site, way, code)
    types, problems = names(plugins, "--timeout=3")
    assert types == GOOD
    # The two plugins of each are in one module, which is tried once.
    assert sorted(problem["plugin"] for problem in problems) == sorted(
        f"event ({way}-plugins)" for way in ENDINGS
    )
    for problem in problems:
        way = problem["plugin"].split("(")[1].split("-")[0]
        assert problem["kind"] == "load"
        assert f"The process that loads plugins {ENDINGS[way][1]}." in problem["text"]
        assert f"all that is in the module {way}_plugins" in problem["text"]


def test_the_others_work_and_nothing_goes_unsaid(
    plugins: Provara, site: Path, vault: Path, tmp_path: Path
) -> None:
    package(site, "bad", ENDINGS["exits"][0])
    warning = "the plugin 'event (bad-plugins)' was left out"
    appended = plugins.append(vault, "com.example.z_good.event", {})
    assert appended.stderr.count(warning) == 1, str(appended)
    reducer = "com.example.z_good.reducer"
    reduced = plugins.run("reduce", vault, "--plugin", reducer)
    assert reduced.json() == {"events": 3}
    assert reduced.stderr.count(warning) == 1, str(reduced)
    builtin = plugins.run("export", vault, "--format", "csv", "--output", tmp_path / "csv")
    assert builtin.stderr.count(warning) == 1, str(builtin)
    lines = tmp_path / "lines"
    lines.write_text(json.dumps({"type": GOOD[0], "data": {}}) + "\n")
    assert warning in plugins.run("append", vault, "--batch", lines).stderr
    allowed = plugins.append(vault, "com.example.bad.event", {}, "--allow-unregistered")
    assert warning in allowed.stderr, str(allowed)
    doctor = plugins.run("doctor", expect=4)
    assert "1 with problems" in doctor.stdout, str(doctor)
    assert "some plugins cannot be used" in doctor.stdout, str(doctor)


def test_one_command_waits_once(plugins: Provara, site: Path, vault: Path) -> None:
    """The second run of `--check` knows what the first has found."""
    code = "import sys; print('tried', file=sys.stderr, flush=True)\nwhile True: pass"
    package(site, "bad", code)
    reducer = "com.example.z_good.reducer"
    reduced = plugins.run("reduce", vault, "--plugin", reducer, "--check", "--timeout=3")
    assert reduced.json() == {"events": 2}
    assert reduced.stderr.count("[event (bad-plugins)] tried\n") == 1, str(reduced)
    assert reduced.stderr.count("was left out") == 1, str(reduced)


def test_what_is_its_own_failed_with_it(
    plugins: Provara, site: Path, vault: Path, tmp_path: Path
) -> None:
    code, told = ENDINGS["exits"]
    package(site, "bad", code)
    before = fingerprint(vault)
    wanted = {
        "the event type 'com.example.bad.event'": plugins.append(
            vault, "com.example.bad.event", {}, expect=4
        ),
        "the reducer 'com.example.bad.reducer'": plugins.run(
            "reduce", vault, "--plugin", "com.example.bad.reducer", expect=4
        ),
        "the export format 'bad'": plugins.run(
            "export", vault, "--format", "bad", "--output", tmp_path / "out", expect=4
        ),
    }
    for what, outcome in wanted.items():
        assert f"ERROR: No plugin that can be used provides {what}.\n" in outcome.stderr
        assert "'event (bad-plugins)'." in outcome.stderr.split("No plugin that can")[1]
        assert f"The process that loads plugins {told}." in outcome.stderr, str(outcome)
    assert fingerprint(vault) == before


@pytest.mark.parametrize("place", ["init", "alias"])
def test_only_an_import_costs_the_whole_module(plugins: Provara, site: Path, place: str) -> None:
    """What its class or its alias does is not the other plugins' of the module."""
    package(site, "bad", **{place: "import os; os._exit(7)"})
    listed = plugins.run("plugins", "list", "--json").json()
    types = [entry["name"] for entry in listed["event_types"]]
    reducers = [entry["name"] for entry in listed["reducers"]]
    (problem,) = listed["problems"]
    assert "module" not in problem["text"]
    if place == "init":
        assert problem["plugin"] == "reducer (bad-plugins)"
        assert "com.example.bad.event" in types and "com.example.bad.reducer" not in reducers
    else:
        assert problem["plugin"] == "event (bad-plugins)"
        assert "com.example.bad.event" not in types and "com.example.bad.reducer" in reducers
    assert set(GOOD) <= set(types)


def test_there_is_an_end(plugins: Provara, site: Path, vault: Path) -> None:
    """A crowd of them ends the command, as each would have alone; what needs no plugin works."""
    for number in range(9):
        package(site, f"bad_{number}", "import os; os._exit(7)")
    outcome = plugins.run("plugins", "list", expect=4)
    error = assert_one_error(outcome)
    assert "The plugin 'event (bad_8-plugins)' ended its process (exit code 7)" in error
    for number in range(8):
        assert f"'event (bad_{number}-plugins)'" in error
    plugins.append(vault, "OBSERVATION", {"value": 1})


def test_a_time_limit_bounds_all_attempts(plugins: Provara, site: Path) -> None:
    for number in range(5):
        package(site, f"bad_{number}", "while True: pass")
    outcome = plugins.run("plugins", "list", "--timeout=1", expect=4)
    assert "did not finish within 1 s" in assert_one_error(outcome), str(outcome)


LIAR = """
import json, os, stat
def sockets():
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                yield fd
        except OSError:
            pass
mark = os.path.join(os.environ["PROVARA_PLUGIN_STATE"], "was here")
if not os.path.exists(mark):
    open(mark, "w").close()
    loading = {"plugin": "event (z_good-plugins)", "module": "z_good_plugins"}
    body = json.dumps({"id": 2, "loading": loading}).encode()
    for fd in sockets():
        os.write(fd, len(body).to_bytes(4, "big") + body)
    os._exit(7)
"""


def test_a_plugin_that_blames_another_one(
    plugins: Provara, site: Path, vault: Path, tmp_path: Path
) -> None:
    """All share the process, and so its voice: who is left out is its word, and told as that."""
    package(site, "liar", LIAR)
    state = tmp_path / "state"
    liar = plugins.with_environment(XDG_STATE_HOME=str(state))
    outcome = liar.append(vault, "com.example.z_good.event", {}, expect=4)
    assert "ended its process" not in outcome.stderr, str(outcome)
    assert "It had said that it was loading this one." in outcome.stderr
    assert "another one ended it" in outcome.stderr
    # It was about once: whoever was blamed is back.
    liar.append(vault, "com.example.z_good.event", {})


def test_an_installed_package(vault: Path, tmp_path: Path) -> None:
    """By pip, into an environment of its own."""
    environment = Environment(tmp_path / "venv", "setuptools", "wheel")
    for name, code in (("bad", "import os; os._exit(7)"), ("good", "")):
        source = tmp_path / name
        source.mkdir()
        module = PLUGINS.format(name=name, init="pass", alias="return None") + code + "\n"
        (source / f"{name}_plugins.py").write_text(module)
        points = f'\nreducer = "{name}_plugins:Reducer"\nevent = "{name}_plugins:Event"\n'
        (source / "pyproject.toml").write_text(
            f'[project]\nname = "{name}-plugins"\nversion = "1.0"\n'
            f'[project.entry-points."provara.plugins"]{points}'
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            f'[tool.setuptools]\npy-modules = ["{name}_plugins"]\n'
        )
        environment.install_package(source)
    installed = Provara(environment.executable, tmp_path / "home")
    listed = installed.run("plugins", "list")
    assert "com.example.good.event (good-plugins v1.0)" in listed.stdout, str(listed)
    assert "ERROR: Plugin 'event (bad-plugins)' could not be loaded.\n" in listed.stderr
    installed.append(vault, "com.example.good.event", {})
    refused = installed.append(vault, "com.example.bad.event", {}, expect=4)
    assert "ended (exit code 7)" in refused.stderr
