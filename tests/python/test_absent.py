"""What is said of files that are not there where the sandbox answers for the system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from provara.plugins import _absent


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    there, absent, link = tmp_path / "there", tmp_path / "absent", tmp_path / "link"
    there.touch()
    link.symlink_to("absent")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        for event, more in (("os.utime", (None, None)), ("os.chmod", (0o600,))):
            for path in (str(there), os.fsencode(there), str(link)):
                _absent._look(event, (path, *more, -1))
            _absent._look(event, ("there", *more, directory))
            _absent._look(event, (directory, *more, -1))
            for path in (str(absent), os.fsencode(absent)):
                with pytest.raises(FileNotFoundError):
                    _absent._look(event, (path, *more, -1))
            with pytest.raises(FileNotFoundError):
                _absent._look(event, ("absent", *more, directory))
    finally:
        os.close(directory)
    _absent._look("os.remove", (str(absent), -1))
