"""Writing an output beside its target and moving it into place when it is complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from provara.errors import UsageError, VaultError


class Staging(NamedTuple):
    """Where an output is written, and where it goes."""

    path: Path
    target: Path


@contextmanager
def staged(output: str | os.PathLike[str], *, vault: Path, force: bool) -> Iterator[Staging]:
    """Offer a private path beside ``output``; move what is there into place at the end.

    If the block raises, the target stays as it was and nothing is left behind.

    Args:
        output: the target: a file or a directory, outside the vault.
        vault: the directory of the vault.
        force: replace a target that exists.

    Raises:
        provara.errors.UsageError: the target exists, or lies inside the vault.
        provara.errors.VaultError: there is no directory to write into.
    """
    given = Path(output)
    try:
        # The directory is resolved, the last component is not: a link there is replaced itself.
        target = given.parent.resolve(strict=True) / given.name
    except OSError as error:
        raise VaultError(f"cannot write to '{given}': {error.strerror or error}") from error
    if not given.name or given.name in (".", ".."):
        raise UsageError(f"'{given}' does not name a file")
    if target == vault or vault in target.parents:
        raise UsageError(f"'{given}' lies inside the vault, which an export does not change")
    _refuse_existing(target, force)
    try:
        directory = Path(tempfile.mkdtemp(prefix=".provara-export-", dir=target.parent))
    except OSError as error:
        raise VaultError(f"cannot write to '{target.parent}': {error.strerror or error}") from error
    try:
        staging = Staging(directory / target.name, target)
        yield staging
        _refuse_existing(target, force)
        _move(staging.path, target, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _refuse_existing(target: Path, force: bool) -> None:
    if not force and os.path.lexists(target):
        raise UsageError(
            f"'{target}' exists already\nFix: Choose another path, or pass force=True."
        )


def _move(source: Path, target: Path, directory: Path) -> None:
    """Rename ``source`` to ``target``; what stood there is removed with ``directory``."""
    both_files = not source.is_dir() and not (target.is_dir() and not target.is_symlink())
    if both_files or not os.path.lexists(target):
        os.replace(source, target)
        return
    # A directory cannot be replaced in one step: the old one is moved aside first, and back if
    # the second step fails.
    aside = directory / ".replaced"
    os.replace(target, aside)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(aside, target)
        raise
