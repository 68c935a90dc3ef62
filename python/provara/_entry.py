"""What is started as a Python program: ``python -m provara``, and the older tool's MCP server.

The executable does everything; here it is only found and takes this process's place.  Nothing of this
package is imported but the version, and no plugin is loaded.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

#: The request is wrong, and it could not be done: exit codes of the executable.
_USAGE, _COULD_NOT = 2, 3


def _executable() -> Path | None:
    """Find the executable that was installed with this package: never one of another installation."""
    names = ["provara.exe"] if os.name == "nt" else ["provara"]
    places = [Path(sysconfig.get_path("scripts")), Path(sys.executable).parent]
    user = sysconfig.get_preferred_scheme("user")
    places.append(Path(sysconfig.get_path("scripts", user)))
    for place in places:
        for name in names:
            found = place / name
            # A script of the older package is no native executable.
            if found.is_file() and os.access(found, os.X_OK) and not _is_script(found):
                return found
    return None


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _fail(code: int, message: str, fix: str) -> NoReturn:
    print(f"ERROR: {message}\nFix: {fix}", file=sys.stderr)
    raise SystemExit(code)


def _become(arguments: list[str]) -> NoReturn:
    executable = _executable()
    if executable is None:
        _fail(
            _COULD_NOT,
            f"The executable 'provara' is not beside this Python ({sys.executable}).",
            f"Install the package again: {sys.executable} -m pip install --force-reinstall "
            "provara-protocol",
        )
    try:
        os.execv(executable, [str(executable), *arguments])
    except OSError as error:
        _fail(
            _COULD_NOT,
            f"'{executable}' could not be started: {error.strerror}.",
            f"Check it: ls -l {executable}",
        )


def main() -> NoReturn:
    """Become the executable: what ``python -m provara`` does."""
    _become(sys.argv[1:])


def mcp() -> NoReturn:
    """Become ``provara mcp``: what ``provara-mcp`` and ``python -m provara.mcp`` do.

    The older server had no vault of its own: its clients named one in each call.  This one serves the
    vaults that it is started with, so a configuration for the older one has to be changed, and is told how.
    """
    arguments = sys.argv[1:]
    if any(word == "--vault" or word.startswith("--vault=") for word in arguments) or (
        arguments and arguments[0] in ("--help", "-h", "install")
    ):
        _become(["mcp", *arguments])
    _fail(
        _USAGE,
        "The server of version 1.0 is gone: the one that is here serves the vaults that it is "
        "started with, and none was named.",
        "Let the client start: provara mcp --vault DIR; 'provara mcp install --help' shows how that is "
        "written into the client's configuration.",
    )
