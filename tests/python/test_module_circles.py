"""The checks of circles and layers, on made-up crates: what counts, and what does not fool them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "module_circles.py"

# The two files `a` and `b` of a crate. In each pair `a` needs `b`; whether `b` needs `a` is the question.
NEEDS_B = "use crate::b::B; pub struct A; pub const LIMIT: usize = 1;"
ROOT = "mod a; mod b;"

#: A file that gives a type of another file a method.
WRITES = "use crate::b::B; impl B { pub fn write(&self) {} }"

CIRCLES = {
    "use": {"b": "use crate::a::A; pub struct B;"},
    "path": {"b": "pub struct B; fn f() -> usize { crate::a::LIMIT }"},
    "super": {"b": "pub struct B; fn f() -> usize { super::a::LIMIT }"},
    "braces": {"b": "use crate::{a::{self, A}}; pub struct B;"},
    "renamed": {"b": "use crate::a as other; pub struct B; fn f() -> other::A { other::A }"},
    "module, then a path": {"b": "use crate::a; pub struct B; fn f() -> a::A { a::A }"},
    "glob": {"b": "use crate::a::*; pub struct B; fn f() -> A { A }"},
    "glob of the root": {"root": "mod a; mod b; use a::A;", "b": "use super::*; pub struct B(A);"},
    "re-export": {"root": "mod a; mod b; pub use a::A;", "b": "use crate::A; pub struct B;"},
    "re-export by a glob": {"root": "mod a; mod b; pub use a::*;", "b": "pub struct B(crate::A);"},
    "re-export by a module": {
        "root": "mod a; mod b; mod c;",
        "b": "pub struct B(crate::c::Same);",
        "c": "pub use crate::a::A as Same;",
    },
    "module in the file": {"b": "pub struct B; mod inner { fn f(_: super::super::a::A) {} }"},
    "in a function": {"b": "pub struct B; fn f() { use crate::a::A; }"},
    "macro": {
        "a": "use crate::b::B; macro_rules! same { () => {} }",
        "b": "pub struct B; same!();",
    },
    "inside of a macro": {"b": "pub struct B; macro_rules! m { () => { $crate::a::LIMIT } }"},
    "attribute": {
        "b": "#[derive(Args)] pub struct B { #[arg(value_parser = crate::a::read)] x: u8 }"
    },
    "text in an attribute": {"b": '#[serde(with = "crate::a")] pub struct B;'},
    "method": {
        "a": WRITES,
        "b": "pub struct B; fn f(b: &B) { b.write() }",
    },
    "method of the type itself": {
        "a": WRITES,
        "b": "pub struct B; impl B { fn f(&self) { self.write() } }",
    },
    "function of a type": {
        "a": "impl crate::b::B { pub fn new() {} }",
        "b": "pub struct B; fn f() { B::new() }",
    },
    "after the tests": {
        "b": "pub struct B; #[cfg(test)] mod tests { const X: char = '}'; } fn f(_: crate::a::A) {}"
    },
    "after texts": {
        "b": 'pub struct B; const T: (&str, &str, char) = ("/*", r#""{"#, \'"\');'
        " fn f<'a>(_: &'a crate::a::A) {}"
    },
    "item of the root": {
        "root": "mod a; mod b; use a::A; pub struct R;",
        "a": "use crate::b::B;",
        "b": "use crate::R;",
    },
    "not only for tests": {"b": '#[cfg(any(test, feature = "x"))] use crate::a::A; pub struct B;'},
}

NO_CIRCLES = {
    "one way": {"b": "pub struct B;"},
    "comments": {
        "b": "//! See [`crate::a::A`].\n/* crate::a::A /* */ crate::a::A */ pub struct B;"
    },
    "text": {"b": 'pub struct B; const T: &str = "crate::a::A"; const R: &str = r"crate::a::A";'},
    "tests": {"b": "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"},
    "a test's use": {"b": "#[cfg(test)] use crate::{a::A}; pub struct B;"},
    "a file of tests": {
        "b": "pub struct B; #[cfg(test)] mod tests;",
        "b/tests": "use crate::a::A;",
    },
    "a child and its parent": {
        "b": "mod below; pub struct B; use below::f;",
        "b/below": "pub fn f(_: super::B) {}",
    },
    "another crate": {"b": "use ::a::A; pub struct B; fn f() { std::a::A; }"},
    "a field": {"b": "pub struct B { a: u8 } fn f(b: B) -> u8 { b.a }"},
    "a method that others have too": {
        "a": WRITES,
        "b": "pub struct B; pub struct C; impl C { fn write(&self) {} } fn f(c: &C) { c.write() }",
    },
    "a method of another crate": {
        "a": WRITES,
        "b": "pub struct B; fn f(file: &File) { file.write() }",
    },
    "a second instance of a file": {"b": '#[path = "a.rs"] mod c; pub struct B;'},
    "a second instance for tests": {"b": '#[cfg(test)] #[path = "a.rs"] mod c; pub struct B;'},
    "what the root hands on": {
        "root": "mod a; mod b; pub use b::B;",
        "a": "use crate::B;",
        "b": "pub struct B;",
    },
}

NOT_FOLLOWED = {
    "a file that a path alone declares": {"b": '#[path = "c.rs"] mod c; pub struct B;', "c": ""},
    "the path of an inline module": {"b": '#[path = "c"] mod c { mod d; } pub struct B;'},
    "a path in a condition": {"b": '#[cfg_attr(unix, path = "a.rs")] mod c; pub struct B;'},
    "include": {"b": 'pub struct B; include!("a.rs");'},
    "no mod": {"b": "pub struct B;", "c": "use crate::a::A;"},
    "no file": {"b": "mod gone; pub struct B;"},
}


def examined(root: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What the script says of a workspace with one crate of these files."""
    for name, text in ({"root": ROOT, "a": NEEDS_B} | files).items():
        path = root / "crates" / "made-up" / "src" / ("lib.rs" if name == "root" else f"{name}.rs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, SCRIPT, root], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("files", CIRCLES.values(), ids=CIRCLES)
def test_a_circle_is_found(files: dict[str, str], tmp_path: Path) -> None:
    done = examined(tmp_path, files)
    assert done.returncode == 1
    assert "a circle of" in done.stderr
    assert "made-up/b" in done.stderr
    assert "    made-up/b -> made-up/" in done.stdout


@pytest.mark.parametrize("files", NO_CIRCLES.values(), ids=NO_CIRCLES)
def test_no_circle_is_made_up(files: dict[str, str], tmp_path: Path) -> None:
    done = examined(tmp_path, files)
    assert (done.returncode, done.stderr) == (0, "")
    assert "circles: none" in done.stdout


def test_names_of_files_above_are_told(tmp_path: Path) -> None:
    done = examined(tmp_path, NO_CIRCLES["a child and its parent"])
    assert "(not counted: 1 from a child to a file above it)" in done.stdout


@pytest.mark.parametrize("files", NOT_FOLLOWED.values(), ids=NOT_FOLLOWED)
def test_what_cannot_be_followed_is_an_error(files: dict[str, str], tmp_path: Path) -> None:
    done = examined(tmp_path, files)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: crates/made-up: ")


def listed(root: Path, allowed: str) -> subprocess.CompletedProcess[str]:
    """What the check says of that workspace with another list."""
    code = f"import module_circles as m, pathlib, sys; print(m.check(pathlib.Path(sys.argv[1]), {allowed}))"
    return subprocess.run(
        [sys.executable, "-c", code, root],
        cwd=SCRIPT.parent,
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_listed_circle_is_none(tmp_path: Path) -> None:
    examined(tmp_path, CIRCLES["use"])
    done = listed(tmp_path, "{frozenset({'made-up/a', 'made-up/b'}): 'each is told of the other'}")
    assert "listed: each is told of the other" in done.stdout
    assert done.stdout.endswith("\n[]\n")


def test_a_list_is_kept_true(tmp_path: Path) -> None:
    examined(tmp_path, NO_CIRCLES["one way"])
    done = listed(tmp_path, "{frozenset('abcd'): ''}")
    assert "'listed, but no circle: a, b, c, d'" in done.stdout
    assert "'listed, but longer than 3 files: a, b, c, d'" in done.stdout
    assert "'listed without a reason: a, b, c, d'" in done.stdout


LAYERS = """\
### Inside `provara-made`

From the bottom up.

| module | |
| --- | --- |
| `b` | |
| `a` | |

## More
"""


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (LAYERS, ""),
        (
            LAYERS.replace("`a` | |", "`c` | |").replace("`b`", "`a`").replace("`c`", "`b`"),
            "a uses b, which is above it: crate::b::B",
        ),
        (LAYERS.replace("| `a` | |\n", ""), "no row of ARCHITECTURE.md names a"),
        (LAYERS.replace("`a`", "`a`, `z`"), "a row of ARCHITECTURE.md names z, which is not there"),
    ],
    ids=["as stated", "upwards", "not stated", "not there"],
)
def test_layers_are_those_of_the_page(page: str, said: str, tmp_path: Path) -> None:
    examined(tmp_path, NO_CIRCLES["one way"])
    (tmp_path / "crates" / "made-up").rename(tmp_path / "crates" / "provara-made")
    (tmp_path / "ARCHITECTURE.md").write_text(page, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, SCRIPT.with_name("module_layers.py"), tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"provara-made: 3 files in {page.count('| |') - 1} layers\n"
    expected = f"ERROR: provara-made: {said}\n" if said else ""
    assert (done.returncode, done.stderr) == (bool(said), expected)
