"""Environments of unusual make, in which plugins run as in any other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import roads
from support import (
    Environment,
    Outcome,
    Provara,
    assert_one_error,
    needs_sandbox,
    run_checked,
)


class Made(Environment):
    """An environment that is made in a way of its own, with our wheel and the package of the road."""

    def __init__(self, directory: Path, *options: str):
        self.directory = directory
        run_checked([sys.executable, "-m", "venv", "--without-pip", *options, directory])
        self.pip("install", "provara-protocol", roads.wheel(directory.parent / "wheels"))

    @property
    def site(self) -> Path:
        return roads.site_packages(self.directory)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An environment as `venv` and pip make it; a test that changes it copies it."""
    return Made(tmp_path_factory.mktemp("pristine") / "venv")


@pytest.fixture
def made(pristine: Made, tmp_path: Path) -> Made:
    """A copy, which is as good: what is in it names no place but the interpreter's."""
    copy = Made.__new__(Made)
    copy.directory = tmp_path / "venv"
    shutil.copytree(pristine.directory, copy.directory, symlinks=True)
    return copy


def provara_of(environment: Environment, tmp_path: Path) -> Provara:
    return Provara(environment.executable, tmp_path / "home")


def assert_whole(doctor: Outcome) -> None:
    assert doctor.code == 0 and "everything can be used" in doctor.stdout, str(doctor)
    assert doctor.stderr == "", str(doctor)


@needs_sandbox
def test_an_environment_with_a_copied_interpreter(tmp_path: Path) -> None:
    """What `venv --copies` and `venv.create()` make: the library lies where `pyvenv.cfg` says."""
    environment = Made(tmp_path / "venv", "--copies")
    assert not environment.python.is_symlink()
    assert_whole(roads.travel(provara_of(environment, tmp_path), tmp_path / "road"))


@needs_sandbox
@pytest.mark.parametrize("kind", ["files", "directories", "site"])
def test_an_environment_of_links(made: Made, tmp_path: Path, kind: str) -> None:
    """Links to a store by file, as `uv` makes them, by directory, and of all packages as one."""
    store = tmp_path / "home" / ".cache" / "store"
    store.parent.mkdir(parents=True)
    if kind == "files":
        roads.link_files(made.site, store)
    elif kind == "directories":
        roads.link_directories(made.site, store)
    else:
        made.site.rename(store)
        (next((made.directory / "lib").glob("python3*")) / "site-packages").symlink_to(store)
    executable = store.parent / "bin" / "provara"
    executable.parent.mkdir()
    made.executable.rename(executable)
    made.executable.symlink_to(executable)
    doctor = roads.travel(provara_of(made, tmp_path), tmp_path / "road")
    assert "everything can be used" in doctor.stdout, str(doctor)
    assert str(made.directory) in doctor.stdout, str(doctor)


@needs_sandbox
def test_an_executable_that_is_found_on_path(made: Made, tmp_path: Path) -> None:
    """Beside each link on the way is looked, also where a shell found the first one by its name."""
    on_path = tmp_path / "bin"
    on_path.mkdir()
    (on_path / "provara").symlink_to(made.executable)
    done = subprocess.run(
        ["provara", "doctor"],
        env={"PATH": str(on_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and str(made.directory) in done.stdout, done.stdout + done.stderr


def test_an_interpreter_that_is_gone_is_named(made: Made, tmp_path: Path) -> None:
    """Its base was removed: no other one is used in its place, and blamed for what it lacks."""
    link = made.directory / "bin" / "python3"
    link.unlink()
    link.symlink_to("/absent/python3.9")
    doctor = provara_of(made, tmp_path).run("doctor", expect=3)
    assert f"'{link}'" in assert_one_error(doctor), str(doctor)
    assert "link to '/absent/python3.9', which is not there" in doctor.stderr, str(doctor)


@needs_sandbox
def test_a_leftover_of_an_upgrade_hides_no_plugin(made: Made, tmp_path: Path) -> None:
    (made.site / "road_plugins-0.9.dist-info").mkdir()
    (made.site / "road_plugins-0.9.dist-info" / "entry_points.txt").write_text("")
    assert_whole(roads.travel(provara_of(made, tmp_path), tmp_path / "road"))


@needs_sandbox
def test_what_hinders_plugins_is_told(made: Made, tmp_path: Path) -> None:
    """Once, by the two commands that look at an environment, and with what helps."""
    closed, opened = tmp_path / "closed", tmp_path / "opened"
    closed.mkdir()
    opened.mkdir()
    (made.site / "more.pth").write_text(f"{closed}\nimport sys\n{opened}\n")
    shutil.rmtree(made.site / "road_plugins" / "__pycache__")
    provara = provara_of(made, tmp_path).with_environment(PYTHONPATH=f"relative:{opened}")
    words = [
        f"'{closed}', which '{made.site / 'more.pth'}' adds",
        "'relative' of PYTHONPATH is relative",
        "have no compiled modules",
    ]
    for command in (["plugins", "list"], ["doctor"]):
        outcome = provara.run(*command)
        warnings = [line for line in outcome.stderr.splitlines() if "WARNING" in line]
        assert len(warnings) == 3, str(outcome)
        assert all(any(word in line for line in warnings) for word in words), str(outcome)
    told = provara.run("doctor", "--json").json()["warnings"]
    assert len(told) == 3 and told[0].startswith("The entry 'relative'"), told
    helps = [line.partition(": provara ")[2] for line in told if "plugins list" in line]
    provara.run(*helps[0].split())
    roads.compile_all(made.python, made.site)
    assert_whole(provara.with_environment(PYTHONPATH=str(opened)).run("doctor"))


# ----------------------------------------------------------------------- source trees

PROJECT = """
[project]
name = "{name}"
version = "1.0"
[project.entry-points."provara.plugins"]
mine = "mine:Mine"
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
package-dir = {{"" = "src"}}
py-modules = ["mine"]
"""

MINE = """
class Mine:
    name = "com.example.mine"
    def reduce(self, events):
        return {"read": open(__file__.replace("mine.py", "data.txt")).read()}
"""

#: Reads a file of the project that its record leads to.
PRYING = """
class Prying:
    name = "com.example.prying"
    def reduce(self, events):
        try:
            return {{"read": open({path!r}).read()}}
        except OSError as error:
            return {{"read": error.strerror}}
"""


def project(directory: Path, name: str = "mine") -> Path:
    """A project of the user's, with something that is nobody's business."""
    (directory / "src").mkdir(parents=True)
    (directory / "pyproject.toml").write_text(PROJECT.format(name=name))
    (directory / "src" / "mine.py").write_text(MINE)
    (directory / "src" / "data.txt").write_text("mine alone")
    return directory


def install_editable(environment: Environment, source: Path) -> None:
    environment.pip("install", "setuptools", "wheel")
    environment.pip("install", "--no-build-isolation", "--editable", source)


@needs_sandbox
def test_ones_own_editable_install_works_at_once(made: Made, vault: Path, tmp_path: Path) -> None:
    install_editable(made, project(tmp_path / "project"))
    provara = provara_of(made, tmp_path)
    reduced = provara.run("reduce", vault, "--plugin", "com.example.mine", "--sandbox=require")
    assert (reduced.json(), reduced.stderr) == ({"read": "mine alone"}, "")
    assert_whole(provara.run("doctor"))


@needs_sandbox
@pytest.mark.parametrize("record", ["own", "project's", "egg-link"])
def test_no_wheel_opens_a_project(made: Made, vault: Path, tmp_path: Path, record: str) -> None:
    """A wheel can bring the record of an editable install, under its own name or the project's."""
    source = project(tmp_path / "project")
    paths = {
        "own": "road_plugins-1.0.dist-info/direct_url.json",
        "project's": "mine-9.0.dist-info/direct_url.json",
        "egg-link": "mine.egg-link",
    }
    path = made.site / paths[record]
    path.parent.mkdir(exist_ok=True)
    if record == "egg-link":
        path.write_text(f"{source}\n.")
    else:
        path.write_text(f'{{"url": "file://{source}", "dir_info": {{"editable": true}}}}')
    # As an installer lists what a wheel brought.
    with (made.site / "road_plugins-1.0.dist-info" / "RECORD").open("a") as listed:
        listed.write(f"{paths[record]},,\n")
    modules = tmp_path / "modules"
    modules.mkdir()
    data = source / "src" / "data.txt"
    (modules / "prying.py").write_text(PRYING.format(path=str(data)))
    provara = provara_of(made, tmp_path).with_environment(
        PYTHONPATH=str(modules), PROVARA_PLUGINS="prying"
    )
    words = ["reduce", str(vault), "--plugin", "com.example.prying"]
    inside = provara.run(*words, "--sandbox=require")
    assert inside.json() == {"read": "Permission denied"}
    assert f"'{source}'" in inside.stderr and f"--editable {source}" in inside.stderr, str(inside)
    name = "road-plugins" if record == "own" else "mine"
    assert f"the installed package '{name}'" in inside.stderr, str(inside)
    provara.run("doctor", expect=4)
    assert provara.run(*words, "--sandbox=off").json() == {"read": "mine alone"}


@needs_sandbox
def test_a_source_tree_with_a_vault_is_opened_by_the_users_word(
    made: Made, vault: Path, tmp_path: Path
) -> None:
    """Remembered for the environment, and for it alone; the vault stays closed all the same."""
    source = project(tmp_path / "project")
    install_editable(made, source)
    provara = provara_of(made, tmp_path)
    words = ["reduce", str(vault), "--plugin", "com.example.mine"]
    provara.run("init", source / "src" / "data")
    closed = provara.run(*words, expect=4)
    assert f"'{source / 'src' / 'data'}' is, or holds, a vault or keys" in closed.stderr
    for asked in (words, ["append", str(vault), "--type", "mine", "--data", "{}"]):
        error = assert_one_error(provara.run(*asked, expect=4))
        assert "may be of one that cannot: 'mine'" in error, error
        opens = f"open it with: provara plugins list --editable {source}"
        assert f"; or, if plugins may read the rest, {opens}" in error, error
        assert "pip " not in error, error
    assert "the installed package 'mine'" in closed.stderr, str(closed)
    doctor = provara.run("doctor", expect=4)
    assert "some plugins cannot be used" in doctor.stdout, str(doctor)
    listed = provara.run("plugins", "list")
    assert listed.code == 0 and "WARNING" in listed.stderr, str(listed)
    # What the message says.
    advice = listed.stderr.partition("open it with: provara ")[2].splitlines()[0]
    opened = provara.run(*advice.split())
    assert "com.example.mine" in opened.stdout and "WARNING" not in opened.stderr, str(opened)
    reduced = provara.run(*words)
    assert (reduced.json(), reduced.stderr) == ({"read": "mine alone"}, "")
    (source / "src" / "mine.py").write_text(
        PRYING.format(path=str(source / "src" / "data" / "events" / "events.ndjson")).replace(
            "Prying", "Mine"
        )
    )
    words[-1] = "com.example.prying"
    assert provara.run(*words).json() == {"read": "Permission denied"}
    other = Made(tmp_path / "other")
    install_editable(other, source)
    assert "WARNING" in provara_of(other, tmp_path).run("plugins", "list").stderr
    shut = provara.run("plugins", "list", "--no-editable", source)
    assert "WARNING" in shut.stderr and "com.example.prying" not in shut.stdout, str(shut)


@needs_sandbox
def test_a_huge_source_tree_costs_its_package_alone(made: Made, tmp_path: Path) -> None:
    source = project(tmp_path / "project")
    for outer in range(501):
        inner = source / "many" / str(outer)
        inner.mkdir(parents=True)
        for name in range(100):
            os.symlink("nowhere", inner / str(name))
    (made.site / "mine.egg-link").write_text(f"{source}\n.")
    doctor = roads.travel(provara_of(made, tmp_path), tmp_path / "road")
    assert doctor.code == 4, str(doctor)
    assert "'mine'" in doctor.stderr and "too many entries" in doctor.stderr, str(doctor)
    assert "--sandbox=off" not in doctor.stderr, str(doctor)


def test_what_cannot_be_opened_is_a_mistake_of_the_call(provara: Provara, tmp_path: Path) -> None:
    outcome = provara.run("plugins", "list", "--editable", tmp_path / "absent", expect=2)
    assert str(tmp_path / "absent") in assert_one_error(outcome)
    assert outcome.stdout == ""


# ------------------------------------------------------------------------- odd places


def test_a_cache_of_verifications_is_not_where_plugins_write(
    provara: Provara, vault: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    odd = provara.with_environment(
        XDG_STATE_HOME=str(state), XDG_CACHE_HOME=str(state / "provara" / "plugins" / "cache")
    )
    outcome = odd.run("plugins", "list", expect=3)
    assert "where plugins may write" in assert_one_error(outcome)
    assert "XDG_CACHE_HOME" in outcome.stderr, str(outcome)
    odd.run("verify", vault)


def test_a_vault_at_a_path_that_is_no_text(made: Made, tmp_path: Path) -> None:
    provara = provara_of(made, tmp_path)
    odd = os.fsencode(tmp_path) + b"/v\xff"
    run_checked([provara.executable, "init", os.fsdecode(odd)], env=provara.environment)
    words = [os.fsencode(provara.executable), b"export", odd, b"--format", b"road", b"--output"]
    done = subprocess.run(
        [*words, os.fsencode(tmp_path / "out")], env=provara.environment, capture_output=True
    )
    assert done.returncode == 2, done.stderr
    assert b"is not UTF-8, and plugins get paths as text" in done.stderr, done.stderr
    assert b"connection" not in done.stderr


def test_an_output_has_the_users_modes(made: Made, vault: Path, tmp_path: Path) -> None:
    """Whatever a plugin asks for; it may choose its own `umask`."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "wide.py").write_text(
        "import os\n"
        "class Wide:\n"
        "    name = 'wide'\n"
        "    def export(self, vault_path, output_path):\n"
        "        os.umask(0)\n"
        "        os.mkdir(output_path, 0o1777)\n"
        "        os.close(os.open(output_path + '/file', os.O_CREAT | os.O_WRONLY, 0o666))\n"
    )
    provara = provara_of(made, tmp_path).with_environment(
        PYTHONPATH=str(modules), PROVARA_PLUGINS="wide"
    )
    for mask, directory, file in ((0o022, 0o755, 0o644), (0o077, 0o700, 0o600)):
        output = tmp_path / f"out-{mask:o}"
        words = [provara.executable, "export", vault, "--format", "wide"]
        command = [*map(str, words), "--output", str(output)]
        subprocess.run(command, env=provara.environment, check=True, umask=mask)
        modes = [path.stat().st_mode & 0o7777 for path in (output, output / "file")]
        assert modes == [directory, file], [oct(mode) for mode in modes]
