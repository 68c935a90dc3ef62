#!/usr/bin/env python3
"""Prints the circles among the files inside each crate, and fails on one that is not listed.

A file depends on another one where its code names something in it: by a path, through a `use` that
renames, re-exports or is a glob (a re-export counts for both files, the one that is named and the
one that is meant), through a macro, or, where an `impl` stands outside of the type's module, as
`Type::function`, as `a_type.method()` or as `self.method()` in another `impl` of the type. Modules inside a
file belong to the file. Code for tests does not count.

Not counted is what a child names in the modules above it: `a/b.rs` is a part of `a.rs` and may use
what is private there. Only the crate's root counts like any other file; it is above everything and
would make every circle disappear.

Not seen are what derives and macros of other crates write, the methods of traits, and a method of an
`impl` elsewhere whose name several types of the crate use, or that is called on a value that is not named
after its type.
What the script cannot follow (`#[path]` but at a second `mod` for a file, `include!`, `extern crate`) and a
file that no `mod` declares are errors. What code names by such a second `mod` is not followed.

Usage: scripts/module_circles.py [directory of the workspace]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ALLOWED: dict[frozenset[str], str] = {}
"""The honest recursions: the files of a circle ("crate/path/of/module"), and why it is one."""

LONGEST = 3
"""The most files that a listed circle may have."""

TOKEN = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*)
    | (?P<comment>/\*)
    | (?:b|c)?r(?P<hashes>\#*)"(?P<raw>.*?)"(?P=hashes)
    | (?:b|c)?"(?P<text>(?:\\.|[^"\\])*)"
    | (?P<char>b?'(?:\\(?:u\{[^}]*\}|x[0-9a-fA-F]{2}|.)|[^'\\])')
    | (?P<lifetime>'\w+)
    | (?P<name>(?:r\#)?[^\W\d]\w*)
    | (?P<number>\d\w*)
    | (?P<sign>::|->|=>|.)
    """,
    re.DOTALL | re.VERBOSE,
)
COMMENT_EDGE = re.compile(r"/\*|\*/")
NAME = re.compile(r"[^\W\d]\w*\Z")
PATH_IN_TEXT = re.compile(r'"\w+(::\w+)+\Z')
ITEMS = frozenset({"fn", "struct", "enum", "trait", "type", "const", "static", "union"})
KEYWORDS = ITEMS - {"union"} | {
    *("as", "async", "await", "break", "continue", "dyn", "else", "extern", "false", "for", "if"),
    *("impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "true"),
    *("unsafe", "use", "where", "while"),
}
WITH_SEMICOLON = frozenset({"use", "const", "static", "type", "let"})
WITH_BRACES = frozenset({"fn", "struct", "enum", "trait", "impl", "mod", "union", "macro_rules"})
MODIFIED = frozenset({"fn", "unsafe", "async", "extern"})
"""What may come after the `const` of a function."""
OPEN, CLOSE = frozenset("([{"), frozenset(")]}")

Name = tuple[str, ...]
Seen = frozenset[tuple[Name, Name]]
Graph = dict[Name, dict[Name, str]]
"""For each file the files that it depends on, each with a name that shows it."""


class Problem(Exception):
    """Something in a crate that cannot be followed."""


@dataclass
class Module:
    """A module: a whole file (then `name` is `file`), or one inside of a file."""

    name: Name
    file: Name
    parent: Module | None
    children: dict[str, Module] = field(default_factory=dict)
    items: set[str] = field(default_factory=set)
    imports: dict[str, list[Name]] = field(default_factory=dict)
    globs: list[Name] = field(default_factory=list)
    paths: set[Name] = field(default_factory=set)
    calls: set[tuple[str, str]] = field(default_factory=set)
    """The methods that are called: the name before the dot, and the method's."""
    macros: set[str] = field(default_factory=set)
    methods: list[tuple[Name, str]] = field(default_factory=list)
    """The functions in `impl` and `trait` blocks: the type as it is written there, and the name."""


@dataclass
class Crate:
    """The modules of a crate, the root first."""

    modules: list[Module] = field(default_factory=list)
    macros: dict[str, Name] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)
    """Every file that a `mod` declares, those for tests included."""


def tokens_of(text: str) -> list[str]:
    """The tokens of Rust code. A text is kept behind a quote, because attributes have paths in it."""
    found: list[str] = []
    at = 0
    while match := TOKEN.match(text, at):
        at = match.end()
        if match["comment"]:
            depth = 1
            while depth:
                edge = COMMENT_EDGE.search(text, at)
                if edge is None:
                    raise Problem("a comment does not end")
                depth += 1 if edge.group() == "/*" else -1
                at = edge.end()
        elif match["text"] is not None or match["raw"] is not None:
            found.append('"' + (match["text"] or match["raw"] or ""))
        elif match["name"] or match["sign"]:
            found.append(match.group().removeprefix("r#"))
        elif match["number"]:
            found.append("0")
    return found


def closing(tokens: list[str], at: int) -> int:
    """The place of the bracket that closes the one at `at`."""
    depth = 0
    for place in range(at, len(tokens)):
        depth += (tokens[place] in OPEN) - (tokens[place] in CLOSE)
        if depth == 0:
            return place
    raise Problem("a bracket is not closed")


def after_item(tokens: list[str], at: int) -> int:
    """The place after the item, field, arm or statement that starts at `at`."""
    kind = ""
    for word, following in zip(tokens[at : at + 8], tokens[at + 1 : at + 9], strict=False):
        if word in "{;=,:" or kind:
            break
        if word in WITH_BRACES or (word in WITH_SEMICOLON and following not in MODIFIED):
            kind = word
    semicolon, braces = kind in WITH_SEMICOLON, kind in WITH_BRACES
    while at < len(tokens) and tokens[at] not in CLOSE:
        if tokens[at] == ";" or (tokens[at] == "," and not (braces or semicolon)):
            return at + 1
        if tokens[at] in OPEN:
            last = tokens[at] == "{" and not semicolon
            at = closing(tokens, at)
            if last:
                return at + 1
        at += 1
    return at


def only_for_tests(attribute: list[str]) -> bool:
    """Whether an attribute leaves what it stands on out of everything but tests."""
    words = "".join(attribute)
    return words in ("test", "cfg(test)") or words.startswith("cfg(all(test,")


def leaves(tokens: list[str], head: Name = ()) -> Iterator[tuple[Name, str]]:
    """The paths of a `use`, each with the name that it is known by afterwards (`*`: a glob)."""
    start = 0
    while start < len(tokens):
        path, at, known = head, start, ""
        while at < len(tokens) and tokens[at] != ",":
            word = tokens[at]
            if word == "{":
                end = closing(tokens, at)
                yield from leaves(tokens[at + 1 : end], path)
                at, known = end, "{"
            elif word == "as":
                at, known = at + 1, tokens[at + 1]
            elif word == "*":
                known = "*"
            elif word == "::" and not path:
                path = ("::",)
            elif NAME.match(word) and not (word == "self" and path):
                path = (*path, word)
            at += 1
        if path and known != "{":
            yield path, known or path[-1]
        start = at + 1


class Reader:
    """Reads one file into its modules, and the files that it declares."""

    def __init__(self, crate: Crate, module: Module, path: Path, below: Path) -> None:
        self.crate, self.below = crate, below
        self.tokens = [*tokens_of(path.read_text(encoding="utf-8")), "", "", ""]
        self.end = len(self.tokens) - 3
        crate.files.add(path)
        self.items(module, 0, self.end)

    def items(self, module: Module, at: int, end: int) -> None:
        """Reads what stands directly in a module."""
        self.crate.modules.append(module)
        tokens = self.tokens
        while at < end:
            word, following = tokens[at], tokens[at + 1]
            if word == "#":
                at = self.attribute(module, at)
            elif word == "use":
                at = self.use(module, at)
            elif word == "mod" and NAME.match(following):
                at = self.declaration(module, at)
            elif word == "macro_rules":
                self.crate.macros[tokens[at + 2]] = module.file
                at = self.code(module, at + 3, closing(tokens, at + 3) + 1)
            elif word == "impl":
                at = self.implementation(module, at)
            elif word in ITEMS and NAME.match(following) and following not in KEYWORDS:
                module.items.add(following)
                after = after_item(tokens, at)
                if word == "trait":
                    self.functions(module, ("trait", following), at, after)
                at = self.code(module, at + 2, after)
            elif following == "!" and NAME.match(word):
                at = self.code(module, at, closing(tokens, at + 2) + 1)
            elif word == "extern" and following == "crate":
                raise Problem("`extern crate` cannot be followed")
            else:
                at += 1

    def declaration(self, module: Module, at: int, tests: bool = False) -> int:
        """Reads `mod name;` or `mod name { ... }`."""
        name, mark = self.tokens[at + 1 : at + 3]
        inside = mark == "{"
        child_name = (*module.name, name)
        child = Module(child_name, module.file if inside else child_name, module)
        if not tests:
            module.children[name] = child
        if inside:
            end = closing(self.tokens, at + 2)
            self.items(child, at + 3, end)
            return end + 1
        below = self.below.joinpath(*module.name[len(module.file) :])
        for path in (below / f"{name}.rs", below / name / "mod.rs"):
            if path.is_file():
                Reader(
                    Crate(files=self.crate.files) if tests else self.crate,
                    child,
                    path,
                    below / name,
                )
                return at + 3
        raise Problem(f"`mod {name};` has no file in {below}")

    def implementation(self, module: Module, at: int) -> int:
        """Reads an `impl`."""
        tokens = self.tokens
        body = tokens.index("{", at)
        end = closing(tokens, body)
        self.code(module, at + 1, end)
        angles = 0
        kind: list[str] = []
        for word in tokens[at + 1 : body]:
            angles += (word == "<") - (word == ">")
            if word == "where":
                break
            if angles == 0 and NAME.match(word):
                kind.append(word)
        self.functions(module, ("trait",) if "for" in kind else tuple(kind), body, end)
        return end + 1

    def functions(self, module: Module, owner: Name, at: int, end: int) -> None:
        """Notes the functions of an `impl` or a `trait`."""
        at = self.tokens.index("{", at) + 1
        while at < end:
            if self.tokens[at] == "fn":
                module.methods.append((owner, self.tokens[at + 1]))
            at = closing(self.tokens, at) + 1 if self.tokens[at] == "{" else at + 1

    def use(self, module: Module, at: int) -> int:
        end = self.tokens.index(";", at)
        for path, known in leaves(self.tokens[at + 1 : end]):
            module.paths.add(path)
            if known == "*":
                module.globs.append(path)
            else:
                module.imports.setdefault(known, []).append(path)
        return end + 1

    def attribute(self, module: Module, at: int) -> int:
        """Reads an attribute, and passes over what it leaves to the tests."""
        tokens = self.tokens
        inner = tokens[at + 1] == "!"
        start = at + 1 + inner
        if tokens[start] != "[":
            return at + 1
        end = closing(tokens, start)
        words = tokens[start + 1 : end]
        if words[:2] == ["path", "="]:
            return self.past_another_instance(end + 1)
        if words[0] == "cfg_attr" and "path" in words:
            raise Problem("`#[path]` cannot be followed")
        if only_for_tests(words):
            return self.end if inner else self.past_tests(module, end + 1)
        for word in words:
            if PATH_IN_TEXT.match(word):
                module.paths.add(tuple(word[1:].split("::")))
        self.code(module, start + 1, end)
        return end + 1

    def past_another_instance(self, at: int) -> int:
        """The place after `mod name;` with a `#[path]`: a file that is compiled once more, over other types.

        What it depends on is read where a `mod` without one declares it; a file that none declares is an
        error.
        """
        tokens = self.tokens
        while tokens[at] == "#":
            at = closing(tokens, at + 1) + 1
        after = after_item(tokens, at)
        if tokens[after - 1] != ";" or tokens[after - 3] != "mod":
            raise Problem("`#[path]` can be followed at `mod name;` alone")
        return after

    def past_tests(self, module: Module, at: int) -> int:
        """The place after an item for tests. Where it is a file, that is known to be declared."""
        tokens = self.tokens
        while tokens[at] == "#":
            if tokens[at + 2 : at + 4] == ["path", "="]:
                return self.past_another_instance(at)
            at = closing(tokens, at + 1) + 1
        after = after_item(tokens, at)
        if tokens[after - 1] == ";" and tokens[after - 3] == "mod":
            self.declaration(module, after - 3, tests=True)
        return after

    def code(self, module: Module, at: int, end: int) -> int:
        """Reads the inside of an item: every path, macro and method."""
        tokens = self.tokens
        while at < end:
            word = tokens[at]
            if word == "#" and tokens[at + 1] in ("[", "!"):
                at = self.attribute(module, at)
            elif word == "use" and tokens[at + 1] != "<":
                at = self.use(module, at)
            elif word == "." and NAME.match(tokens[at + 1]) and tokens[at - 1] != ".":
                if tokens[at + 2] in ("(", "::"):
                    module.calls.add((tokens[at - 1], tokens[at + 1]))
                at += 2
            elif NAME.match(word) and word not in KEYWORDS:
                at = self.path(module, at)
            else:
                at += 1
        return max(at, end)

    def path(self, module: Module, at: int) -> int:
        tokens = self.tokens
        # After `::` comes the rest of a path of another crate, or of one with `<...>` in it.
        whole = tokens[at - 1] != "::"
        path = [tokens[at]]
        while tokens[at + 1] == "::" and NAME.match(tokens[at + 2]):
            path.append(tokens[at + 2])
            at += 2
        if tokens[at + 1] == "!" and tokens[at + 2] in OPEN:
            module.macros.add(path[-1])
            if path[-1] == "include":
                raise Problem("`include!` cannot be followed")
        # Alone, `crate`, `super` and `self` are a visibility or a value.
        if whole and path not in (["crate"], ["super"], ["self"]):
            module.paths.add(tuple(path))
        return at + 1


class Names:
    """Finds the modules that a path names."""

    def __init__(self, crate: Crate) -> None:
        self.root = crate.modules[0]
        self.methods: dict[tuple[Name, str, str], Module] = {}
        """Functions in an `impl` outside of their type's module."""
        self.called: dict[str, tuple[str, Module]] = {}
        """Those whose name no other type uses: the type, and where the `impl` is."""
        away: dict[tuple[Name, str, str], Module] = {}
        owners: dict[str, set[str]] = {}
        for module in crate.modules:
            for kind, function in module.methods:
                owners.setdefault(function, set()).add(kind[-1] if kind else "")
                for home in [] if kind[:1] == ("trait",) else self.resolve(module, kind):
                    below = module.file[: len(home.file)] == home.file
                    if kind[-1] in home.items and not (below and home.file):
                        away[home.name, kind[-1], function] = module
        self.methods = away
        for (_, owner, function), module in away.items():
            if owners[function] == {owner}:
                self.called[function] = (owner, module)

    def resolve(self, module: Module, path: Name, seen: Seen = frozenset()) -> list[Module]:
        """What a path goes through by re-exports, and last where it ends; nothing outside the crate."""
        if not path or (module.name, path) in seen:
            return []
        seen |= {(module.name, path)}
        first, rest = path[0], path[1:]
        if first == "crate":
            return self.inside(self.root, rest, seen)
        if first in ("self", "super"):
            place = module if first == "self" else module.parent
            while place is not None and rest[:1] in (("self",), ("super",)):
                place, rest = (place.parent if rest[0] == "super" else place), rest[1:]
            return [] if place is None else self.inside(place, rest, seen)
        return self.inside(module, path, seen) if self.knows(module, first, seen) else []

    def inside(self, module: Module, path: Name, seen: Seen) -> list[Module]:
        """What a path names that starts in a module."""
        if not path:
            return [module]
        name, rest = path[0], path[1:]
        if name in module.children and (rest or name not in module.items):
            return self.inside(module.children[name], rest, seen)
        if name in module.items:
            method = self.methods.get((module.name, name, rest[0])) if rest else None
            return [module, method] if method else [module]
        found: list[Module] = []
        for target in module.imports.get(name, []):
            found += self.resolve(module, (*target, *rest), seen)
        if not found:
            for source in self.through_glob(module, name, seen):
                found += self.inside(source, path, seen)
        return [module, *found]

    def knows(self, module: Module, name: str, seen: Seen) -> bool:
        if name in module.children or name in module.items or name in module.imports:
            return True
        return any(True for _ in self.through_glob(module, name, seen))

    def through_glob(self, module: Module, name: str, seen: Seen) -> Iterator[Module]:
        """The modules from which a glob brings a name."""
        for path in module.globs:
            if (module.name, (*path, "*", name)) not in seen:
                inner = seen | {(module.name, (*path, "*", name))}
                for source in self.resolve(module, path, inner):
                    if source is not module and self.knows(source, name, inner):
                        yield source


def graph_of(crate: Crate) -> tuple[Graph, int]:
    """The dependencies of the files, and how many are not counted because they go to a file above."""
    names = Names(crate)
    graph: Graph = {module.file: {} for module in crate.modules}
    words: dict[Name, set[str]] = {file: set() for file in graph}
    above: set[tuple[Name, Name]] = set()

    def add(file: Name, other: Name, name: str) -> None:
        if other and other == file[: len(other)]:
            above.update({(file, other)} if other != file else ())
        elif other != file:
            graph[file].setdefault(other, name)

    for module in crate.modules:
        for path in module.paths:
            words[module.file].update(path)
            targets = names.resolve(module, path)
            for target in targets:
                # What the root only hands on is not the root's.
                if target.file or target is targets[-1]:
                    add(module.file, target.file, "::".join(path))
        for macro in module.macros & set(crate.macros):
            add(module.file, crate.macros[macro], f"{macro}!")
    for module in crate.modules:
        for receiver, call in module.calls:
            owner, away = names.called.get(call, ("", module))
            own = {kind[-1] for kind, _ in module.methods if kind}
            of_owner = owner in own if receiver == "self" else owner.lower() in receiver.lower()
            if owner in words[module.file] and of_owner:
                add(module.file, away.file, f"{owner}.{call}()")
    return graph, len(above)


def circles(graph: Graph) -> list[list[Name]]:
    """Tarjan's strongly connected components of more than one file."""
    index: dict[Name, int] = {}
    low: dict[Name, int] = {}
    stack: list[Name] = []
    found: list[list[Name]] = []

    def visit(node: Name) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = [stack.pop()]
            while component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def crates_of(src: Path) -> list[Crate]:
    """The library and the executables of a package."""
    found: list[Crate] = []
    for root in (src / "lib.rs", src / "main.rs", *sorted(src.glob("bin/*.rs"))):
        if root.is_file():
            found.append(Crate())
            Reader(found[-1], Module((), (), None), root, root.parent)
    undeclared = set(src.rglob("*.rs")).difference(*(crate.files for crate in found))
    if undeclared:
        raise Problem(f"no `mod` declares {', '.join(map(str, sorted(undeclared)))}")
    return found


def check(root: Path, allowed: Mapping[frozenset[str], str]) -> list[str]:
    """Prints the circles in each crate of a workspace. Returns what is wrong, a line each."""
    wrong: list[str] = []
    seen: set[frozenset[str]] = set()
    for src in sorted([*root.glob("crates/*/src"), *root.glob("bindings/*/src")]):
        try:
            crates = crates_of(src)
        except Problem as problem:
            wrong.append(f"{src.parent.relative_to(root)}: {problem}")
            continue
        for graph, above in map(graph_of, crates):
            found = circles(graph)
            sizes = ", ".join(str(len(files)) for files in found) or "none"
            print(
                f"{src.parent.relative_to(root)}: {len(graph)} files, circles: {sizes}"
                f" (not counted: {above} from a child to a file above it)"
            )
            for files in found:
                label = {file: f"{src.parent.name}/{'/'.join(file) or 'root'}" for file in files}
                names = frozenset(label.values())
                seen.add(names)
                print(f"  {', '.join(sorted(names))}")
                if names in allowed:
                    print(f"    listed: {allowed[names]}")
                else:
                    wrong.append(f"a circle of {len(files)} files: {', '.join(sorted(names))}")
                    for file in files:
                        for other in sorted(set(graph[file]) & set(files)):
                            print(f"    {label[file]} -> {label[other]}: {graph[file][other]}")
    for names, reason in allowed.items():
        text = ", ".join(sorted(names))
        if names not in seen:
            wrong.append(f"listed, but no circle: {text}")
        if len(names) > LONGEST:
            wrong.append(f"listed, but longer than {LONGEST} files: {text}")
        if not reason:
            wrong.append(f"listed without a reason: {text}")
    return wrong


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    wrong = check(root, ALLOWED)
    for line in wrong:
        print(f"ERROR: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
