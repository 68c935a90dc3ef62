"""Bad input: one clear error with a `Fix:` line, the right exit code, and nothing changed.

Exit codes: 1 the evidence is bad, 2 the request is wrong, 3 it could not be done.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Outcome, Provara, assert_one_error, fingerprint

CUSTOM = "org.example.some.type"


def refused(
    provara: Provara, vault: Path, code: int, *arguments: str | Path, stdin: bytes | None = None
) -> str:
    """The command must fail with one error and leave the vault as it was."""
    before = fingerprint(vault)
    outcome = provara.run(*arguments, stdin=stdin, expect=code)
    assert fingerprint(vault) == before
    assert outcome.stdout == "", str(outcome)
    error = assert_one_error(outcome)
    assert outcome.stderr.strip() == error, f"more than the error on stderr:\n{outcome}"
    return error


BAD_DATA = {
    "empty": ("", "JSON"),
    "not-json": ("{user: alice}", "JSON"),
    "cut": ('{"a":', "JSON"),
    "two-documents": ('{"a":1} {"b":2}', "JSON"),
    "array": ("[1,2]", "array"),
    "string": ('"text"', "string"),
    "number": ("7", "number"),
    "null": ("null", "null"),
    "duplicate-key": ('{"user":"alice","user":"mallory"}', "user"),
    "duplicate-key-inside": ('{"a":[{"b":1,"b":1}]}', "b"),
    "duplicate-key-escaped": ('{"user":"alice","\\u0075ser":"mallory"}', "user"),
    "nan": ('{"a":NaN}', "NaN"),
    "infinity": ('{"a":-Infinity}', "Infinity"),
    "overflow": ('{"a":1e400}', "1e400"),
    "huge-integer": ('{"a":9007199254740993}', "9007199254740993"),
    "huge-negative": ('{"a":[-9007199254740993]}', "-9007199254740993"),
    "lone-surrogate": ('{"a":"\\ud800"}', "surrogate"),
    "lone-surrogate-key": ('{"\\udfff":1}', "surrogate"),
    "control-character": ('{"a":"\x01"}', "control"),
    "trailing-comma": ('{"a":1,}', "JSON"),
    "comment": ('{"a":1 /* one */}', "JSON"),
    "leading-zero": ('{"a":01}', "JSON"),
    "too-deep": ("[" * 200 + "]" * 200, "deep"),
    "too-deep-object": ('{"a":' * 200 + "1" + "}" * 200, "deep"),
}


@pytest.mark.parametrize("name", BAD_DATA)
@pytest.mark.parametrize("way", ["argument", "file", "stdin"])
def test_data(provara: Provara, vault: Path, tmp_path: Path, name: str, way: str) -> None:
    text, word = BAD_DATA[name]
    argument, stdin = text, None
    if way == "file":
        (tmp_path / "data.json").write_text(text)
        argument = f"@{tmp_path / 'data.json'}"
    elif way == "stdin":
        argument, stdin = "-", text.encode()
    for event_type, more in ((CUSTOM, ["--allow-unregistered"]), ("OBSERVATION", [])):
        error = refused(
            provara,
            vault,
            2,
            "append",
            vault,
            "--type",
            event_type,
            "--data",
            argument,
            *more,
            stdin=stdin,
        )
        if word != "JSON":
            assert word.lower() in error.lower(), error


@pytest.mark.parametrize("raw", [b'{"a":"\xff"}', b'\xef\xbb\xbf{"a":1}', b'{"a":"\xed\xa0\x80"}'])
def test_bytes_that_are_not_utf_8(provara: Provara, vault: Path, raw: bytes) -> None:
    refused(provara, vault, 2, "append", vault, "--type", "OBSERVATION", "--data", "-", stdin=raw)


def test_a_data_file_that_is_not_there(provara: Provara, vault: Path, tmp_path: Path) -> None:
    error = refused(
        provara, vault, 3, "append", vault, "--type", "OBSERVATION", "--data", f"@{tmp_path}/none"
    )
    assert "none" in error


@pytest.mark.parametrize(
    "name", ["com.example.not.installed", "Com.Example.Not.Installed", "com.example.x"]
)
def test_a_type_that_no_plugin_defines(provara: Provara, vault: Path, name: str) -> None:
    error = refused(provara, vault, 2, "append", vault, "--type", name, "--data", "{}")
    assert name in error and "--allow-unregistered" in error


@pytest.mark.parametrize(
    "name",
    [
        "LOGIN",
        "observation",
        "com.example",
        "com..example.x",
        "com.example.ünicode",
        "x y.z.a",
        "-",
        "",
    ],
)
def test_a_type_that_cannot_be(provara: Provara, vault: Path, name: str) -> None:
    """Not even `--allow-unregistered` lets one of these become evidence."""
    for more in ([], ["--allow-unregistered"]):
        refused(provara, vault, 2, "append", vault, f"--type={name}", "--data", "{}", *more)


def test_a_second_genesis(provara: Provara, vault: Path) -> None:
    log = (vault / "events" / "events.ndjson").read_text().splitlines()
    payload = json.dumps(json.loads(log[0])["payload"])
    error = refused(provara, vault, 2, "append", vault, "--type", "GENESIS", "--data", payload)
    assert "GENESIS" in error


@pytest.mark.parametrize("name", ["KEY_REVOCATION", "KEY_PROMOTION", "ATTESTATION", "RETRACTION"])
def test_a_core_type_without_its_fields(provara: Provara, vault: Path, name: str) -> None:
    refused(provara, vault, 2, "append", vault, "--type", name, "--data", "{}")


@pytest.mark.parametrize(
    "more",
    [
        ["--namespace", "public"],
        ["--confidence", "high"],
        ["--confidence", "NaN"],
        ["--confidence", "1.5"],
        ["--actor", ""],
        ["--key-id", "bp1_xyz"],
    ],
)
def test_options_that_make_no_sense(provara: Provara, vault: Path, more: list[str]) -> None:
    words = ["--type", "OBSERVATION", "--data", '{"value":1}', *more]
    assert more[0] in refused(provara, vault, 2, "append", vault, *words)


# --------------------------------------------------------------------------- keys


def append_with(provara: Provara, vault: Path, code: int, *more: str | Path) -> str:
    return refused(
        provara, vault, code, "append", vault, "--type", "OBSERVATION", "--data", "{}", *more
    )


def test_a_missing_keyfile(provara: Provara, vault: Path, tmp_path: Path) -> None:
    error = append_with(provara, vault, 3, "--keyfile", tmp_path / "none.json")
    assert "none.json" in error
    (vault / "identity" / "private_keys.json").rename(tmp_path / "moved.json")
    error = append_with(provara, vault, 3)
    assert "--keyfile" in error


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "not json",
        '{"keys":[]}',
        '{"keys":[{"key_id":"x"}]}',
        '{"bp1_0123456789abcdef":"AAAA"}',
    ],
)
def test_a_file_that_is_no_keyfile(
    provara: Provara, vault: Path, tmp_path: Path, text: str
) -> None:
    keyfile = tmp_path / "keyfile.json"
    keyfile.write_text(text)
    error = append_with(provara, vault, 2, "--keyfile", keyfile)
    assert str(keyfile) in error and error.count("not a keyfile") == 1


def test_a_foreign_keyfile(provara: Provara, vault: Path, tmp_path: Path) -> None:
    provara.run("init", tmp_path / "other")
    keyfile = tmp_path / "other" / "identity" / "private_keys.json"
    error = append_with(provara, vault, 2, "--keyfile", keyfile)
    secret = json.loads(keyfile.read_text())["keys"][0]["private_key_b64"]
    assert secret not in error


def test_a_key_id_that_the_vault_does_not_know(provara: Provara, vault: Path) -> None:
    error = append_with(provara, vault, 2, "--key-id", "bp1_0123456789abcdef")
    assert "bp1_0123456789abcdef" in error


# --------------------------------------------------------------------------- paths

ON_A_VAULT = {
    "append": ["--type", "OBSERVATION", "--data", "{}"],
    "verify": [],
    "verify-json": ["--json"],
    "manifest": [],
    "replay": [],
    "reduce": [],
    "checkpoint": [],
    "export": ["--format", "ndjson", "--output", "OUT"],
}


@pytest.mark.parametrize("command", ON_A_VAULT)
@pytest.mark.parametrize("kind", ["missing", "empty", "file", "stranger"])
def test_a_path_that_is_no_vault(provara: Provara, tmp_path: Path, command: str, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("a file")
    elif kind != "missing":
        place.mkdir()
    if kind == "stranger":
        (place / "thesis.txt").write_text("someone's work")
    before = fingerprint(tmp_path)
    name = command.split("-")[0]
    words = [word.replace("OUT", str(tmp_path / "out")) for word in ON_A_VAULT[command]]
    outcome = provara.run(name, place, *words, expect=3)
    assert str(place) in assert_one_error(outcome)
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("kind", ["stranger", "vault", "file"])
def test_init_refuses_what_is_there(provara: Provara, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "vault":
        provara.run("init", place)
    elif kind == "file":
        place.write_text("a file")
    else:
        place.mkdir()
        (place / "thesis.txt").write_text("someone's work")
    before = fingerprint(tmp_path)
    outcome = provara.run("init", place, expect=3)
    assert str(place) in assert_one_error(outcome)
    assert fingerprint(tmp_path) == before


def test_init_into_an_empty_directory(provara: Provara, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    provara.run("init", tmp_path / "empty")
    provara.run("verify", tmp_path / "empty", "--strict")


def test_init_does_not_overwrite_a_keyfile(provara: Provara, tmp_path: Path) -> None:
    keyfile = tmp_path / "keys.json"
    keyfile.write_text("another vault's keys")
    before = fingerprint(tmp_path)
    assert_one_error(provara.run("init", tmp_path / "vault", "--private-keys", keyfile, expect=3))
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("kind", ["file", "directory", "link", "dangling"])
def test_an_output_that_exists(provara: Provara, vault: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "results"
    place.mkdir()
    target = place / "out.csv"
    if kind == "file":
        target.write_text("last year's export")
    elif kind == "directory":
        target.mkdir()
        (target / "inside").write_text("work")
    else:
        target.symlink_to(vault / "merkle_root.txt" if kind == "link" else tmp_path / "nowhere")
    before = fingerprint(place)
    error = refused(provara, vault, 3, "export", vault, "--format", "csv", "--output", target)
    assert str(target) in error and "--force" in error
    assert fingerprint(place) == before


def test_force_replaces_a_file(provara: Provara, vault: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.ndjson"
    target.write_text("last year's export")
    provara.run("export", vault, "--format", "ndjson", "--output", target, "--force")
    assert target.read_bytes() == (vault / "events" / "events.ndjson").read_bytes()


@pytest.mark.parametrize(
    "inside", ["out.csv", "events/events.ndjson", "identity/private_keys.json"]
)
def test_an_output_inside_the_vault(provara: Provara, vault: Path, inside: str) -> None:
    """It would be a phantom file at best, and the end of the vault with `--force`."""
    for more in ([], ["--force"]):
        words = ["--format", "csv", "--output", str(vault / inside), *more]
        assert "outside the vault" in refused(provara, vault, 2, "export", vault, *words)


def test_an_unknown_reducer_and_an_unknown_format(
    provara: Provara, vault: Path, tmp_path: Path
) -> None:
    error = refused(provara, vault, 2, "reduce", vault, "--plugin", "com.example.none")
    assert "com.example.none" in error
    error = refused(
        provara, vault, 2, "export", vault, "--format", "parchment", "--output", tmp_path / "out"
    )
    assert "parchment" in error
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- a read-only disk

NOBODY = 65534


@pytest.fixture
def public_directory(executable: Path) -> Iterator[Path]:
    """A directory that another user can reach, with a copy of the executable in it."""
    with tempfile.TemporaryDirectory(prefix="provara-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        shutil.copy(executable, directory / "provara")
        (directory / "home").mkdir(mode=0o777)
        (directory / "home").chmod(0o777)
        yield directory


def run_as(user: int | None, directory: Path, *arguments: str | Path) -> Outcome:
    words = [str(argument) for argument in arguments]
    done = subprocess.run(
        [str(directory / "provara"), *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
        timeout=60,
        env={"HOME": str(directory / "home"), "PATH": "/usr/bin:/bin"},
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    return Outcome(("provara", *words), done.returncode, done.stdout, done.stderr)


WRITING = {
    "append": ["--type", "OBSERVATION", "--data", '{"value":1}'],
    "manifest": [],
    "checkpoint": [],
}


@pytest.mark.parametrize("command", WRITING)
def test_a_vault_that_may_not_be_written(
    provara: Provara, public_directory: Path, command: str
) -> None:
    """Its owner may read all of it (the keyfile too), and write nothing."""
    vault = public_directory / "vault"
    provara.run("init", vault)
    user = NOBODY if os.geteuid() == 0 else None
    for path in [vault, *vault.rglob("*")]:
        if user is not None:
            os.chown(path, user, user)
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = fingerprint(vault)
    try:
        outcome = run_as(user, public_directory, command, vault, *WRITING[command])
        assert outcome.code == 3, str(outcome)
        assert_one_error(outcome)
        assert fingerprint(vault) == before
        verified = run_as(user, public_directory, "verify", vault, "--strict")
        assert verified.code == 0, str(verified)
        assert fingerprint(vault) == before
    finally:
        for path in [vault, *vault.rglob("*")]:
            if path.is_dir():
                path.chmod(stat.S_IRWXU)


def mounted_read_only(vault: Path) -> list[str] | None:
    """A prefix that runs a command with the vault on a read-only mount, if that is allowed."""
    mount = f"mount --bind {vault} {vault} && mount -o remount,bind,ro {vault}"
    for flags in (["-m"], ["-rm"]):
        prefix = ["unshare", *flags, "sh", "-c", f'{mount} && exec "$@"', "sh"]
        try:
            probe = subprocess.run([*prefix, "true"], capture_output=True)
        except FileNotFoundError:
            return None
        if probe.returncode == 0:
            return prefix
    return None


@pytest.mark.parametrize("command", WRITING)
def test_a_vault_on_a_read_only_disk(provara: Provara, vault: Path, command: str) -> None:
    prefix = mounted_read_only(vault)
    if prefix is None:
        pytest.skip("nobody may mount here; see test_a_vault_that_may_not_be_written (2026-11-22)")
    before = fingerprint(vault)
    words = [command, str(vault), *WRITING[command]]
    done = subprocess.run(
        [*prefix, str(provara.executable), *words],
        capture_output=True,
        text=True,
        env=provara.environment,
        timeout=60,
    )
    outcome = Outcome(("provara", *words), done.returncode, done.stdout, done.stderr)
    assert outcome.code == 3, str(outcome)
    error = assert_one_error(outcome)
    assert "Read-only file system" in error and "a copy on a writable disk" in error, error
    assert fingerprint(vault) == before


# ----------------------------------------------------------------------- the words


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["verify"],
        ["append", "VAULT"],
        ["init"],
        ["verify", "VAULT", "--frob"],
        ["append", "VAULT", "--type", "OBSERVATION"],
        ["export", "VAULT", "--format", "csv"],
    ],
)
def test_a_command_line_that_makes_no_sense(
    provara: Provara, vault: Path, arguments: list[str]
) -> None:
    words = [str(vault) if word == "VAULT" else word for word in arguments]
    refused(provara, vault, 2, *words)


def test_nothing_is_derived_from_a_changed_vault(
    provara: Provara, copied_corpus: Path, tmp_path: Path
) -> None:
    vault = copied_corpus / "x_payload_edited"
    for words in (
        ["replay"],
        ["reduce"],
        ["checkpoint"],
        ["export", "--format", "csv", "--output", str(tmp_path / "out")],
    ):
        error = refused(provara, vault, 1, words[0], vault, *words[1:])
        assert "PROVARA_E0" in error and "provara verify" in error
    assert not (tmp_path / "out").exists()
