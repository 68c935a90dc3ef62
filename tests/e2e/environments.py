"""Makes environments of every kind and goes the road of the plugin contract in each.

    python tests/e2e/environments.py WHEELS DIRECTORY [KIND...]

``WHEELS`` holds the project's wheel and those it needs. Everything is made in ``DIRECTORY``, which is
emptied first. Each Python from 3.10 on is used that is on ``PATH`` or that pyenv has; pipx and uv are
fetched from the package registry where it can be reached. What cannot be made here is said to be left
out, with the reason. The exit code is 1 if the road failed anywhere.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import roads
from support import Provara

#: The oldest Python that the package takes.
OLDEST = (3, 10)


#: The variables of the caller that tools are given: among them where the certificates are.
KEPT = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")


class LeftOut(Exception):
    """The kind cannot be made here; the text says why."""


class Maker:
    """Makes the environments. Each method of a kind gives the executable that was installed."""

    def __init__(self, wheels: Path, directory: Path):
        self.wheels = wheels
        self.directory = directory
        (self.wheel,) = wheels.glob("provara_protocol-*.whl")
        self.road = roads.wheel(directory / "wheels")
        # The host needs none of the package's dependencies, and the wheels are of one Python alone.
        self.offline = ["--no-index", "--find-links", str(wheels), "--no-deps"]

    def run(self, *words: str | Path, **variables: str) -> str:
        """Runs a tool, in an environment that holds nothing of the caller's projects."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        done = subprocess.run(
            [str(word) for word in words],
            env={**kept, **variables},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            shown = " ".join(str(word) for word in words)
            raise RuntimeError(f"$ {shown}\n{done.stdout}{done.stderr}")
        return done.stdout

    def tool(self, name: str) -> Path:
        """A tool from the registry, in an environment of its own."""
        place = self.directory / "tools" / name
        if not place.exists():
            self.run(sys.executable, "-m", "venv", place)
            try:
                self.run(place / "bin" / "python", "-m", "pip", "install", "-q", name)
            except RuntimeError as error:
                shutil.rmtree(place)
                reason = str(error).strip().splitlines()[-1]
                raise LeftOut(f"{name} could not be fetched ({reason})") from None
        return place / "bin" / name

    def install(self, python: Path, *options: str | Path) -> None:
        """Installs the project and the package of the road with the pip of this script's Python."""
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        words = [
            *pip,
            "--python",
            python,
            "install",
            *self.offline,
            *options,
            self.wheel,
            self.road,
        ]
        self.run(*words)

    # The kinds ------------------------------------------------------------------------

    def venv(self, python: Path, place: Path) -> Path:
        """`python -m venv`: the interpreter is a link."""
        self.run(python, "-m", "venv", "--without-pip", place)
        self.install(place / "bin" / "python")
        return place / "bin" / "provara"

    def venv_copies(self, python: Path, place: Path) -> Path:
        """`python -m venv --copies`: the interpreter is a copy, and the library is not beside it."""
        self.run(python, "-m", "venv", "--without-pip", "--copies", place)
        self.install(place / "bin" / "python")
        return place / "bin" / "provara"

    def venv_of_venv(self, python: Path, place: Path) -> Path:
        """An environment made by the interpreter of another one, of which the first is a copy."""
        self.run(python, "-m", "venv", "--copies", place / "first")
        self.run(
            place / "first" / "bin" / "python", "-m", "venv", "--without-pip", place / "second"
        )
        self.install(place / "second" / "bin" / "python")
        return place / "second" / "bin" / "provara"

    def linked_files(self, python: Path, place: Path) -> Path:
        """Every file is a link to a store."""
        executable = self.venv(python, place / "venv")
        roads.link_files(roads.site_packages(place / "venv"), place / "store")
        return executable

    def linked_directories(self, python: Path, place: Path) -> Path:
        """Every package is a link to a directory elsewhere."""
        executable = self.venv(python, place / "venv")
        roads.link_directories(roads.site_packages(place / "venv"), place / "pool")
        return executable

    def linked_executable(self, python: Path, place: Path) -> Path:
        """The executable is started by a link outside of the environment."""
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "provara").symlink_to(self.venv(python, place / "venv"))
        return place / "bin" / "provara"

    def prefix(self, python: Path, place: Path) -> Path:
        """A prefix made by hand, as conda makes them: interpreter, library and packages in one."""
        schemes = self.run(python, "-c", "import sysconfig as s; print(*s.get_scheme_names())")
        if "posix_local" in schemes.split():
            raise LeftOut("Debian's Python installs beside its prefix, and not into it")
        says = "import json, sys, sysconfig as s; print(json.dumps([sys.base_prefix, s.get_path('stdlib')]))"
        base, library = (Path(path) for path in json.loads(self.run(python, "-c", says)))
        (place / "bin").mkdir(parents=True)
        binary = Path(os.path.realpath(python))
        shutil.copy2(binary, place / "bin" / binary.name)
        (place / "bin" / "python3").symlink_to(binary.name)
        unused = shutil.ignore_patterns(
            "site-packages", "dist-packages", "test", "tests", "config-*"
        )
        target = place / library.relative_to(base)
        shutil.copytree(library, target, ignore=unused)
        (target / "site-packages").mkdir()
        self.install(place / "bin" / "python3", "--prefix", place)
        return place / "bin" / "provara"

    def system_packages(self, python: Path, place: Path) -> Path:
        """The package of the road lies in the base, the project in an environment that takes it."""
        self.prefix(python, place / "base")
        base = place / "base" / "bin" / "python3"
        self.run(base, "-m", "venv", "--without-pip", "--system-site-packages", place / "venv")
        self.install(
            place / "venv" / "bin" / "python", "--ignore-installed", "--no-deps", self.wheel
        )
        for left in roads.site_packages(place / "venv").glob("road_plugins*"):
            shutil.rmtree(left)
        return place / "venv" / "bin" / "provara"

    def user_site(self, python: Path, place: Path) -> Path:
        """The user's own packages, below the home of the road."""
        home = place / "home"
        version = self.run(python, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])")
        executable = self.venv(python, place / "venv")
        site = home / ".local" / "lib" / version.strip() / "site-packages"
        site.mkdir(parents=True)
        for entry in list(roads.site_packages(place / "venv").glob("road_plugins*")):
            entry.rename(site / entry.name)
        config = place / "venv" / "pyvenv.cfg"
        text = config.read_text().replace("packages = false", "packages = true")
        config.write_text(text)
        return executable

    def pipx(self, python: Path, place: Path) -> Path:
        """`pipx install` and `pipx inject`."""
        tool = self.tool("pipx")
        variables = {
            "PIPX_HOME": str(place / "pipx"),
            "PIPX_BIN_DIR": str(place / "bin"),
            # It fetches a pip of its own besides.
            "PIP_FIND_LINKS": str(self.wheels),
        }
        self.run(tool, "install", "--python", python, self.wheel, **variables)
        self.run(tool, "inject", "provara-protocol", self.road, **variables)
        return place / "bin" / "provara"

    def uv(self, python: Path, place: Path, mode: str) -> Path:
        tool = self.tool("uv")
        cache = {"UV_CACHE_DIR": str(place / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
        self.run(tool, "venv", "--python", python, place / "venv", **cache)
        words: list[str | Path] = ["pip", "install", "--link-mode", mode, *self.offline]
        target: list[str | Path] = ["--python", place / "venv" / "bin" / "python"]
        self.run(tool, *words, *target, self.wheel, self.road, **cache)
        return place / "venv" / "bin" / "provara"

    def uv_symlink(self, python: Path, place: Path) -> Path:
        """`uv pip install --link-mode symlink`."""
        return self.uv(python, place, "symlink")

    def uv_hardlink(self, python: Path, place: Path) -> Path:
        """`uv pip install`, by its default."""
        return self.uv(python, place, "hardlink")

    def uv_tool(self, python: Path, place: Path) -> Path:
        """`uv tool install --with`."""
        tool = self.tool("uv")
        variables = {
            "UV_CACHE_DIR": str(place / "cache"),
            "UV_TOOL_DIR": str(place / "tools"),
            "UV_TOOL_BIN_DIR": str(place / "bin"),
            "UV_PYTHON_DOWNLOADS": "never",
        }
        words: list[str | Path] = [
            "tool",
            "install",
            "--python",
            python,
            "--find-links",
            self.wheels,
            "--with",
            self.road,
        ]
        self.run(tool, *words, self.wheel, **variables)
        return place / "bin" / "provara"

    def uvx(self, python: Path, place: Path) -> Path:
        """`uvx --from … --with …`: an environment in uv's cache, which every run finds again."""
        tool = self.tool("uv").with_name("uvx")
        certificates = {name: os.environ[name] for name in KEPT[3:] if name in os.environ}
        variables = {
            "UV_CACHE_DIR": str(place / "cache"),
            "UV_PYTHON_DOWNLOADS": "never",
            **certificates,
        }
        words: list[str | Path] = [
            tool,
            "--quiet",
            "--python",
            python,
            "--find-links",
            self.wheels,
            "--from",
            self.wheel,
            "--with",
            self.road,
            "provara",
        ]
        executable = self.script(place, "env", words, variables)
        self.run(executable, "--version")
        return executable

    def dist_packages(self, python: Path, place: Path) -> Path:
        """Debian's own Python, with everything in `/usr/local/lib/python3.X/dist-packages`."""
        return self.over_usr_local(python, place, Path("/usr/local/bin/provara"))

    def dist_packages_venv(self, python: Path, place: Path) -> Path:
        """The road's package in Debian's `dist-packages`, the project in an environment over it."""
        self.run(python, "-m", "venv", "--without-pip", "--system-site-packages", place / "venv")
        self.install(
            place / "venv" / "bin" / "python", "--ignore-installed", "--no-deps", self.wheel
        )
        for left in roads.site_packages(place / "venv").glob("road_plugins*"):
            shutil.rmtree(left)
        return self.over_usr_local(python, place, place / "venv" / "bin" / "provara")

    def over_usr_local(self, python: Path, place: Path, executable: Path) -> Path:
        """Installs as Debian's pip does, and starts `executable` where that lies over `/usr/local`.

        The machine's own `/usr/local` stays as it is: what is installed is seen in a private mount alone.
        """
        schemes = self.run(python, "-c", "import sysconfig as s; print(*s.get_scheme_names())")
        if "posix_local" not in schemes.split():
            raise LeftOut("it is not Debian's Python")
        install: list[str | Path] = [
            python,
            *("-m", "pip", "--disable-pip-version-check", "--quiet", "install"),
            *("--root", place / "root", "--break-system-packages"),
            *self.offline,
        ]
        try:
            self.run(*install, self.wheel, self.road)
        except RuntimeError as error:
            raise LeftOut(f"Debian's pip cannot be used ({str(error).splitlines()[-1]})") from None
        lower = place / "root" / "usr" / "local"
        (dist_packages,) = lower.glob("lib/python3*/dist-packages")
        if not (dist_packages / "road_plugins").is_dir():
            raise RuntimeError(f"nothing lies in {dist_packages}")
        mount = f"mount -t overlay overlay -o lowerdir={lower}:/usr/local /usr/local"
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            raise LeftOut("only root can mount over /usr/local")
        inner = shlex.quote(f'{mount} && exec {shlex.quote(str(executable))} "$@"')
        script = self.script(place, f"exec unshare --mount /bin/sh -c {inner} sh", [], {})
        try:
            self.run(script, "--version")
        except RuntimeError as error:
            raise LeftOut(f"/usr/local cannot be mounted over ({error})") from None
        return script

    def script(
        self,
        place: Path,
        before: str,
        words: Sequence[str | Path],
        variables: Mapping[str, str],
    ) -> Path:
        """Writes an executable that runs these words with its own behind them."""
        path = place / "script" / "provara"
        path.parent.mkdir(parents=True)
        quoted = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        quoted += [shlex.quote(str(word)) for word in words]
        path.write_text(f'#!/bin/sh\n{before} {" ".join(quoted)} "$@"\n', "utf-8")
        path.chmod(0o755)
        return path


KINDS: dict[str, Callable[[Maker, Path, Path], Path]] = {
    "venv": Maker.venv,
    "venv-copies": Maker.venv_copies,
    "venv-of-venv": Maker.venv_of_venv,
    "linked-files": Maker.linked_files,
    "linked-directories": Maker.linked_directories,
    "linked-executable": Maker.linked_executable,
    "prefix": Maker.prefix,
    "system-packages": Maker.system_packages,
    "user-site": Maker.user_site,
    "pipx": Maker.pipx,
    "uv-symlink": Maker.uv_symlink,
    "uv-hardlink": Maker.uv_hardlink,
    "uv-tool": Maker.uv_tool,
    "uvx": Maker.uvx,
    "dist-packages": Maker.dist_packages,
    "dist-packages-venv": Maker.dist_packages_venv,
}

#: Kinds that say nothing new with a second Python.
ONCE = {"linked-executable", "user-site"}


def pythons() -> Iterator[tuple[str, Path]]:
    """Yield the interpreters from the oldest version on: those on ``PATH``, and pyenv's."""
    places = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True).stdout.strip()
        places += sorted(Path(root).glob("versions/*/bin"))
    says = "import sys; print(*sys.version_info[:3], sys._base_executable)"
    seen = set()
    for place in places:
        for name in ["python3", *(f"python3.{minor}" for minor in range(OLDEST[1], 20))]:
            if not os.access(place / name, os.X_OK):
                continue
            told = subprocess.run([place / name, "-c", says], capture_output=True, text=True)
            if told.returncode != 0:
                continue
            *version, executable = told.stdout.split()
            real = Path(os.path.realpath(executable))
            if tuple(map(int, version[:2])) >= OLDEST and real not in seen:
                seen.add(real)
                yield ".".join(version), Path(executable)


def main() -> int:
    wheels, directory, *wanted = sys.argv[1:]
    place = Path(directory).resolve()
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    maker = Maker(Path(wheels).resolve(), place)
    failed = 0
    done: set[str] = set()
    for version, python in sorted(pythons(), key=lambda found: [*map(int, found[0].split("."))]):
        for kind, make in KINDS.items():
            if (wanted and kind not in wanted) or (kind in ONCE and kind in done):
                continue
            there = place / version / kind
            began = time.monotonic()
            try:
                executable = make(maker, python, there)
                home = there / "home"
                doctor = roads.travel(Provara(executable, home), there / "road", "auto")
                seconds = f"{time.monotonic() - began:.0f} s"
                said = doctor.stdout.strip().splitlines()[-1]
                print(
                    f"{version:8} {kind:20} goes the road ({seconds}); doctor: {said}", flush=True
                )
                done.add(kind)
            except LeftOut as reason:
                print(f"{version:8} {kind:20} left out: {reason}", flush=True)
            except (RuntimeError, AssertionError, OSError) as error:
                failed += 1
                print(f"{version:8} {kind:20} FAILED\n{error}", flush=True)
            shutil.rmtree(there, ignore_errors=True)
    print(f"{failed} failed" if failed else "the road goes through every environment that was made")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
