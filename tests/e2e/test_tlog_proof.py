"""`provara prove --format tlog-proof`, read after the pages of C2SP and RFC 9162 alone."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from support import LOG, Provara
from ward import Ward


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """RFC 9162, section 2.1.3.2."""
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def entry_of(line: bytes) -> bytes:
    """The line with the hash of its payload in the place of the payload (section 5 of the format)."""
    text = line.decode()
    payload = json.dumps(
        json.loads(text)["payload"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert text.count(payload) == 1
    return text.replace(payload, f'"{hashlib.sha256(payload.encode()).hexdigest()}"').encode()


def holds(text: str, head: str) -> bool:
    """Whether a proof leads from the event in its extra data to the root of the head that it ends with."""
    lines, _, checkpoint = text.partition("\n\n")
    assert checkpoint == head
    first, extra, index, *proof = lines.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    line = base64.b64decode(extra.removeprefix("extra "), validate=True)
    at = index.removeprefix("index ")
    assert at == str(int(at))
    _, size, root = head.split("\n")[:3]
    leaf = hashlib.sha256(b"\x00" + entry_of(line)).digest()
    digests = [base64.b64decode(digest, validate=True) for digest in proof]
    return root_of(leaf, int(at), int(size), digests) == base64.b64decode(root)


def test_the_proof_of_every_event_is_as_others_read_it(provara: Provara, tmp_path: Path) -> None:
    ward = Ward(provara, tmp_path)
    for value in range(6):
        ward.append(value)
    head = ward.tree_head("head")
    log = (ward.vault / LOG).read_bytes().splitlines()
    for number, line in enumerate(log, 1):
        words = ("prove", ward.vault, "--head", head, "--format", "tlog-proof")
        by_line = provara.run(*words, "--lines", str(number)).stdout
        by_id = provara.run(*words, json.loads(line)["event_id"]).stdout
        assert by_line == by_id
        assert base64.b64encode(line).decode() in by_line
        assert f"\nindex {number - 1}\n" in by_line
        assert holds(by_line, head.read_text())
        other = by_line.replace(f"\nindex {number - 1}\n", f"\nindex {number % len(log)}\n")
        assert not holds(other, head.read_text())


def test_a_tlog_proof_is_of_one_event_and_lacks_what_ours_has(
    provara: Provara, tmp_path: Path
) -> None:
    ward = Ward(provara, tmp_path)
    words = ("prove", ward.vault, "--head", ward.head, "--format", "tlog-proof")
    assert "of one event" in provara.run(*words, "--lines", "2-3", expect=2).stderr
    provara.run(*words, "--from", ward.head, expect=2)
    file = tmp_path / "one.tlog-proof"
    provara.run(*words, "--lines", "3", "--output", file)
    refused = provara.run("verify-proof", file, "--head", ward.head, expect=1).stderr
    assert "it is a C2SP tlog-proof" in refused
