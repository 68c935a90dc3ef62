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
    if target in vault.parents:
        raise UsageError(f"'{given}' holds the vault, which an export does not replace")
    _refuse_existing(target, force)
    try:
        directory = Path(tempfile.mkdtemp(prefix=".provara-export-", dir=target.parent))
    except OSError as error:
        raise VaultError(f"cannot write to '{target.parent}': {error.strerror or error}") from error
    try:
        staging = Staging(directory / target.name, target)
        yield staging
        _refuse_existing(target, force)
        _move(staging.path, target, directory, force)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _refuse_existing(target: Path, force: bool) -> None:
    if not os.path.lexists(target):
        return
    if not force:
        raise UsageError(
            f"'{target}' exists already\nFix: Choose another path, or pass force=True."
        )
    if target.is_symlink() or not (target.is_file() or target.is_dir()):
        raise UsageError(f"'{target}' is neither a file nor a directory, and is not replaced")


def _move(source: Path, target: Path, directory: Path, force: bool) -> None:
    """Rename ``source`` to ``target``; what stood there is removed with ``directory``."""
    if source.is_symlink():
        raise UsageError("an export must write a file or a directory of its own, not a link")
    if source.is_file():
        _sync(source)
        if not force:
            # Unlike a rename, a link never replaces a file that came into being meanwhile.
            try:
                os.link(source, target)
                return
            except FileExistsError:
                _refuse_existing(target, force)
            except OSError:
                pass  # a file system without links: the rename below is the next best
    if target.is_dir() or (source.is_dir() and target.exists()):
        # A directory cannot be replaced in one step: the old one is moved aside first, and back
        # if the second step fails.
        aside = directory / ".replaced"
        os.replace(target, aside)
        try:
            os.replace(source, target)
        except OSError:
            os.replace(aside, target)
            raise
        return
    os.replace(source, target)


def _sync(path: Path) -> None:
    """Write a file through to the disk, so that its new name never points at less than all."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
