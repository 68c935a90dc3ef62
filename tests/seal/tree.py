"""The event tree by the page: the leaf of a line, and the Merkle tree of RFC 9162, section 2.1."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def span(line: bytes) -> tuple[int, int]:
    """Where the value of the top-level member `payload` stands in a line; bytes from and to.

    The line is one object in a canonical form: no white space, so a value begins right after the
    colon. Names and values are skipped whole, so that a `payload` further inside is none.
    """
    text = line.decode("utf-8")
    decoder = json.JSONDecoder()
    at = 1
    while True:
        name, end = decoder.raw_decode(text, at)
        if text[end] != ":":
            raise ValueError("no value")
        _, after = decoder.raw_decode(text, end + 1)
        if name == "payload":
            return len(text[: end + 1].encode()), len(text[:after].encode())
        if text[after] != ",":
            raise ValueError("no payload")
        at = after + 1


def payload_bytes(line: bytes) -> bytes:
    start, end = span(line)
    return line[start:end]


def preimage(line: bytes, original: str | None = None) -> bytes:
    """What a leaf is hashed over. `original` is what an accepted tombstone says of its payload."""
    start, end = span(line)
    digits = original or hashlib.sha256(line[start:end]).hexdigest()
    return line[:start] + b'"' + digits.encode() + b'"' + line[end:]


def leaf(line: bytes, original: str | None = None) -> bytes:
    return leaf_hash(preimage(line, original))


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle Tree Hash of RFC 9162, section 2.1.1, as its definition reads."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node(root(leaves[:split]), root(leaves[split:]))


def grown(leaves: Sequence[bytes]) -> list[bytes]:
    """The roots of sizes 1, 2, … over a stack of whole subtrees: another way to the same trees."""
    stack: list[tuple[int, bytes]] = []
    roots = []
    for each in leaves:
        size, digest = 1, each
        while stack and stack[-1][0] == size:
            digest = node(stack.pop()[1], digest)
            size *= 2
        stack.append((size, digest))
        whole = stack[-1][1]
        for _, left in reversed(stack[:-1]):
            whole = node(left, whole)
        roots.append(whole)
    return roots
