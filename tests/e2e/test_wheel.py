"""The wheel: one for every CPython from 3.10 on, with the executable, the types and nothing else."""

from __future__ import annotations

import zipfile

from support import wheels


def test_the_wheel_is_for_every_python() -> None:
    (path,) = wheels().glob("provara_protocol-*.whl")
    _, version, interpreter, abi, _ = path.stem.split("-")
    assert (interpreter, abi) == ("cp310", "abi3")
    metadata, data = f"provara_protocol-{version}.dist-info", f"provara_protocol-{version}.data"
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        program = wheel.read(f"{data}/scripts/provara")
        tags = wheel.read(f"{metadata}/WHEEL").decode()
    assert "\nTag: cp310-abi3-" in tags and "\nRoot-Is-Purelib: false\n" in tags, tags
    assert {"provara/_native.abi3.so", "provara/_native.pyi", "provara/py.typed"} <= names
    assert not program.startswith(b"#!"), "a native program, which no .pth file precedes"
    assert {name.split("/")[0] for name in names} == {"provara", metadata, data}
