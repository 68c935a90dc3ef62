"""Refuses data in the two ways that the specification gives: a false result, an exception."""

from __future__ import annotations

from typing import Any


class FalseEventPlugin:
    name = "com.example.refuses.with_false"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        return False

    def cli_command(self) -> str | None:
        return None


class ExceptionEventPlugin:
    name = "com.example.refuses.with_exception"
    schema = {"type": "object"}

    def validate(self, data: dict[str, Any]) -> bool:
        raise ValueError("the amount is above the limit")

    def cli_command(self) -> str | None:
        return None
