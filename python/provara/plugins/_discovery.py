"""Finding plugins: entry points, then the modules that ``PROVARA_PLUGINS`` names.

Nothing that a plugin does while it is imported or constructed stops the search:
whatever it raises, ``SystemExit`` included, becomes a
:class:`~provara.plugins.PluginProblem`.  (``KeyboardInterrupt`` does in the host process,
which no keyboard reaches; elsewhere it is the user's and ends the search.)
"""

from __future__ import annotations

import os
import sys

from provara.errors import RegistrationError
from provara.plugins import _messages
from provara.plugins._records import (
    REQUIRED_METHODS,
    Origin,
    complete_kinds,
    intended_kinds,
    is_protocol,
    missing_members,
    problem,
    protocol_kinds,
    public_path,
)
from provara.plugins._registry import is_users, loading, registration_count

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

    from provara.plugins._records import Kind, ProblemKind
    from provara.plugins._registry import PluginRegistry
    from provara.plugins._scan import EntryPoint
else:
    ModuleType = type(sys)

GROUP = "provara.plugins"
VARIABLE = "PROVARA_PLUGINS"

#: Told whose code runs next: an entry point with its distribution or an item of the variable, and
#: the module while it is imported; nobody's if both are ``None``.  Says whether it may run.
on_load: Callable[[str | None, str | None], bool] | None = None

#: The metadata directories of the distributions that the host does without, and that of the one
#: distribution which it loads where it loads no other plugin.  The executable names them.
left: frozenset[str] = frozenset()
only: str | None = None

#: What the executable names besides the variable.
items: tuple[str, ...] = ()


def discover(registry: PluginRegistry) -> None:
    """Fill the registry from the entry points and the environment, in this order."""
    for entry_point in _entry_points(registry):
        if _is_being_imported(_module_name(entry_point)):
            # The module imports `provara.plugins`, which is why discovery runs at all. Its
            # classes do not exist yet: it is loaded at the first question to the registry.
            registry._deferred.append(entry_point)
        else:
            _load_entry_point(registry, entry_point)
    if only is None:
        named = split_environment(os.environ.get(VARIABLE, ""))
        for item in dict.fromkeys([*named, *items]):
            _load_environment_item(registry, item, asked=item not in named)


def load_deferred(registry: PluginRegistry) -> None:
    """Load the entry points whose module has been imported in the meantime."""
    waiting = registry._deferred
    registry._deferred = []
    for entry_point in waiting:
        if _is_being_imported(_module_name(entry_point)):
            registry._deferred.append(entry_point)
        else:
            _load_entry_point(registry, entry_point)


def forget_modules(names: set[str]) -> None:
    """Take modules out of ``sys.modules`` so that the next import runs them anew."""
    import importlib

    importlib.invalidate_caches()
    for name in names:
        sys.modules.pop(name, None)
    names.clear()


# Entry points ----------------------------------------------------------------------------


def _entry_points(registry: PluginRegistry) -> list[Any]:
    """Return the entry points, in an order that does not depend on the file system's."""
    if _in_host():
        from provara.plugins import _scan

        scanned = _scan.entry_points(GROUP)
        if scanned is not None:
            return sorted(filter(_is_loaded, scanned), key=_order)
        if only is not None:
            return []
    # Through the module attribute, at the time of the call: a test may patch it.
    import importlib.metadata

    try:
        return sorted(importlib.metadata.entry_points().select(group=GROUP), key=_order)
    except Exception as error:
        text = _messages.load_failure(
            GROUP, _messages.describe_exception(error), "entry points", "sys.path", None
        )
        registry._report(problem("load", GROUP, text))
        return []


def _is_loaded(entry_point: EntryPoint) -> bool:
    """Tell whether the executable asks for the plugins of this distribution."""
    return entry_point.directory not in left if only is None else entry_point.directory == only


def _order(entry_point: Any) -> tuple[str, str]:
    """Sort by distribution, then by label: the same plugin wins a collision every time."""
    return _distribution_of(entry_point)[0] or "", str(entry_point.name)


def _load_entry_point(registry: PluginRegistry, entry_point: Any) -> None:
    value = getattr(entry_point, "value", None)
    target = None
    if isinstance(value, str):
        target = value.split("[", 1)[0].strip().replace(":", ".")
    distribution, version = _distribution_of(entry_point)
    name = str(entry_point.name)
    origin = Origin(
        source="entry_point",
        label=name,
        target=target,
        distribution=distribution,
        version=version,
        entry_point=name,
    )
    _load(registry, origin, _module_name(entry_point), entry_point.load)


def _module_name(entry_point: Any) -> str | None:
    value = getattr(entry_point, "value", None)
    if not isinstance(value, str):
        return None
    return value.split("[", 1)[0].split(":", 1)[0].strip()


def _distribution_of(entry_point: Any) -> tuple[str | None, str | None]:
    """Return the name and version of the distribution, read as plainly as they were given."""
    try:
        distribution = entry_point.dist
        name, version = distribution.name, distribution.version
    except Exception:
        return None, None
    if not isinstance(name, str):
        return None, None
    return name, version if isinstance(version, str) else None


def _is_being_imported(module: str | None) -> bool:
    """Tell whether a module, or a package above it, is half-way through its import."""
    while module:
        loaded = sys.modules.get(module)
        spec = getattr(loaded, "__spec__", None)
        if getattr(spec, "_initializing", False):
            return True
        module = module.rpartition(".")[0]
    return False


# The environment -------------------------------------------------------------------------


def split_environment(value: str) -> list[str]:
    """Split the value of ``PROVARA_PLUGINS`` into ``module`` and ``module:object`` items.

    Items are separated by commas or by ``os.pathsep``.  Where that is a colon, a name after
    a colon belongs to the module before it if it begins with a capital letter, or if it has no
    dot and there is no module of that name; otherwise it is a module of its own.  Where there
    is a comma, colons do not separate, and there is never a doubt.
    """
    if os.pathsep != ":":
        items = value.replace(os.pathsep, ",").split(",")
        return [item.strip() for item in items if item.strip()]
    if "," in value:
        return [item.strip() for item in value.split(",") if item.strip()]
    items = []
    for token in (token.strip() for token in value.split(":")):
        if not token:
            continue
        if items and ":" not in items[-1] and _is_attribute(token):
            items[-1] += f":{token}"
        else:
            items.append(token)
    return items


def _is_attribute(token: str) -> bool:
    first, dot, _ = token.partition(".")
    if first.lstrip("_")[:1].isupper():
        return True
    if dot or not token.isidentifier():
        return False
    from importlib.util import find_spec

    try:
        # A top-level name is looked up, which imports nothing.
        return find_spec(token) is None
    except (ImportError, ValueError):
        return True


def _load_environment_item(registry: PluginRegistry, item: str, *, asked: bool = False) -> None:
    module_name, _, attribute = item.partition(":")
    target = f"{module_name}.{attribute}" if attribute else None
    origin = Origin(source="environment", label=item, target=target, asked=asked)
    names = [*module_name.split("."), *(attribute.split(".") if attribute else [])]
    if not all(name.isidentifier() for name in names):
        why = f"'{item}' is neither 'package.module' nor 'package.module:Class'"
        _report_load(registry, origin, why, target=item)
        return

    def load() -> object:
        __import__(module_name)
        module: object = sys.modules[module_name]
        for name in attribute.split(".") if attribute else []:
            module = getattr(module, name)
        return module

    _load(registry, origin, module_name, load)


# Loading ---------------------------------------------------------------------------------


def _load(registry: PluginRegistry, origin: Origin, module: str | None, load: Any) -> None:
    """Load one object and register what it gives; report whatever goes wrong."""
    if not announce(origin, module):
        return  # the executable reports it
    known = frozenset(sys.modules)
    count = registration_count()
    try:
        with loading(origin):
            loaded = load()
            announce(origin)
            if isinstance(loaded, ModuleType):
                if registration_count() == count:
                    _register_module(registry, origin, loaded)
            else:
                _register_object(registry, origin, loaded)
    except BaseException as error:  # SystemExit and the like are the plugin's, too
        if is_users(error):
            raise  # a person wants the program to stop, not the plugin to be skipped
        absent = _is_absent(error, module)
        _report_load(registry, origin, _messages.describe_exception(error), absent=absent)
    finally:
        if module is not None:
            package = module.split(".", 1)[0]
            registry._imported.update(
                name
                for name in sys.modules.keys() - known
                if name == package or name.startswith(package + ".")
            )


def _is_absent(error: BaseException, module: str | None) -> bool:
    """Tell whether the module itself, or a package above it, is not there, and not one that it imports."""
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    return bool(absent and module) and f"{module}.".startswith(f"{absent}.")


def announce(origin: Origin | None, module: str | None = None) -> bool:
    """Tell :data:`on_load` whose code runs next; return whether it may."""
    if on_load is None:
        return True
    if origin is None:
        return on_load(None, None)
    label = origin.label or "?"
    name = f"{label} ({origin.distribution})" if origin.distribution else label
    return on_load(name, module)


def _in_host() -> bool:
    return "PROVARA_HOST" in os.environ


def _register_module(registry: PluginRegistry, origin: Origin, module: ModuleType) -> None:
    """Register each class that a module (or, for a package, its modules) defines."""
    inside = module.__name__ + "."
    found = False
    for name, value in sorted(vars(module).items()):
        if not isinstance(value, type) or name.startswith("_"):
            continue
        if value.__module__ != module.__name__ and not value.__module__.startswith(inside):
            continue
        if value.__name__ != name or is_protocol(value):
            continue
        if protocol_kinds(value) or complete_kinds(value):
            found = True
            _register_object(registry, origin.replaced(target=f"{inside}{name}"), value)
    if not found:
        why = "The module registers no plugin and defines no class that is one"
        _report_load(registry, origin, why, target=module.__name__)


def _register_object(registry: PluginRegistry, origin: Origin, loaded: object) -> None:
    """Turn a class, a factory or an instance into plugins and register them."""
    if not isinstance(loaded, type) and callable(loaded) and not complete_kinds(loaded):
        loaded = loaded()  # a factory
        origin = origin.replaced(target=None)
    if isinstance(loaded, type):
        abstract: Iterable[str] = getattr(loaded, "__abstractmethods__", ())
        if abstract:
            _report_invalid(registry, origin, loaded, sorted(abstract))
            return
        plugin: object = loaded()
    else:
        plugin = loaded
        origin = origin.replaced(target=None)
    kinds = intended_kinds(plugin)
    if not kinds:
        text = _messages.no_kind(
            origin.label or type(plugin).__name__, type(plugin).__name__, origin.describe()
        )
        label = _label(origin, plugin)
        registry._report(problem("invalid", label, text, origin, plugin=plugin))
    for kind in kinds:
        _register_as(registry, kind, plugin, origin)


def _register_as(registry: PluginRegistry, kind: Kind, plugin: Any, origin: Origin) -> None:
    try:
        if missing_members(plugin, kind) == ([], []) and registry._adopt(kind, plugin, origin):
            return
        registry._register(kind, plugin, origin)
    except RegistrationError as error:
        kind_of_problem: ProblemKind = error.kind  # type: ignore[assignment]
        label = _label(origin, plugin)
        registry._report(problem(kind_of_problem, label, str(error), origin, kind, plugin))


def _report_invalid(
    registry: PluginRegistry, origin: Origin, cls: type, abstract: list[str]
) -> None:
    """Report a class whose abstract methods show that it is incomplete."""
    kinds = intended_kinds(cls)
    required = [m for kind in kinds for m in REQUIRED_METHODS[kind] if m in abstract]
    methods = required + [name for name in abstract if name not in required]
    attributes = [a for kind in kinds for a in missing_members(cls, kind)[1]]
    label = origin.label or cls.__name__
    text = _messages.invalid_plugin(label, methods, attributes, cls.__name__, origin.describe())
    kind = kinds[0] if kinds else None
    registry._report(problem("invalid", label, text, origin, kind, cls))


def _report_load(
    registry: PluginRegistry,
    origin: Origin,
    why: str,
    *,
    target: str | None = None,
    absent: bool = False,
) -> None:
    from provara.plugins._installed import home_of

    label = origin.label or "?"
    distribution = origin.distribution
    text = _messages.load_failure(
        label,
        why,
        target or origin.target or label,
        origin.describe(),
        distribution,
        None if distribution is None else home_of(distribution),
        asked=origin.asked,
        absent=absent,
    )
    registry._report(problem("load", label, text, origin))


def _label(origin: Origin, plugin: object) -> str:
    return origin.label or public_path(type(plugin))
