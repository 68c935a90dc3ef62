"""The attackers, a short run: `make seal-attack` makes the long one.

They are worth something only if they get through where a rule is missing: so the oracle is made to
forget one rule at a time, and each time they must find it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attack
import oracle_line
import oracle_log
import oracle_seal
import pytest
from attack import BAD, Tally
from support import installed_executable

#: Attacks of the first class, and a quarter of it for each other.
RUNS = 400


def shown(tally: Tally) -> str:
    return "\n".join(
        f"{each.kind} [{each.seed}] {' '.join(each.steps)}: {each.judged}"
        for each in tally.found[:9]
    )


def test_the_attackers_against_the_executable() -> None:
    tally = attack.campaign(RUNS, list(attack.CLASSES), 1, installed_executable())
    assert not tally.found, shown(tally)
    # They do get as far as vaults that verify: earlier states, and what a crash leaves.
    through = ("earlier", "lagging", "cut-revocation")
    assert sum(tally.counts[group, outcome] for group in attack.CLASSES for outcome in through) > 0
    assert sum(tally.counts.values()) >= RUNS * 2


def test_the_attackers_against_the_page() -> None:
    tally = attack.campaign(RUNS, list(attack.CLASSES), 2, None)
    assert not tally.found, shown(tally)


# ------------------------------------------------------------- rules left out


def no_signature(patch: pytest.MonkeyPatch) -> None:
    """A vault without a seal is accepted, with a warning."""
    judge = oracle_seal.SealJudge.read_signature

    def lenient(self: Any) -> Any:
        statement = judge(self)
        self.out.errors = [each for each in self.out.errors if each[0] != "E014"]
        return statement

    patch.setattr(oracle_seal.SealJudge, "read_signature", lenient)


def any_seal(patch: pytest.MonkeyPatch) -> None:
    """A good signature of other content is accepted."""
    drop(patch, "find_standing", "E015")


def any_key(patch: pytest.MonkeyPatch) -> None:
    """A seal by a key that was revoked is accepted."""
    drop(patch, "find_standing", "E202")


def any_time(patch: pytest.MonkeyPatch) -> None:
    """`created_at_utc` may be anything."""
    drop(patch, "compare_times", "E012")


def drop(patch: pytest.MonkeyPatch, method: str, code: str) -> None:
    judge = getattr(oracle_seal.SealJudge, method)

    def lenient(self: Any, *arguments: Any) -> None:
        before = list(self.out.errors)
        judge(self, *arguments)
        self.out.errors = before + [
            each for each in self.out.errors[len(before) :] if each[0] != code
        ]

    patch.setattr(oracle_seal.SealJudge, method, lenient)


def any_revoked_key(patch: pytest.MonkeyPatch) -> None:
    """A key vouches for what stood before its revocation, though that names another seal or none."""
    patch.setattr(oracle_seal.SealJudge, "vouched", lambda self, *_: True)


def unnamed_seals(patch: pytest.MonkeyPatch) -> None:
    """What a line beyond the seal is bound to is not looked at."""
    patch.setattr(oracle_seal.SealJudge, "lowest", lambda self, name: 0)


def unordered_lines(patch: pytest.MonkeyPatch) -> None:
    """A line beyond the seal names it, and may follow any other."""

    def lenient(self: Any, name: str) -> int:
        seals = [(number, line.get("seal")) for number, line in enumerate(self.lines, 1)]
        return max([number for number, seal in seals if seal not in (None, name)], default=0)

    patch.setattr(oracle_seal.SealJudge, "lowest", lenient)


def unbound_redactions(patch: pytest.MonkeyPatch) -> None:
    """What is left of a redacted event may be anything."""
    judge = oracle_log.Judge.accepts

    def lenient(self: Any, *arguments: Any) -> bool:
        accepted = judge(self, *arguments)
        self.out.errors = [each for each in self.out.errors if each[0] != "E016"]
        return accepted

    patch.setattr(oracle_log.Judge, "accepts", lenient)
    any_seal(patch)


def phantoms(patch: pytest.MonkeyPatch) -> None:
    """Files that nothing lists are accepted."""
    drop(patch, "compare", "E302")


def any_signature(patch: pytest.MonkeyPatch) -> None:
    """The signature of an event is not checked, and neither what the seal covers."""
    patch.setattr(oracle_log, "signed_by", lambda line, public: True)
    any_seal(patch)


#: Each rule, the class of attackers that must find that it is missing, and their attacks.
RULES: list[tuple[Callable[[pytest.MonkeyPatch], None], str, int]] = [
    (no_signature, "current", 400),
    (any_seal, "current", 400),
    (any_key, "revoked-null", 800),
    (any_revoked_key, "revoked-null", 4000),
    (any_time, "current", 800),
    (unnamed_seals, "old", 2500),
    (unordered_lines, "old", 4000),
    (unbound_redactions, "current", 1500),
    (phantoms, "current", 600),
    (any_signature, "current", 800),
]


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    oracle_line.read_line.cache_clear()


@pytest.mark.parametrize(
    ("rule", "group", "runs"), RULES, ids=lambda it: getattr(it, "__name__", None)
)
def test_a_missing_rule_is_found(
    forgetful: pytest.MonkeyPatch,
    rule: Callable[[pytest.MonkeyPatch], None],
    group: str,
    runs: int,
) -> None:
    rule(forgetful)
    rng = random.Random(3)
    for _ in range(0, runs, attack.EACH):
        tally = attack.run_scene(group, f"{rng.random()}", attack.EACH, None)
        if any(each.kind in BAD for each in tally.found):
            return
    pytest.fail(f"{runs} attacks did not find that it is missing")


def test_findings_are_kept(tmp_path: Path, forgetful: pytest.MonkeyPatch) -> None:
    any_seal(forgetful)
    tally = attack.run_scene("current", "kept", 200, None)
    attack.keep(tally.found[:1], tmp_path)
    (place,) = tmp_path.iterdir()
    assert (place / "vault" / "manifest.json").is_file()
    assert (place / "before" / "manifest.json").is_file()
    assert (place / "what.txt").read_text().startswith("current\nkept #")
