"""The oracle's judgement of the seal: current, continued, neither (section 5)."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import primitives
from names import INTENT, KEYFILE, KEYS, LOG, MANIFEST, ROOT, SEAL, SIGNATURE, STATEMENT
from oracle_keys import written
from oracle_line import ANCHOR, CHECKPOINT, signature_holds, text_of
from oracle_log import Judge, digest
from primitives import Number


class SealJudge:
    """Section 5, for one vault whose log and keys were judged."""

    def __init__(self, judge: Judge) -> None:
        self.judge_of = judge
        self.files = judge.files
        self.out = judge.out
        self.lines = judge.lines
        self.log = self.files.get(LOG, b"")
        self.folds = [written(keys) for keys in judge.folds]

    def judge(self) -> None:
        entries = self.read_manifest()
        self.listed_root = merkle(entries) if entries is not None else None
        self.statement = self.read_signature()
        if self.out.marked:
            self.find_standing(entries)
            self.judge_keys_file()
        else:
            self.judge_unmarked()
        self.tolerant = self.out.standing in ("current", "continued")
        if entries is not None:
            self.compare(entries)
        self.judge_root_file()
        if self.out.marked and self.tolerant:
            self.judge_statements(entries or [])
            self.judge_names()
        carried_on = self.judge_of.settled and not self.judge_of.settled_whole
        if carried_on and self.out.standing != "current":
            self.out.error("E302", INTENT)

    # ---- what each of the three files shows by itself

    def read_manifest(self) -> list[dict[str, Any]] | None:
        out, text = self.out, self.files.get(MANIFEST)
        if text is None:
            out.error("E302", MANIFEST)
            return None
        try:
            manifest = primitives.parse(text)
        except (ValueError, RecursionError):
            out.error("E104", MANIFEST)
            return None
        if not isinstance(manifest, dict):
            out.error("E104", MANIFEST)
            return None
        self.created = text_of(manifest.get("created_at_utc"))
        entries = manifest.get("files")
        names = {
            "backpack_spec_version",
            "created_at_utc",
            "file_count",
            "files",
            "manifest_version",
        }
        if not names <= set(manifest) or self.created is None or not isinstance(entries, list):
            out.error("E300", MANIFEST)
            return None
        try:
            canonical = primitives.jcs(manifest) == text
        except primitives.NotCanonicalError:
            canonical = False
        if not canonical:
            out.error("E104", MANIFEST)
        if set(manifest) != names:
            out.error("E302", MANIFEST)
        versions = (manifest["backpack_spec_version"], manifest["manifest_version"])
        if versions != ("1.0", "manifest.v0"):
            out.error("E303", MANIFEST)
        for entry in entries:
            whole = isinstance(entry, dict) and {"path", "sha256", "size"} <= set(entry)
            if not whole or not (text_of(entry["path"]) and text_of(entry["sha256"])):
                out.error("E300", MANIFEST)
                return None
            if not (isinstance(entry["size"], Number) and re.fullmatch(r"\d+", entry["size"])):
                out.error("E300", MANIFEST)
                return None
            if not primitives.HEX_DIGEST.fullmatch(entry["sha256"]):
                out.error("E100", entry["path"])
            if not primitives.safe_path(entry["path"]):
                out.error("E302", entry["path"])
            if entry["path"] in (*SEAL, KEYFILE):
                out.error("E302", entry["path"])
        paths = [entry["path"] for entry in entries]
        if paths != sorted(set(paths)):
            out.error("E302", MANIFEST)
        if manifest["file_count"] != str(len(paths)):
            out.error("E302", MANIFEST)
        return list(entries)

    def read_signature(self) -> dict[str, str] | None:
        """What `manifest.sig` states, if an introduced key signed it; the standing otherwise."""
        out, text = self.out, self.files.get(SIGNATURE)
        if text is None:
            out.standing = "absent"
            if out.marked:
                out.error("E014", SIGNATURE)
            else:
                out.warn("W002", SIGNATURE)
            return None
        try:
            value = primitives.parse(text)
        except (ValueError, RecursionError):
            out.error("E104", SIGNATURE)
            return None
        names = {"key_id", "merkle_root", "sig", "signed_at_utc", "spec_version"}
        if not isinstance(value, dict) or not names <= set(value):
            out.error("E300", SIGNATURE)
            return None
        if any(text_of(value[name]) is None for name in names):
            out.error("E300", SIGNATURE)
            return None
        if set(value) != names:
            out.error("E302", SIGNATURE)
            return None
        older = json.dumps(
            {
                name: value[name]
                for name in ("merkle_root", "key_id", "spec_version", "signed_at_utc", "sig")
            },
            indent=2,
        )
        self.our_form = text == primitives.jcs(value) + b"\n"
        if out.marked and not self.our_form and text != older.encode() + b"\n":
            out.error("E104", SIGNATURE)
            return None
        problems = {
            "E303": value["spec_version"] != "1.0",
            "E102": not primitives.KEY_ID.fullmatch(value["key_id"]),
            "E100": not primitives.HEX_DIGEST.fullmatch(value["merkle_root"]),
            "E103": primitives.decode_base64(value["sig"], 64) is None,
        }
        for code, wrong in problems.items():
            if wrong:
                out.error(code, SIGNATURE)
                return None
        public = self.judge_of.public_at(value["key_id"])
        if public is None:
            listed = value["key_id"] in self.judge_of.listed
            out.error("E205" if out.marked and listed else "E204", SIGNATURE)
            return None
        message = primitives.jcs(primitives.without(value, "sig"))
        if not signature_holds(public, value["sig"], message):
            out.error("E003", SIGNATURE)
            return None
        return {name: str(value[name]) for name in names}

    # ---- current, continued, neither

    def find_standing(self, entries: list[dict[str, Any]] | None) -> None:
        out, statement = self.out, self.statement
        if statement is None:
            return
        found = None
        if entries is not None:
            root = statement["merkle_root"]
            lowest = self.lowest(root[:32])
            base = [e for e in entries if not derived(str(e["path"]))]
            for number in range(len(self.lines), max(lowest, 1) - 1, -1):
                named = [line.get("seal") for line in self.lines[number + 1 :]]
                if root in self.sealed(base, number) and root[:32] not in named:
                    found = number
                    break
        if found is None:
            out.error("E015", SIGNATURE)
            return
        if self.judge_of.standing(statement["key_id"], found) != "counts":
            out.error("E202", SIGNATURE)
            return
        if not self.vouched(statement["key_id"], statement["merkle_root"][:32], found):
            out.error("E202", SIGNATURE)
            return
        out.sealed = found
        out.standing = "current" if found == len(self.lines) else "continued"
        if out.standing == "continued":
            out.warn("W001", SIGNATURE)

    def vouched(self, key_id: str, name: str, sealed: int) -> bool:
        """Where its key is revoked beyond a seal, the revocation is the next line and names the seal."""
        for number, line in enumerate(self.lines[sealed:], sealed + 1):
            revoked = self.judge_of.standing(key_id, number) == "revoked"
            if revoked:
                return number == sealed + 1 and line.get("seal") == name
        return True

    def lowest(self, name: str) -> int:
        """The last line that cannot stand beyond a seal of this name.

        It names another seal, or follows another line than the one before it. That a line with this
        name is the first beyond the seal is for the caller to see.
        """
        last = 0
        for number, line in enumerate(self.lines, 1):
            before = self.lines[number - 2].get("event_id") if number > 1 else None
            seal, after = line.get("seal"), line.get("after")
            if (seal is not None and seal != name) or (after is not None and after != before):
                last = number
        return last

    def sealed(self, base: list[dict[str, Any]], number: int) -> set[str]:
        """Sealed(N): with the checkpoints of a count up to N, and without those of N."""
        roots = set()
        for limit in (number, number - 1):
            entries = [
                *base,
                self.entry(LOG, self.prefix(number)),
                self.entry(KEYS, self.folds[number]),
            ]
            for path, data in self.files.items():
                match = CHECKPOINT.fullmatch(path)
                if match and int(match[1]) <= limit:
                    entries.append(self.entry(path, data))
            roots.add(merkle(sorted(entries, key=lambda entry: str(entry["path"]))))
        return roots

    def prefix(self, number: int) -> bytes:
        if number == len(self.lines):
            return self.log
        return b"".join(line.text + b"\n" for line in self.lines[:number])

    def entry(self, path: str, data: bytes) -> dict[str, Any]:
        return {"path": path, "sha256": digest(data), "size": Number(len(data))}

    # ---- the files against the seal

    def judge_keys_file(self) -> None:
        text = self.files.get(KEYS)
        if text is None or text == self.folds[-1]:
            return
        if text not in self.folds or self.out.standing not in ("current", "continued"):
            self.out.error("E302", KEYS)
        else:
            self.out.warn("W001", KEYS)

    def compare(self, entries: list[dict[str, Any]]) -> None:
        """Each listed file against the disk, and each file of the disk against the list."""
        out = self.out
        stale = self.tolerant and out.marked and self.may_be_stale(entries)
        listed = {str(entry["path"]): entry for entry in entries}
        for path, entry in listed.items():
            data = self.files.get(path)
            if stale and path in (LOG, KEYS):
                if (str(len(data or b"")), digest(data)) != (entry["size"], entry["sha256"]):
                    out.warn("W001", MANIFEST)
                continue
            if data is None:
                out.error("E010", path)
            elif str(len(data)) != entry["size"]:
                out.error("E011", path)
            elif digest(data) != entry["sha256"]:
                out.error("E012", path)
        for path, data in self.files.items():
            if path in listed or path in (*SEAL, KEYFILE):
                continue
            if out.marked and self.tolerant and CHECKPOINT.fullmatch(path):
                out.warn("W001", path)
                continue
            if path.startswith("identity/") and b"private_key_b64" in data:
                continue
            out.error("E302", path)
        self.compare_times()

    def compare_times(self) -> None:
        """One time stands in both files, unless the older tool listed the same files anew."""
        statement = self.statement
        if statement is None or not self.out.marked or self.out.standing != "current":
            return
        if statement["merkle_root"] != self.listed_root:
            self.out.warn("W001", MANIFEST)
        elif self.our_form and self.created != statement["signed_at_utc"]:
            if str(self.created).endswith("+00:00"):
                self.out.warn("W001", MANIFEST)
            else:
                self.out.error("E012", MANIFEST)

    def may_be_stale(self, entries: list[dict[str, Any]]) -> bool:
        """Whether what `manifest.json` says of log and keys is of an earlier state of both."""
        prefixes = {
            (str(len(prefix)), digest(prefix))
            for prefix in (self.prefix(number) for number in range(1, len(self.lines) + 1))
        }
        folds = {(str(len(text)), digest(text)) for text in self.folds}
        listed = {str(entry["path"]): (entry["size"], entry["sha256"]) for entry in entries}
        return listed.get(LOG) in prefixes and listed.get(KEYS) in folds

    def judge_root_file(self) -> None:
        out, text = self.out, self.files.get(ROOT)
        if text is None:
            out.error("E302", ROOT)
            return
        if not re.fullmatch(rb"[0-9a-f]{64}\n", text):
            out.error("E100", ROOT)
            return
        root = text[:64].decode()
        if self.listed_root is None or root == self.listed_root:
            return
        if self.out.marked and self.tolerant and self.statement:
            if root == self.statement["merkle_root"] or self.is_some_sealed(root):
                out.warn("W001", ROOT)
                return
        out.error("E008", ROOT)

    def is_some_sealed(self, root: str) -> bool:
        manifest = primitives.parse(self.files[MANIFEST])
        base = [entry for entry in manifest["files"] if not derived(str(entry["path"]))]
        return any(root in self.sealed(base, number) for number in range(1, len(self.lines) + 1))

    def judge_statements(self, entries: list[dict[str, Any]]) -> None:
        base = [entry for entry in entries if not derived(str(entry["path"]))]
        base = [entry for entry in base if not ANCHOR.fullmatch(str(entry["path"]))]
        there = (str(len(base)), merkle(base))
        last = None
        for number, line in enumerate(self.lines, 1):
            if line.kind != STATEMENT:
                continue
            last = (line.payload.get("file_count"), line.payload.get("files_root"))
            if last != there and number > (self.out.sealed or 0):
                self.out.error("E015", f"line {number}")
        if last is not None and last != there:
            self.out.warn("W015", LOG)

    def judge_names(self) -> None:
        """A line beyond the seal is bound to it, or to the line before."""
        sealed = self.out.sealed or 0
        for number, line in enumerate(self.lines[sealed:], sealed + 1):
            before = self.lines[number - 2].get("event_id") if number > 1 else None
            bound = line.get("seal") is not None or line.get("after") is not None
            if not bound and line.get("prev_event_hash") != before:
                self.out.warn("W014", f"line {number}")

    # ---- unmarked vaults

    def judge_unmarked(self) -> None:
        judge, out, statement = self.judge_of, self.out, self.statement
        if statement is not None:
            key = judge.listed.get(statement["key_id"])
            fold = next((k for k in judge.folds[-1] if k.key_id == statement["key_id"]), None)
            revoked = "revoked" in {each.status for each in (key, fold) if each}
            if statement["merkle_root"] != self.listed_root:
                out.warn("W001", SIGNATURE)
            elif revoked or (key and not key.may_sign):
                out.error("E202", SIGNATURE)
        genesis = self.lines[0] if self.lines and self.lines[0].kind == "GENESIS" else None
        led = judge.led_to(genesis)
        signers: set[Any] = {line.get("actor_key_id") for line in self.lines if line.event}
        if statement is not None:
            signers.add(statement["key_id"])
        if any(signer in judge.listed and signer not in led for signer in signers):
            out.warn("W009", KEYS)


def derived(path: str) -> bool:
    """Whether Sealed(N) takes the entry of this path from elsewhere than `manifest.json`."""
    return path in (LOG, KEYS) or bool(CHECKPOINT.fullmatch(path))


@functools.lru_cache(maxsize=100_000)
def entry_bytes(path: str, sha256: str, size: str) -> bytes:
    return primitives.jcs({"path": path, "sha256": sha256, "size": Number(size)})


def merkle(entries: list[dict[str, Any]]) -> str:
    leaves = []
    for entry in entries:
        if len(entry) == 3:
            leaves.append(entry_bytes(str(entry["path"]), str(entry["sha256"]), str(entry["size"])))
        else:
            leaves.append(primitives.token_preserving(entry))
    return primitives.merkle_root(leaves)
