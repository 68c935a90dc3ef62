"""What commands print with `--json`, held against the schemas of the repository.

Every command that takes `--json` is run here, and a new one has to be: the list of commands is taken from the
executable. A member that no schema names fails, so that schema and output change together.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import LOG, ROOT, Outcome, Provara, events
from witness_server import Witness

SCHEMAS = ROOT / "schemas"
#: Results that are printed as they are hashed or signed, so without the member `schema`.
UNNAMED = {"events", "members", "beliefs", "summary"}

#: Those of results that an option makes another: --count, --fields, --dry-run.
OF_OPTIONS = {"count", "members", "dry-run"}


def schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.v1.json").read_text("utf-8"))
    return schema


def unnamed_members(schema: Any, value: Any, place: str = "") -> Iterator[str]:
    """The members of `value` that `schema` does not name, where it names any."""
    for choice in schema.get("anyOf", []):
        if jsonschema.Draft202012Validator(choice).is_valid(value):
            yield from unnamed_members(choice, value, place)
            return
    if isinstance(value, list):
        for item in value:
            yield from unnamed_members(schema.get("items", {}), item, f"{place}[]")
    if isinstance(value, dict) and "properties" in schema:
        for name, member in value.items():
            if name in schema["properties"]:
                yield from unnamed_members(schema["properties"][name], member, f"{place}.{name}")
            else:
                yield f"{place}.{name}"


def check(name: str, value: Any) -> None:
    schema = schema_of(name)
    jsonschema.Draft202012Validator(schema).validate(value)
    assert list(unnamed_members(schema, value)) == []
    if name not in UNNAMED:
        assert next(iter(value)) == "schema"
        assert value["schema"] == f"provara.{name}.v1"


def check_error(outcome: Outcome) -> dict[str, Any]:
    """The last line of stderr, why the command failed; what stands before it is for people."""
    error: dict[str, Any] = json.loads(outcome.stderr.splitlines()[-1])
    check("error", error)
    return error


def leaves(provara: Provara, *words: str) -> Iterator[tuple[str, ...]]:
    """The commands that take `--json`, by their help."""
    text = provara.run(*words, "--help").stdout
    below = re.search(r"^Commands:\n((?: .*\n|\n)+)", text, re.MULTILINE)
    if below is None:
        if re.search(r"^ +(?:-\w, )?--json\b", text, re.MULTILINE):
            yield words
        return
    for name in re.findall(r"^  ([a-z-]+)", below.group(1), re.MULTILINE):
        if name not in ("help", "completions"):
            yield from leaves(provara, *words, name)


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_is_one(path: Path) -> None:
    schema = json.loads(path.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    name, version, _ = path.name.split(".")
    assert schema["$id"] == f"urn:provara:schema:{name}:{version}"


def test_every_command_prints_what_its_schema_says(provara: Provara, tmp_path: Path) -> None:
    vault, copy = tmp_path / "vault", tmp_path / "copy"
    data = '{"subject":"door","predicate":"state","value":"open"}'
    append: list[str | Path] = ["append", vault, "--type", "OBSERVATION", "--data", data]
    line = json.dumps({"type": "OBSERVATION", "data": json.loads(data)}) + "\n"
    done: dict[tuple[str, ...], str] = {}

    def run(name: str, *words: str | Path, **options: Any) -> Any:
        command = tuple(str(word) for word in words[: 2 if words[0] in groups else 1])
        done[command] = name
        outcome = provara.run(*words, "--json", **options)
        values = (
            [outcome.json()] if name != "append" else map(json.loads, outcome.stdout.splitlines())
        )
        for value in values:
            check(name, value)
        return outcome.json() if name != "append" else None

    groups = {"anchor", "delta", "memory", "plugins", "witness"}
    run("init", "init", vault, "--quorum")
    run("append", *append)
    run("append", "append", vault, "--batch", "-", stdin=line * 3)
    run("verify", "verify", vault)
    run("events", "query", vault)
    run("show", "show", vault, events(vault)[2]["event_id"])
    run("beliefs", "replay", vault)
    run("summary", "reduce", vault)
    run("export", "export", vault, "--format", "csv", "--output", tmp_path / "out.csv")
    shutil.copytree(vault, copy)
    provara.append(copy, "OBSERVATION", data, "--actor", "other")
    provara.run("delta", "export", copy, "--output", tmp_path / "delta")
    shutil.copytree(vault, tmp_path / "second")
    run("merge", "merge", vault, copy)
    run("merge", "delta", "import", tmp_path / "second", tmp_path / "delta")
    target = events(vault)[2]["event_id"]
    run("redact", "redact", vault, target, "--reason", "asked", "--yes")
    run("backup", "backup", vault, tmp_path / "vault.tar")
    run("restore", "restore", tmp_path / "vault.tar", tmp_path / "restored")
    with (vault / LOG).open("ab") as log:
        log.write(b'{"torn')
    assert run("repair", "repair", vault, "--dry-run")["steps"]
    run("repair", "repair", vault)
    run("checkpoint", "checkpoint", vault)
    run("manifest", "manifest", vault)
    run("tree-head", "tree-head", vault)
    head, proof = tmp_path / "head", tmp_path / "proof"
    provara.run("tree-head", vault, "--output", head)
    provara.run("prove", vault, "--lines", "2-3", "--head", head, "--output", proof)
    assert len(run("verify-proof", "verify-proof", proof, "--head", head)["events"]) >= 3
    witness, first = tmp_path / "witness", tmp_path / "first"
    made = run("witness-new", "witness", "new", "example.org/w", "--key", witness)
    provara.run("prove", vault, "--lines", "1-1", "--head", head, "--output", first)
    sign = ("witness", "sign", first, "--key", witness, "--state", tmp_path / "seen", "--first")
    cosigned = tmp_path / "cosigned"
    cosigned.write_text(run("witness-sign", *sign)["note"])
    run("anchor-add", "anchor", "add", vault, cosigned)
    listed = run("anchor-list", "anchor", "list", vault)["anchors"]
    assert [anchor["claimed_by"] for anchor in listed] == [["example.org/w"]]
    asked = Witness()
    keys = json.loads((vault / "identity" / "keys.json").read_text())["keys"]
    key = base64.b64decode(keys[0]["public_key_b64"])
    asked.trusted = {head.read_text().splitlines()[0]: key}
    server, address = asked.serve()
    with contextlib.closing(server.socket):
        run("anchor-add", "witness", "request", address, vault, "--witness", asked.verifier_key)
        server.shutdown()
    seen = run("verify", "verify", vault, "--witness", made["witness"])["anchors"]
    assert [by["by"] for anchor in seen for by in anchor["seen"]] == ["example.org/w"]
    run("adopt", "adopt", vault, "--yes")
    run("accept", "accept", vault)
    assert run("memory-list", "memory", "list")["vaults"]
    run("memory-forget", "memory", "forget", copy)
    run("plugins", "plugins", "list", "--all")
    run("plugins-check", "plugins", "check")
    run("doctor", "doctor")
    assert set(leaves(provara)) == set(done)
    schemas = {path.name.split(".")[0] for path in SCHEMAS.glob("*.json")}
    assert schemas == {*done.values(), "error", *OF_OPTIONS}


def test_options_that_change_a_result(provara: Provara, vault: Path) -> None:
    def printed(*words: str | Path, **options: Any) -> list[Any]:
        outcome = provara.run(*words, "--json", **options)
        return [json.loads(line) for line in outcome.stdout.splitlines()]

    data = {"subject": "door", "predicate": "state", "value": "open"}
    record = json.dumps({"type": "OBSERVATION", "data": data, "idempotency_key": "k"}) + "\n"
    batch: list[str | Path] = ["append", vault, "--batch", "-"]
    (judged,) = printed(*batch, "--dry-run", stdin=record)
    check("dry-run", judged)
    assert (judged["events"], judged["repeated"], judged["refused"]) == (1, 0, 0)
    for repeated in (False, True):
        (receipt,) = printed(*batch, stdin=record)
        check("append", receipt)
        assert receipt["event"]["idempotency_key"] == "k"
        assert receipt.get("repeated", False) is repeated
    one = ["--type", "OBSERVATION", "--data", json.dumps(data), "--idempotency-key", "k"]
    (receipt,) = printed("append", vault, *one)
    check("append", receipt)
    assert receipt["repeated"] is True
    (judged,) = printed(*batch, "--dry-run", stdin=record)
    check("dry-run", judged)
    assert (judged["events"], judged["repeated"]) == (0, 1)

    (found,) = printed("query", vault)
    check("events", found)
    (counted,) = printed("query", vault, "--count")
    check("count", counted)
    assert counted["count"] == len(found)
    assert found[-1]["idempotency_key"] == "k"
    (same,) = provara.run("query", vault, "--format", "json").stdout.splitlines()
    assert json.loads(same) == found
    lines = provara.run("query", vault, "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == found
    (members,) = printed("query", vault, "--fields", "event_id,payload.value")
    check("members", members)
    assert members[-1] == {"event_id": receipt["event_id"], "payload.value": "open"}

    (shown,) = printed("show", vault, receipt["event_id"])
    check("show", shown)
    assert shown["event"] == found[-1]
    assert shown["chain"]["next"] is None
    (doctor,) = printed("doctor", vault)
    check("doctor", doctor)
    assert doctor["file_system"]["locks"] is True


def test_what_a_vault_is_held_to_is_told(provara: Provara, vault: Path, tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    heads.mkdir()
    first, second = heads / "first", tmp_path / "second"
    signed = provara.run("tree-head", vault, "--json").json()
    check("tree-head", signed)
    first.write_text(signed["note"], "utf-8")
    provara.append(vault, "OBSERVATION", {"subject": "a", "predicate": "b", "value": 1})
    again = provara.run("tree-head", vault, "--json").json()
    second.write_text(again["note"], "utf-8")
    assert (again["origin"], again["size"]) == (signed["origin"], signed["size"] + 1)

    key = signed["key_id"]
    held: list[str | Path] = ["--head", second, "--root-key", key]
    there = provara.with_environment(PROVARA_HEADS=str(heads))
    report = there.run("verify", vault, *held, "--json").json()
    check("verify", report)
    options = report["options"]
    assert options["heads"] == [str(second)]
    assert (options["head_folder"], options["root_keys"]) == (str(heads), [key])
    assert report["valid"] is True
    assert report["verified"]["tree_root"] == again["root"]

    other = tmp_path / "other"
    provara.run("init", other)
    report = provara.run("verify", other, *held, "--json", expect=1).json()
    check("verify", report)
    codes = {finding["code"]: finding["file"] for finding in report["findings"]}
    assert codes == {"PROVARA_E017": str(second), "PROVARA_E207": str(LOG)}

    older = tmp_path / "consistency"
    provara.run("prove", vault, "--from", first, "--head", second, "--output", older)
    proven = provara.run("verify-proof", older, "--head", first, "--json").json()
    check("verify-proof", proven)
    assert (proven["goes_on_from"], proven["size"]) == (signed["size"], again["size"])
    assert proven["head"] == again["note"]


def test_a_report_of_an_invalid_vault_fits_its_schema(
    provara: Provara, vault: Path, tmp_path: Path
) -> None:
    keys = vault / "identity" / "keys.json"
    keys.write_bytes(b"\xef\xbb\xbf" + keys.read_bytes())
    report = provara.run("verify", vault, "--json", expect=1).json()
    check("verify", report)
    causes = [finding for finding in report["findings"] if "follows_from" not in finding]
    assert [finding["code"] for finding in causes] == ["PROVARA_E104"]
    assert report["error_count"] == len(report["findings"]) > 3


def test_no_two_vaults_give_one_report(provara: Provara, tmp_path: Path) -> None:
    """Two that differ in nothing but a file of their seal, or their identity, or a byte beside the log."""

    def verified(path: Path) -> dict[str, Any]:
        report = provara.run("verify", path, "--json", expect=None).json()
        del report["vault"]
        return dict(report)

    one = tmp_path / "one"
    provara.run("init", one, "--uid", "same")
    reports = [verified(one)]
    other = tmp_path / "other"
    provara.run("init", other, "--uid", "same")
    reports.append(verified(other))
    for number, (file, old, new) in enumerate(
        [
            (Path("manifest.sig"), b'"sig":"', b'"sig":"A'),
            (Path("manifest.json"), b'"created_at_utc":"2', b'"created_at_utc":"1'),
            (Path("policies/retention_policy.json"), b"{", b"{ "),
            (LOG, b"sovereign", b"Sovereign"),
        ]
    ):
        changed = tmp_path / str(number)
        shutil.copytree(one, changed)
        text = (changed / file).read_bytes()
        assert text.count(old) >= 1
        (changed / file).write_bytes(text.replace(old, new, 1))
        reports.append(verified(changed))
    provara.append(one, "OBSERVATION", {"subject": "a", "predicate": "b", "value": 1})
    reports.append(verified(one))
    subjects = [json.dumps(report["verified"], sort_keys=True) for report in reports]
    assert len(set(subjects)) == len(subjects)


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["verify", "nowhere"], 3, "unavailable"),
        (["verify", "nowhere", "--frobnicate"], 2, "usage"),
        (["append", "nowhere"], 2, "usage"),
        (["query", "nowhere"], 3, "unavailable"),
        (["restore", "nowhere.tar", "there"], 3, "unavailable"),
        (["frobnicate"], 2, "usage"),
        ([], 2, "usage"),
    ],
)
def test_an_error_is_json_too(provara: Provara, words: list[str], code: int, kind: str) -> None:
    outcome = provara.run(*words, "--json", expect=code)
    assert outcome.stdout == ""
    error = check_error(outcome)
    assert (error["exit_code"], error["class"]) == (code, kind)
    assert error["message"]
    assert error["fix"]
