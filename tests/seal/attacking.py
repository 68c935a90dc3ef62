"""What somebody can do who writes a vault's files and holds no key of it, as random steps.

An attack begins with the vault as it is, changes log and files, and then makes everything that can
be made without a key look right again: keys.json, manifest.json, merkle_root.txt. What it puts into
the place of manifest.sig is the rest of the choice. Further classes hand it more: what ever lay in
the folder, or a key that was revoked.
"""

from __future__ import annotations

import contextlib
import json
import random

import steps_on_files
import steps_on_log
import steps_with_old
import writing
from attacker import LATER, Attacker
from forge import Signer
from honest import History, PaperOwner, live
from names import KEYFILE, KEYS, LOG, MANIFEST, ROOT, SIGNATURE
from oracle_keys import KeyJudge, written
from steps_on_files import add_file, edit_file, remove_file
from writing import Files, joined

#: What needs no more than the files as they are.
STEPS = steps_on_log.STEPS + steps_on_files.STEPS


def carry_out(by: Attacker) -> Files:
    steps = STEPS + (steps_with_old.STEPS * 3 if by.old else [])
    if by.stolen:
        steps = steps + [seal_anew] * 8
    for _ in range(by.rng.choice([1, 1, 1, 2, 2, 3, 4])):
        step = by.rng.choice(steps)
        try:
            step(by)
        except (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError):
            # An earlier step broke what this one needs.
            continue
        by.steps.append(step.__name__)
    try:
        finish(by)
    except (ValueError, KeyError, TypeError, AttributeError):
        by.steps.append("unfinished")
    by.files.pop(KEYFILE, None)
    return by.files


def finish(by: Attacker) -> None:
    rng = by.rng
    if by.finished or rng.random() < 0.12:
        return
    if rng.random() < 0.8:
        fix_keys(by)
    choice = rng.random()
    if choice < 0.75:
        relist(by)
    elif choice < 0.9:
        relist_stale(by)
    sign(by)
    if rng.random() < 0.2:
        name_root(by)


def fix_keys(by: Attacker) -> None:
    """`keys.json` as it follows from the log, or as it followed from a part of it."""
    if by.keys is not None and by.rng.random() < 0.7:
        return
    try:
        judged = KeyJudge(by.files)
        judged.read_log()
        judged.find_keys()
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    folds = judged.folds
    by.files[KEYS] = written(by.rng.choice([folds[-1], folds[-1], by.rng.choice(folds)]))


def relist(by: Attacker) -> None:
    times = [LATER.now(), LATER.now().replace("Z", "+00:00")]
    with contextlib.suppress(KeyError, ValueError, TypeError):
        times.append(str(json.loads(by.files[SIGNATURE])["signed_at_utc"]))
    writing.relist(by.files, by.rng.choice(times))


def relist_stale(by: Attacker) -> None:
    """A list that speaks of a shorter log."""
    lines = by.lines
    shorter = {**by.files, LOG: joined(lines[: by.rng.randrange(len(lines) + 1)])}
    writing.relist(shorter, LATER.now())
    by.files |= {path: shorter[path] for path in (MANIFEST, ROOT)}


def name_root(by: Attacker) -> None:
    roots = [by.files.get(ROOT, b"x")]
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        roots.append(json.loads(by.files[SIGNATURE])["merkle_root"].encode() + b"\n")
    names = [event["seal"] for event in by.events() if isinstance(event.get("seal"), str)]
    roots += [name.encode() + b"0" * 32 + b"\n" for name in names]
    by.files[ROOT] = by.rng.choice(roots)


def sign(by: Attacker) -> None:
    """Something in the place of the signature."""
    rng = by.rng
    root = by.files.get(ROOT, b"").decode(errors="replace").strip()
    choice = rng.randrange(9)
    if choice <= 2:
        return
    if choice == 3:
        by.files.pop(SIGNATURE, None)
    elif choice == 4:
        by.files[SIGNATURE] = rng.choice(by.foreign.rest)[SIGNATURE]
    elif choice == 5:
        try:
            value = json.loads(by.files[SIGNATURE])
            name = rng.choice(["merkle_root", "signed_at_utc", "key_id", "spec_version", "x"])
            value[name] = rng.choice([root, LATER.now(), rng.choice(by.own).key_id, "1.0"])
            by.files[SIGNATURE] = writing.canonical(value) + b"\n"
        except (KeyError, ValueError, TypeError):
            return
    else:
        signer, time = by.signer(), LATER.now()
        if by.stolen and rng.random() < 0.5:
            seal_prefix(by, by.stolen)
            return
        text = writing.signature_text(signer, root, time)
        if rng.random() < 0.3:
            value = {**json.loads(text), "key_id": rng.choice(by.history.keys).key_id}
            text = writing.canonical(value) + b"\n"
        elif rng.random() < 0.2:
            text = json.dumps(json.loads(text), indent=2).encode() + b"\n"
        by.files[SIGNATURE] = text
        if rng.random() < 0.5 and MANIFEST in by.files:
            try:
                manifest = json.loads(by.files[MANIFEST])
                manifest["created_at_utc"] = time
                by.files[MANIFEST] = writing.canonical(manifest)
            except ValueError:
                return
    return


def seal_prefix(by: Attacker, signer: Signer) -> None:
    """With a key that once counted: a seal for the lines before some place."""
    lines = by.lines
    number = by.rng.randrange(1, len(lines) + 1)
    judged = KeyJudge({**by.files, LOG: joined(lines)})
    try:
        judged.read_log()
        judged.find_keys()
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    sealed = {
        **by.files,
        LOG: joined(lines[:number]),
        KEYS: written(judged.folds[number]),
    }
    for path in list(sealed):
        if path.endswith(".chk") and int("0" + path[-14:-4].lstrip("0")) > number:
            del sealed[path]
    root = writing.root_of(writing.entries_of(sealed))
    by.files[SIGNATURE] = writing.signature_text(signer, root, LATER.now())


def seal_anew(by: Attacker) -> None:
    """With a key that once counted: other files, under a seal for lines before some place."""
    assert by.stolen is not None
    if by.rng.random() < 0.8:
        by.rng.choice([edit_file, add_file, remove_file])(by)
    relist(by)
    seal_prefix(by, by.stolen)
    by.finished = True


def foreign_of(keys: list[Signer], rng: random.Random, judged: bool) -> History:
    """Another vault with the same keys, by the Python writer, as a successor of this one is."""
    owner = PaperOwner(rng, judged)
    owner.begin(keys=keys[:2])
    return live(owner, rng, rotation=rng.choice(["no", "null"]), target=rng.randint(4, 12))


def copy_of(history: History, rng: random.Random, judged: bool) -> History:
    """Another copy of the vault, which went on by itself from some state at rest."""
    start = rng.choice(history.rest[:-1] or history.rest)
    owner = PaperOwner(rng, judged)
    copy = owner.take(start, history.keys)
    return live(owner, rng, rotation="no", target=len(copy.current[LOG].splitlines()) + 5)
