"""README.md and the guides do what they say: their blocks are run, with the installed wheel.

How a document is read, from top to bottom, in one empty directory:

* a `sh` block is run by bash, and must succeed;
* a `text` block that follows a `sh` block is what that block prints; `…` stands for anything
  within a line, alone in a line for one or more whole lines, and ids, hashes and times match
  any other;
* a block whose lead-in is nothing but a path in backquotes and a colon is written to that file;
* any other `python` block is run; neighbouring ones are one program;
* a block after the comment `<!-- not run: reason -->` is left out.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import blocks, documents, matches, page_name
from support import ROOT, wheels

#: A hang is a failure. The longest block builds a plugin package.
PATIENCE = 180.0

#: The languages of blocks that are only looked at.
SHOWN = {"text", "toml", "json"}


def runnable() -> list[Path]:
    return [
        path for path in documents() if any(b.language in ("sh", "python") for b in blocks(path))
    ]


@pytest.fixture
def reader(tmp_path: Path) -> dict[str, str]:
    """The environment of a reader who has just installed the wheel, and nothing of the caller's."""
    home = tmp_path / "home"
    home.mkdir()
    venv = tmp_path / "venv"
    environment = {
        "PATH": f"{venv}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels()),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_QUIET": "1",
    }
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [f"{venv}/bin/pip", "install", "provara-protocol"],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return environment


def run(command: list[str], environment: dict[str, str], directory: Path, place: str) -> str:
    """Runs one block; gives both of its streams as a terminal would show them."""
    done = subprocess.run(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
    )
    output = done.stdout.decode("utf-8")
    assert done.returncode == 0, f"{place} ended with exit code {done.returncode}:\n{output}"
    return output


@pytest.mark.parametrize("document", runnable(), ids=page_name)
def test_the_blocks_of_a_document_work(
    document: Path, reader: dict[str, str], tmp_path: Path
) -> None:
    directory = tmp_path / "work"
    directory.mkdir()
    program = ""
    printed: str | None = None

    def run_program() -> None:
        nonlocal program
        if program:
            script = tmp_path / f"{document.name}.py"
            script.write_text(program, encoding="utf-8")
            run(["python3", str(script)], reader, directory, document.name)
            program = ""

    for block in blocks(document):
        place = f"{document.name}:{block.line}"
        before, printed = printed, None
        if not block.is_run:
            continue
        if block.file is not None:
            target = directory / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            # At the line where it stands, so that a traceback names the line of the document.
            program += "\n" * (block.line - program.count("\n")) + block.text
        elif block.language == "sh":
            run_program()
            printed = run(["bash", "-euo", "pipefail", "-c", block.text], reader, directory, place)
        elif block.language == "text" and before is not None:
            assert matches(block.text, before), (
                f"{place} shows:\n{block.text}\nbut it is:\n{before}"
            )
        else:
            assert block.language in SHOWN, f"{place}: a block is sh, python, or one of {SHOWN}"
    run_program()


def test_a_shown_output_is_compared() -> None:
    ids = "evt_0123456789abcdef01234567", "evt_76543210fedcba9876543210"
    assert matches(f"id {ids[0]} at …\n", f"id {ids[1]} at byte 7\n")
    assert not matches(f"id {ids[0]}\n", "id evt_7\n")
    assert not matches("a …\n", "a b\nc\n")
    assert not matches("a.c\n", "abc\n")
    assert matches("a\n…\nz\n", "a\nb\nc\nz\n")
    assert matches("…\nz\n", "a\nb\nz\n")
    assert not matches("a\n…\nz\n", "a\nz\n")
    assert not matches("a\n…\nz\n", "a\nb\nc\n")
    assert not matches("a\nb…\nz\n", "a\nb\nc\nz\n")


def test_the_auditors_program_ends_lines_at_lf_alone(
    reader: dict[str, str], tmp_path: Path
) -> None:
    """U+0085, U+2028 and U+2029 stand unescaped in canonical JSON, and end a line for `splitlines`."""
    texts = "one\u0085two\u2028three\u2029four", "five\r\nsix\x0cseven\x1eeight"
    run(["provara", "init", "handed-over"], reader, tmp_path, "init")
    for text in texts:
        data = json.dumps({"text": text})
        command = ["provara", "append", "handed-over", "--type", "OBSERVATION", "--data", data]
        run(command, reader, tmp_path, "append")
    printed = run(
        ["python3", str(auditors_program(tmp_path))], reader, tmp_path, "docs/auditors.md"
    )
    head = re.search(r"^ids and Merkle root agree; tree head: 4 ([0-9a-f]{64})$", printed, re.M)
    assert head is not None, printed


def auditors_program(directory: Path) -> Path:
    page = ROOT / "docs/auditors.md"
    program = "".join(block.text for block in blocks(page) if block.language == "python")
    script = directory / "check.py"
    script.write_text(program, encoding="utf-8")
    return script


def test_the_auditors_program_takes_what_a_redaction_allows(
    reader: dict[str, str], tmp_path: Path
) -> None:
    def provara(*arguments: str) -> str:
        return run(["provara", *arguments], reader, tmp_path, arguments[0])

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["python3", str(script)], env=reader, cwd=tmp_path, capture_output=True, text=True
        )

    script = auditors_program(tmp_path)
    vault = "handed-over"
    provara("init", vault)
    data = ("--set", "subject=a", "--set", "predicate=b", "--set", "value=c")
    provara("append", vault, "--type", "OBSERVATION", *data)
    log = tmp_path / vault / "events/events.ndjson"
    target = json.loads(log.read_text(encoding="utf-8").splitlines()[2])["event_id"]
    provara("redact", vault, target, "--yes", "--reason", "asked for")
    told = check()
    assert told.returncode == 0, told.stderr
    verified = json.loads(provara("verify", vault, "--json"))["verified"]
    redaction = verified["last_event"]["event_id"]
    assert told.stdout.splitlines() == [
        f"line 3 is redacted by {redaction}; the rest is as stated",
        f"ids and Merkle root agree; tree head: 4 {verified['tree_root']}",
    ]
    # What the redaction does not allow stays an error.
    whole = log.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    hash_left = json.loads(lines[2])["payload"]["original_payload_hash"]
    for changed in (
        [*lines[:2], lines[2].replace(hash_left, "0" * 64), lines[3]],
        [*lines[:2], lines[2].replace('"provara_user"', '"somebody"'), lines[3]],
        [*lines[:2], lines[2].replace('"redacted":true', '"redacted":false'), lines[3]],
        lines[:3],
    ):
        log.write_text("".join(changed), encoding="utf-8")
        told = check()
        assert told.returncode == 1 and "AssertionError: line 3: " in told.stderr, told
    log.write_text(whole, encoding="utf-8")
    assert check().returncode == 0


# ------------------------------------------------------------------------ references


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    found = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            title = line.lstrip("#").strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return found


@pytest.mark.parametrize(
    "document",
    sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("spec/*.md")}),
    ids=page_name,
)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{document.name} links to {target}, which is not there"
        assert not anchor or anchor in anchors(file), f"{document.name} links to {target}"


def test_every_page_is_listed() -> None:
    text = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in documents()[1:]:
        path = page.relative_to(ROOT / "docs").as_posix()
        assert path == "README.md" or f"]({path})" in text, f"docs/README.md lacks {path}"


def test_the_readme_is_one_screen() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines.index("## More") <= 40


@pytest.mark.parametrize("document", ["docs/auditors.md", "spec/VAULT_FORMAT.md"])
def test_every_code_is_explained(document: str) -> None:
    source = (ROOT / "crates/provara-core/src/finding.rs").read_text(encoding="utf-8")
    codes = re.findall(r'^    ([EW]\d{3}): \w+ = "([A-Z_]+)",$', source, re.MULTILINE)
    assert len(codes) > 35
    text = (ROOT / document).read_text(encoding="utf-8")
    for code, name in codes:
        assert re.search(rf"\b{code}\b[ |]+{name}\b", text), f"{document} lacks {code} {name}"


def test_the_command_reference_is_current(reader: dict[str, str], tmp_path: Path) -> None:
    made = run(
        ["python3", str(ROOT / "scripts/command_reference.py")], reader, tmp_path, "the reference"
    )
    stored = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert made == stored, "run: make reference"
