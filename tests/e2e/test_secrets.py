"""Keys and vaults below what a plugin may read: closed to it in any shape and under any path, or no
plugin runs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import Outcome, Provara, assert_one_error, needs_sandbox, run_checked

PRYING = """
print("the plugin runs")
import os
print("its state directory is", os.environ.get("PROVARA_PLUGIN_STATE"))
for path in {paths!r}:
    try:
        print("it read", open(path, errors="replace").read())
    except OSError as error:
        print(error)

class Reducer:
    name = "com.example.prying"
    def reduce(self, events): return {{}}
"""

COMMANDS = {
    "reduce": ["reduce", "{vault}", "--plugin", "com.example.prying"],
    "append": ["append", "{vault}", "--type", "com.example.none", "--data", "{{}}"],
    "export": ["export", "{vault}", "--format", "none", "--output", "out"],
    "list": ["plugins", "list"],
    "doctor": ["doctor"],
}


class Prying:
    """A plugin that looks for keys while it is imported, and a vault to run it on."""

    def __init__(self, provara: Provara, directory: Path):
        self.modules = directory / "modules"
        self.modules.mkdir()
        self.vault = directory / "vault"
        self.state = directory / "state"
        self.provara = provara.with_environment(
            PYTHONPATH=str(self.modules),
            PROVARA_PLUGINS="prying",
            XDG_STATE_HOME=str(self.state),
        )
        provara.run("init", self.vault)

    def run(self, command: str, *targets: Path, off: bool = False, more: str = "") -> Outcome:
        """Runs a command whose plugin tries to read the targets."""
        paths = [str(target) for target in targets]
        (self.modules / "prying.py").write_text(PRYING.format(paths=paths))
        words = [word.format(vault=self.vault) for word in COMMANDS[command]]
        sandbox = "off" if off else "require"
        return self.provara.run(*words, f"--sandbox={sandbox}", *more.split(), expect=None)


@pytest.fixture
def prying(provara: Provara, tmp_path: Path) -> Prying:
    return Prying(provara, tmp_path)


def assert_refused(outcome: Outcome, word: str) -> None:
    """The command says why it runs no plugin, and runs none."""
    assert outcome.code == 3, str(outcome)
    assert word in assert_one_error(outcome)
    assert "the plugin runs" not in outcome.stderr, str(outcome)


@needs_sandbox
@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_name_of_the_key_is_refused(prying: Prying, command: str) -> None:
    """A hard link among the modules that was there before: the kernel cannot close one name."""
    key = prying.vault / "identity" / "private_keys.json"
    link = prying.modules / "innocent.txt"
    os.link(key, link)
    assert_refused(prying.run(command, link), "hard links")
    assert "it read {" in prying.run(command, link, off=True).stderr


@needs_sandbox
@pytest.mark.parametrize("command", ["reduce", "append", "export"])
def test_a_second_name_elsewhere_is_refused(prying: Prying, command: str) -> None:
    """Where nobody looks for keys: the link count alone tells."""
    key = prying.vault / "identity" / "private_keys.json"
    os.link(key, prying.vault.parent / "elsewhere")
    assert_refused(prying.run(command), "hard links")


@needs_sandbox
@pytest.mark.parametrize("command", ["append", "export", "list", "doctor"])
@pytest.mark.parametrize("own", [True, False])
def test_no_plugin_gets_a_state_directory_with_a_vault_in_it(
    prying: Prying, command: str, own: bool
) -> None:
    """The state directory may be written: a vault in it would be, too."""
    there = prying.state / "provara" / "plugins" / "v2"
    there.parent.mkdir(parents=True)
    if own:
        prying.vault.rename(there)
        prying.vault = there
    else:
        prying.provara.run("init", there, "--private-keys", prying.vault.parent / "k")
    # Of its own vault an export may read all but the keys.
    name = "identity/private_keys.json" if own and command == "export" else "events/events.ndjson"
    outcome = prying.run(command, there / name)
    assert "the plugin runs" in outcome.stderr, str(outcome)
    assert "WARNING: plugins have no state directory" in outcome.stderr, str(outcome)
    assert "directory is None" in outcome.stderr and "it read {" not in outcome.stderr, str(outcome)
    outcome = prying.run(command, there / name, off=True)
    assert "it read {" in outcome.stderr and str(prying.state) in outcome.stderr, str(outcome)


@needs_sandbox
def test_a_reducer_has_no_state_directory_to_withhold(prying: Prying) -> None:
    there = prying.state / "provara" / "plugins" / "v2"
    there.parent.mkdir(parents=True)
    prying.provara.run("init", there)
    key = there / "identity" / "private_keys.json"
    outcome = prying.run("reduce", key)
    assert outcome.code == 0 and "it read" not in outcome.stderr, str(outcome)
    assert "WARNING" not in outcome.stderr, str(outcome)


#: What a plugin can leave in the state directory, and a word of what is then said.
DEBRIS = {
    "a keyfile": (
        """open("k", "w").write('{"bp1_0123456789abcdef":"' + "A" * 43 + '="}')""",
        "plugins/k' lies in it",
    ),
    "a vault": (
        "os.makedirs('v\\x1b\\n/identity'); os.makedirs('v\\x1b\\n/events');"
        " open('v\\x1b\\n/events/events.ndjson', 'w')",
        "plugins/v\\u{1b}\\n' lies in it",
    ),
    "what cannot be told": ("open('f', 'w').write('{' * (2 << 20))", "plugins/f' lies in it"),
    "many files": (
        "[(os.mkdir(str(d)), [open(f'{d}/{f}', 'w').close() for f in range(512)])"
        " for d in range(100)]",
        "left too much",
    ),
    "deep directories": (
        "[(os.mkdir('d'), os.chdir('d')) for _ in range(3000)]",
        "left too much",
    ),
}

LITTERING = """
import os

class Litter:
    name = "litter"
    def export(self, vault_path, output_path):
        os.chdir(os.environ["PROVARA_PLUGIN_STATE"])
        {code}
        raise ValueError("left")

class Decent:
    name = "decent"
    def export(self, vault_path, output_path):
        with open(output_path, "w") as file:
            file.write(str(os.environ.get("PROVARA_PLUGIN_STATE")))
"""


@needs_sandbox
@pytest.mark.parametrize("debris", DEBRIS)
def test_what_a_plugin_leaves_stops_no_other(
    provara: Provara, vault: Path, tmp_path: Path, debris: str
) -> None:
    """The next command runs its plugin without a state directory, and says what to remove."""
    code, said = DEBRIS[debris]
    modules, out = tmp_path / "modules", tmp_path / "out"
    modules.mkdir()
    (modules / "litter.py").write_text(LITTERING.format(code=code))
    there = provara.with_environment(
        PYTHONPATH=str(modules), PROVARA_PLUGINS="litter", XDG_STATE_HOME=str(tmp_path / "state")
    )
    words = ["--output", str(out), "--force", "--sandbox=require"]

    def export(name: str, **options: Any) -> Outcome:
        return there.run("export", vault, "--format", name, *words, **options)

    quiet = export("decent")
    state = tmp_path / "state" / "provara" / "plugins"
    assert "WARNING" not in quiet.stderr and out.read_text() == str(state)
    assert "ValueError: left" in export("litter", expect=4).stderr
    try:
        loud = export("decent")
        assert out.read_text() == "None"
        warnings = [line for line in loud.stderr.splitlines() if "WARNING" in line]
        assert len(warnings) == 1 and said in warnings[0], str(loud)
    finally:
        # Deeper than Python's own removal goes.
        run_checked(["rm", "-rf", state])
    assert "WARNING" not in export("decent").stderr
    assert out.read_text() == str(state)


@needs_sandbox
@pytest.mark.parametrize("command", COMMANDS)
def test_no_plugin_reads_a_key_while_it_is_imported(prying: Prying, command: str) -> None:
    """Nor does one read keys among the modules that nobody named, blank or large as they are."""
    prying.provara.run("init", prying.modules / "v3")
    key = prying.modules / "v3" / "identity" / "private_keys.json"
    blank, large = prying.modules / "blank", prying.modules / "large.json"
    blank.write_text("\n" * 5000 + key.read_text())
    large.write_text(key.read_text() + " " * (5 << 20))
    outcome = prying.run(command, key, blank, large)
    assert "the plugin runs" in outcome.stderr, str(outcome)
    assert outcome.stderr.count("Permission denied") == 3, str(outcome)
    assert prying.run(command, key, blank, large, off=True).stderr.count("it read") == 3


@needs_sandbox
@pytest.mark.parametrize("command", ["reduce", "export"])
def test_no_plugin_reads_a_key_in_another_shape(
    prying: Prying, tmp_path: Path, command: str
) -> None:
    """Among the modules, and in the vault that an export reads."""
    text = (prying.vault / "identity" / "private_keys.json").read_text()
    entry = json.loads(text)["keys"][0]
    shapes = {
        "mark": "\ufeff" + text,
        "comment": "// the first of two\n" + text,
        "flat": json.dumps({"version": 1, entry["key_id"]: entry["private_key_b64"]}),
        "nested": json.dumps([{"prod": json.loads(text)}]),
        "module.py": f"KEYS = {json.loads(text)!r}\n",
        "variable": f"private_key_b64={entry['private_key_b64']}\n",
        "string": json.dumps(text),
    }
    place = (prying.vault / "artifacts" if command == "export" else prying.modules) / "shapes"
    place.mkdir()
    for name, shape in shapes.items():
        (place / name).write_text(shape, encoding="utf-8")
    prying.provara.run("init", tmp_path / "v2")
    for name in ("b.tar", "b.tar.gz"):
        prying.provara.run("backup", tmp_path / "v2", tmp_path / name, "--with-private-keys")
        (tmp_path / name).rename(place / name)
    run_checked(["tar", "-C", tmp_path / "v2", "-czf", place / "by-hand.tgz", "."])
    paths = sorted(place.iterdir())
    assert len(paths) == len(shapes) + 3
    outcome = prying.run(command, *paths, more="--unverified")
    assert outcome.stderr.count("Permission denied") == len(paths), str(outcome)
    outcome = prying.run(command, *paths, off=True, more="--unverified")
    assert outcome.stderr.count("it read") == len(paths), str(outcome)


@needs_sandbox
@pytest.mark.parametrize("what", ["key", "directory", "vault"])
def test_a_second_mount_of_the_key_is_closed(provara: Provara, tmp_path: Path, what: str) -> None:
    """Mounted among the files of the system, where nobody looks for keys."""
    probe = ["unshare", "--mount", "true"]
    if shutil.which("unshare") is None or subprocess.run(probe, stderr=subprocess.PIPE).returncode:
        pytest.skip("no mounts of one's own can be made here (2026-11-22)")
    vault, modules = tmp_path / "vault", tmp_path / "modules"
    modules.mkdir()
    provara.run("init", vault)
    key, point = vault / "identity" / "private_keys.json", Path("/usr/share/doc")
    source, name = {
        "key": (key, "copyright"),
        "directory": (vault / "identity", key.name),
        "vault": (tmp_path, "vault/identity/private_keys.json"),
    }[what]
    if what == "key":
        # Over a file that is there, in a directory of the system.
        point = next(path for path in Path("/usr/share").rglob("copyright") if path.is_file())
        shown = point
    else:
        shown = point / name
    (modules / "prying.py").write_text(PRYING.format(paths=[str(shown)]))
    there = provara.with_environment(PYTHONPATH=str(modules), PROVARA_PLUGINS="prying")

    def read(sandbox: str) -> str:
        script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        words = ["reduce", vault, "--plugin", "com.example.prying", f"--sandbox={sandbox}"]
        command = ["unshare", "--mount", "sh", "-c", script, "sh", source, point]
        done = subprocess.run(
            [str(word) for word in [*command, there.executable, *words]],
            capture_output=True,
            text=True,
            env=there.environment,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "it read {" in read("off")
    inside = read("require")
    assert "Permission denied" in inside and "it read" not in inside, inside


@needs_sandbox
def test_what_cannot_be_searched_is_refused(prying: Prying) -> None:
    """A directory on `PYTHONPATH` that holds half a home: it is not opened unseen."""
    many = prying.modules / "many"
    for outer in range(501):
        inner = many / str(outer)
        inner.mkdir(parents=True)
        for name in range(100):
            os.symlink("nowhere", inner / str(name))
    assert_refused(prying.run("list"), "too many to make sure")
