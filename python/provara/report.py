"""The result of a verification, as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from provara.errors import InvalidEvidenceError

__all__ = ["Finding", "Report"]

#: How many findings the message of an exception shows.
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing that a verification found.

    Attributes:
        code: the code with its prefix, such as ``PROVARA_E003``.
        name: the name of the code, such as ``INVALID_SIGNATURE``.
        severity: ``"error"`` makes the vault invalid, ``"warning"`` does not.
        message: what was found, in words.
        event_id: the event at fault, if there is one.
        actor: the actor of that event.
        file: the file, relative to the vault.
        line: the line in the file, counted from 1.
        offset: the offset of the line's first byte.
        expected: what was expected, where two things were compared.
        found: what was found instead.
    """

    code: str
    name: str
    severity: Literal["error", "warning"]
    message: str
    event_id: str | None = None
    actor: str | None = None
    file: str | None = None
    line: int | None = None
    offset: int | None = None
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        place = self.file or "(vault)"
        if self.line is not None:
            place = f"{place}:{self.line}"
        return f"{self.code} {place} {self.message}"


@dataclass(frozen=True)
class Report:
    """What a verification found.

    Attributes:
        valid: whether nothing was found that makes the vault invalid.
        event_count: the number of lines of the log.
        findings: everything found, in the order of the log, then file by file.
        notes: what was counted and what was not checked.
    """

    valid: bool
    event_count: int
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the vault invalid."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that do not."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def raise_if_invalid(self) -> Report:
        """Return the report itself, if the vault is valid.

        Raises:
            provara.errors.InvalidEvidenceError: it is not; the message shows the first findings.
        """
        if self.valid:
            return self
        errors = self.errors
        lines = [f"the vault is invalid: {len(errors)} errors in {self.event_count} events"]
        lines += [f"  {finding}" for finding in errors[:_SHOWN]]
        if len(errors) > _SHOWN:
            lines.append(f"  ... and {len(errors) - _SHOWN} more")
        raise InvalidEvidenceError("\n".join(lines))

    @classmethod
    def _from_native(cls, report: dict[str, Any]) -> Report:
        names = Finding.__dataclass_fields__
        return cls(
            valid=report["valid"],
            event_count=report["event_count"],
            findings=tuple(
                Finding(**{key: value for key, value in finding.items() if key in names})
                for finding in report["findings"]
            ),
            notes=tuple(report["notes"]),
        )
