"""The checker of a disclosure in Node, where thousands of changed pages are cheap.

It is held to `verify-proof` and to the checker of docs/proofs.md: what one refuses, all refuse.
"""

from __future__ import annotations

import base64
import copy
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from disclosed import (
    Disclosed,
    Document,
    faults,
    in_page,
    needs_node,
    third_party,
)
from support import Provara
from test_proof_checker import CHANGES, TOMBSTONE, canonical, payload


@pytest.fixture
def disclosed(provara: Provara, vault: Path, tmp_path: Path) -> Disclosed:
    return Disclosed(provara, vault, tmp_path)


def drop(document: Document) -> None:
    document["proof"]["events"].pop(2)


def extra_digest(document: Document) -> None:
    document["proof"]["proof"].append(base64.b64encode(bytes(32)).decode())


def other_digest(document: Document) -> None:
    document["proof"]["proof"][0] = base64.b64encode(bytes(32)).decode()


def in_line(old: str, new: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        event = document["proof"]["events"][1]
        assert event["line"].count(old) >= 1, event
        event["line"] = event["line"].replace(old, new, 1)

    return change


def head(old: str, new: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        text = document["proof"]["head"]
        assert re.search(old, text)
        document["proof"]["head"] = re.sub(old, new, text, count=1)

    return change


def key(new: bytes) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["proof"]["keys"][0] = base64.b64encode(new).decode()

    return change


def anchor(document: Document) -> None:
    content = base64.b64encode(document["proof"]["head"].encode()).decode()
    document["anchors"].append(
        {"content": content, "name": "anchors/0000000011-0123456789abcdef.head"}
    )


P = 2**255 - 19

#: What is changed, and words of what the page must say of it.
FAILS: dict[str, tuple[Callable[[Document], None], str]] = {
    "a byte of a payload": (in_line('"value":10', '"value":90'), "not those of the tree head"),
    "an id": (in_line('"event_id":"evt_', '"event_id":"evt_0'), "not those of the tree head"),
    "an event dropped": (drop, "digest"),
    "a digest more": (extra_digest, "left over"),
    "another digest": (other_digest, "not those of the tree head"),
    "the size of the head": (head(r"\n11\n", r"\n12\n"), "tree head"),
    "the copy of the head": (
        head(r"^(provara/[^/]+)/.*", r"\1/other"),
        "No key of the page signed",
    ),
    "no line of the head": (head(r"\n11\n", r"\n"), "not readable"),
    "another key": (
        key(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")),
        "No key of the page signed",
    ),
    "a key of order one": (key((1).to_bytes(32, "little")), "anybody can sign"),
    "a key of order two": (key((P - 1).to_bytes(32, "little")), "anybody can sign"),
    "a key of order eight": (
        key(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
        "anybody can sign",
    ),
    "the same, with its sign": (
        key(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85")),
        "anybody can sign",
    ),
    "a key not in its one form": (key((P + 3).to_bytes(32, "little")), "one form"),
    "a key that is no point": (key((2).to_bytes(32, "little")), "no point"),
    "an anchor of another name": (anchor, "anchor"),
    "a member more": (lambda document: document.update({"more": 1}), "one form"),
    "another type": (
        lambda document: document.update({"type": "provara_disclosure_v2"}),
        "one form",
    ),
}


@needs_node
@pytest.mark.parametrize("change", FAILS)
def test_every_change_is_named(disclosed: Disclosed, change: str) -> None:
    document = copy.deepcopy(disclosed.document)
    FAILS[change][0](document)
    [fault] = faults(in_page(canonical(document)))
    assert FAILS[change][1] in fault, fault
    assert not disclosed.ours(disclosed.with_document(document))


@needs_node
def test_what_the_checker_of_the_documentation_refuses_the_page_refuses(
    disclosed: Disclosed,
) -> None:
    assert faults(disclosed.data) == [""]
    assert third_party(disclosed.directory, disclosed.document)
    for name, change in CHANGES.items():
        document = copy.deepcopy(disclosed.document)
        change(document["proof"])
        [fault] = faults(in_page(canonical(document)))
        assert fault != "", name
        assert not third_party(disclosed.directory, document), name
        assert not disclosed.ours(disclosed.with_document(document)), name


@needs_node
def test_a_withheld_payload_is_shown_as_that(disclosed: Disclosed) -> None:
    document = copy.deepcopy(disclosed.document)
    payload(TOMBSTONE)(document["proof"])
    assert faults(in_page(canonical(document))) == [""]
    assert third_party(disclosed.directory, document)
    assert disclosed.ours(disclosed.with_document(document))
    # What the rules read is never withheld.
    payload(TOMBSTONE, 0)(document["proof"])
    assert faults(in_page(canonical(document))) != [""]
    assert not disclosed.ours(disclosed.with_document(document))


@needs_node
def test_signatures_beyond_the_order_of_the_group_are_refused(disclosed: Disclosed) -> None:
    """S + L is the same number to the equation; one signature has one text."""
    order = 2**252 + 27742317777372353535851937790883648493
    document = copy.deepcopy(disclosed.document)
    note = document["proof"]["head"]
    signed = base64.b64decode(note.rsplit(" ", 1)[1])
    scalar = int.from_bytes(signed[36:], "little") + order
    other = base64.b64encode(signed[:36] + scalar.to_bytes(32, "little")).decode()
    document["proof"]["head"] = note.rsplit(" ", 1)[0] + f" {other}\n"
    assert "No key of the page signed" in faults(in_page(canonical(document)))[0]
    assert not disclosed.ours(disclosed.with_document(document))


@needs_node
def test_every_changed_byte_has_one_verdict(disclosed: Disclosed) -> None:
    """What was asked is not proven, so another byte there is taken; no other is."""
    rolled = random.Random(17)
    asked = range(disclosed.data.index('"asked"') + 9, disclosed.data.index('"proof":{') - 2)
    count = int(os.environ.get("PROVARA_E2E_CHANGED_BYTES", "150"))
    changed, places = [], []
    raw = disclosed.data
    for place in [*asked[:: len(asked) // 5], *rolled.choices(range(len(raw)), k=count)]:
        other = chr(rolled.choice([it for it in range(32, 127) if chr(it) != raw[place]]))
        changed.append(raw[:place] + other + raw[place + 1 :])
        places.append(place)
    theirs = [fault == "" for fault in faults(*changed)]
    for place, data, taken in zip(places, changed, theirs, strict=True):
        assert disclosed.ours(disclosed.with_data(data)) == taken, (
            place,
            data[place - 9 : place + 9],
        )
        if place not in asked:
            assert not taken, (place, data[place - 9 : place + 9])
    assert any(theirs)
