"""The texts of plugin errors, worded as the plugin API specification words them.

Each function returns a complete text without a final line end.  Names and paths
come from the outside: the executable escapes control characters before it prints
them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `_records`
if TYPE_CHECKING:
    from collections.abc import Sequence

    from provara.plugins._installed import Home


def indent(text: str) -> str:
    """Indent the lines of ``text`` after the first, so that they stay below its label."""
    return "\n    ".join(text.strip().splitlines()) or "(no message)"


def describe_exception(error: BaseException) -> str:
    """Return ``TypeName: message`` for an exception, without trusting its ``__str__``."""
    name = type(error).__name__
    text = exception_text(error)
    return f"{name}: {indent(text)}" if text else name


def exception_text(error: BaseException) -> str:
    """Return the message of an exception in its shortest useful form.

    ``jsonschema`` exceptions print the whole schema; their ``message`` is the sentence.
    """
    try:
        message = getattr(error, "message", None)
        return message if isinstance(message, str) and message else str(error)
    except BaseException:  # a hostile `__str__` may raise SystemExit, too
        return "(the exception cannot be printed)"


def refusal(error: BaseException) -> str:
    """Word why ``validate`` refuses, from what it raised.

    A ``ValueError``, a failed assertion and exceptions of packages are meant to be read as they
    are.  Python's others say little without their names, as ``KeyError: 'user'``.
    """
    name, text = type(error).__name__, exception_text(error)
    meant = isinstance(error, (ValueError, AssertionError)) or type(error) is Exception
    if text and not meant and type(error).__module__ == "builtins":
        return f"{name}: {text}"
    return text or name


def invalid_plugin(
    label: str, methods: Sequence[str], attributes: Sequence[str], class_name: str, source: str
) -> str:
    """Word "Invalid Plugin (Missing Methods)"."""
    lines = [f"ERROR: Plugin '{label}' is invalid."]
    lines += [f"  Missing required attribute: '{name}'" for name in attributes]
    lines += [f"  Missing required method: '{name}'" for name in methods]
    lines += [f"  Plugin class: {class_name}", f"  Source: {source}"]
    if methods or not attributes:
        lines.append("Fix: Implement all required protocol methods.")
    else:
        lines.append("Fix: Define all required protocol attributes.")
    return "\n".join(lines)


def class_registered(label: str, class_name: str, source: str) -> str:
    """Word that a class was registered: its methods would lack ``self``."""
    return (
        f"ERROR: Plugin '{label}' is invalid.\n"
        "  A class was registered where an instance is needed\n"
        f"  Plugin class: {class_name}\n"
        f"  Source: {source}\n"
        f"Fix: Register an instance: {class_name}()."
    )


def no_such_type(name: str, broken: str) -> str:
    """Word that no plugin defines a type; ``broken`` says which plugins might, could they be used."""
    return (
        f"no installed plugin defines the event type '{name}'{broken}\n"
        "Fix: Install the plugin that defines it, or pass allow_unregistered=True."
    )


def no_kind(label: str, class_name: str, source: str) -> str:
    """Word a plugin of which not even the kind can be told."""
    return (
        f"ERROR: Plugin '{label}' is invalid.\n"
        "  Missing required method: 'validate' (event type), 'reduce' (reducer) "
        "or 'export' (export format)\n"
        f"  Plugin class: {class_name}\n"
        f"  Source: {source}\n"
        "Fix: Implement all required protocol methods."
    )


def bad_attribute(label: str, attribute: str, problem: str, class_name: str, source: str) -> str:
    """Word an attribute that exists and has the wrong type or form."""
    return (
        f"ERROR: Plugin '{label}' is invalid.\n"
        f"  Attribute '{attribute}': {problem}\n"
        f"  Plugin class: {class_name}\n"
        f"  Source: {source}\n"
        f"Fix: Correct the attribute '{attribute}'."
    )


def collision(name: str, existing: str, new: str) -> str:
    """Word "Name Collision"."""
    return (
        f"ERROR: Plugin name collision for '{name}'.\n"
        f"  Existing: {existing}\n"
        f"  New: {new}\n"
        "Fix: Use a unique name (reverse-domain notation recommended)."
    )


def alias_collision(alias: str, existing: str, new: str) -> str:
    """Word two event types that want the same short name on the command line."""
    return (
        f"ERROR: Command alias collision for '{alias}'.\n"
        f"  Existing: {existing}\n"
        f"  New: {new}\n"
        "Fix: Return another alias from cli_command(), or use the full event type."
    )


def bad_alias(label: str, problem: str, class_name: str, source: str) -> str:
    """Word a ``cli_command()`` that fails or returns what cannot be an alias."""
    return (
        f"ERROR: Plugin '{label}' has no usable command alias.\n"
        f"  cli_command(): {problem}\n"
        f"  Plugin class: {class_name}\n"
        f"  Source: {source}\n"
        "Fix: Return a short name of letters, digits, '-', '_', '.' and '+', or None; "
        "the full event type works meanwhile."
    )


def reserved_name(name: str, class_name: str, source: str) -> str:
    """Word an event type that takes the name of a core type."""
    return (
        f"ERROR: Event type name '{name}' is reserved for core types.\n"
        f"  Plugin class: {class_name}\n"
        f"  Source: {source}\n"
        "Fix: Use a reverse-domain name of your own (for example com.example.audit.login)."
    )


def bad_type_name(name: str, problem: str, class_name: str, source: str) -> str:
    """Word an event type whose name is not reverse-domain."""
    return (
        f"ERROR: Event type name '{name}' is not in reverse-domain notation.\n"
        f"  Error: {indent(problem)}\n"
        f"  Plugin class: {class_name}\n"
        f"  Source: {source}\n"
        "Fix: Use three labels or more (for example com.example.audit.login)."
    )


def bad_plugin_name(name: str, class_name: str, source: str) -> str:
    """Word the name of a reducer or an export format that cannot be typed."""
    return (
        f"ERROR: Plugin name {name!r} is not valid.\n"
        f"  Plugin class: {class_name}\n"
        f"  Source: {source}\n"
        "Fix: Use letters, digits, '-', '_', '.' and '+', beginning with a letter or digit."
    )


def bad_schema(label: str, type_name: str, problem: str, class_name: str, source: str) -> str:
    """Word a schema that is absent or is not a JSON Schema."""
    if "'schemas'" in problem:
        fix = (
            "Provide 'schemas' as a dict of JSON Schemas by URI, or as the absolute path of the "
            "directory that has them as *.json."
        )
    else:
        fix = "Provide a JSON Schema (Draft 2020-12 unless $schema says otherwise) as 'schema'."
    return (
        f"ERROR: Plugin '{label}' has an invalid schema.\n"
        f"  Event type: {type_name}\n"
        f"  Error: {indent(problem)}\n"
        f"  Plugin class: {class_name}\n"
        f"  Source: {source}\n"
        f"Fix: {fix}"
    )


def load_failure(
    label: str,
    problem: str,
    target: str,
    source: str,
    distribution: str | None,
    home: Home | None = None,
    *,
    asked: bool = False,
    absent: bool = False,
) -> str:
    """Word a plugin that cannot be imported or constructed; ``problem`` is indented already.

    ``asked`` says that it was named for this one command, ``absent`` that there is no such module.

    ``home`` says where its distribution was installed from, if that was no index: an update by name
    would then put whatever an index has under that name in its place.
    """
    if distribution is not None:
        repair = f"Repair the plugin, update it with 'pip install --upgrade {distribution}', or"
        if home is not None:
            repair = f"Repair the plugin where its source is ({home.place}),"
            if home.place is None:
                repair = "Repair the plugin where its source is,"
            repair += " or" if home.editable else " and install it from there again, or"
        fix = f"{repair} remove it with 'pip uninstall {distribution}'."
    elif absent:
        # The current directory is not on the path, though many expect it there.
        fix = "Correct the name, install the package, or set PYTHONPATH to the directory of the module"
        here = " (PYTHONPATH=$PWD if it is in this one)."
        fix += here if asked else ", or take it out of PROVARA_PLUGINS."
    elif asked:
        fix = "Repair the plugin, or correct the name: 'package.module' or 'package.module:Class'."
    else:
        fix = "Repair the plugin, or take it out of PROVARA_PLUGINS."
    return (
        f"ERROR: Plugin '{label}' could not be loaded.\n"
        f"  {problem}\n"
        f"  Object: {target}\n"
        f"  Source: {source}\n"
        f"Fix: {fix}"
    )


def refused(type_name: str, reason: str, class_path: str) -> str:
    """Word an event that the plugin's own ``validate`` refuses."""
    return (
        f"ERROR: Event validation failed for type '{type_name}'.\n"
        f"  Error: {indent(reason)}\n"
        f"  Plugin: {class_path}\n"
        "Fix: Correct the payload to satisfy the plugin."
    )


def not_json(type_name: str, problem: str) -> str:
    """Word data that cannot be JSON at all."""
    return (
        f"ERROR: Event validation failed for type '{type_name}'.\n"
        f"  Error: {indent(problem)}\n"
        "Fix: Use only dicts with string keys, lists, strings, finite numbers, booleans and None."
    )
