"""The pages of commands, settings, the Python API and errors, from the code that is called."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any
from unittest.mock import patch

from tests.contracts.tree import ORDER, REPOSITORY

from .markdown import anchor, fields, meanings, place, prose, table, title


def commands_page() -> str:
    """Return every command with its flags, from the command line's own help."""
    from noria.cli.main import app

    with patch.object(sys, "argv", ["noria"]):  # from which cyclopts takes the program's name
        told = app.generate_docs(output_format="markdown", recursive=True).split("\n", 1)[1]
    told = told.replace("```console", "```text")
    told = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", told).replace("Table of Contents", "All commands")
    exits = "[Exit codes](../command-line.md#exit-codes): 0 done, 1 our fault, 2 yours to mend, 3 judged and not passed, 130 and 143 ended by a signal."
    return "\n".join([*title("Commands", f"Every command and flag of `noria`. {exits}"), prose(told).strip(), ""])


def settings_page() -> str:
    """Return every class of settings: where it is said, and its fields."""
    from noria.core.settings import Settings

    found = descendants(Settings)[1:]
    names = {one.__name__ for one in found}
    said = _said()
    lines = title(
        "Settings",
        "Every class of settings: a section of a TOML file, the flags of a command and a Python argument are one class.",
    )
    lines += [
        "In a file a nested field is `outer.inner = value`; as a flag `--outer.inner value`, with `-` for `_`. An unknown key is refused,",
        "and the nearest known one named.",
        "",
        *(f"- [{one.__name__}](#{anchor(one.__name__)}): {_first(one)}" for one in found),
        "",
    ]
    for one in found:
        lines += [f"## {one.__name__}", "", prose(inspect.getdoc(one) or ""), ""]
        lines += [f"Defined in {place(one.__module__)}.", ""]
        if said.get(one):
            lines += [*(f"- {where}" for where in said[one]), ""]
        lines += fields(one.model_json_schema(), lambda name: f"[{name}](#{anchor(name)})" if name in names else name)
    return "\n".join(lines)


def _first(thing: Any) -> str:
    return prose((inspect.getdoc(thing) or "").split("\n\n")[0]).replace("\n", " ")


def _walk(node: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, node
    for name in node:
        if not name.startswith("-"):
            yield from _walk(node[name], (*words, name))


def _said() -> dict[type, list[str]]:
    """Return, for each class of settings, the commands and sections in which it is said, and below which name."""
    from noria.api.sections import functions
    from noria.cli.main import app

    sections = {("build", name): name for name in functions()} | {("build", "finetune", "recommend"): "recommend"}
    found: dict[type, list[str]] = {}
    for words, node in _walk(app):
        if not node.default_command:
            continue
        for one in node.assemble_argument_collection():
            if isinstance(one.hint, type) and hasattr(one.hint, "model_fields"):
                prefix = "" if one.name == "*" else one.name.removeprefix("--") + "."
                heading = " ".join(("noria", *words))
                told = f"`{heading}`".replace("`noria", "[`noria") + f"](commands.md#{anchor(heading)})"
                told += f": flags `--{prefix}…`" if prefix else ": flags"
                section = sections.get(words)
                if section:
                    told += f"; in TOML `[{section}]`" + (f", keys `{prefix.replace('-', '_')}…`" if prefix else "")
                found.setdefault(one.hint, []).append(told)
    return found


def python_page() -> str | None:
    """Return the Python API: what `noria` exports, with signatures and docstrings; None where it exports nothing yet."""
    import noria

    names = [name for name in getattr(noria, "__all__", ()) if not name.startswith("__")]
    if not names:
        return None
    things = {f"noria.{name}": getattr(noria, name) for name in names}
    results = _results(things.values())
    lines = [
        *title("Python", "What `import noria` gives. It is loaded when it is first asked for."),
        "```python",
        "import noria",
        "```",
        "",
    ]
    for heading, listed in (("Functions", things), ("Results", results)):
        lines += [
            f"## {heading}",
            "",
            *(f"- [{name}](#{anchor(name)}): {_first(thing)}" for name, thing in listed.items()),
            "",
        ]
    for name, thing in {**things, **results}.items():
        lines += [f"### {name}", ""]
        if not isinstance(thing, type) and callable(thing):
            lines += ["```python", *_signature(name, thing), "```", ""]
            lines += [f"Gives a [{result}](#{anchor(result)}).", ""] if (result := _given(thing)) in results else []
        lines += [_docstring(thing), "", *(_members(thing) if isinstance(thing, type) else ())]
    return "\n".join(lines)


def _given(thing: Any) -> str:
    """Return the name of what a function returns."""
    return _annotation(inspect.signature(thing).return_annotation)


def _results(things: Iterable[Any]) -> dict[str, type]:
    """Return the classes of the API that its functions, and the methods of those classes, give back."""
    waiting, found = list(things), {}
    while waiting:
        thing = waiting.pop(0)
        methods = (
            [one for one in vars(thing).values() if inspect.isfunction(one)] if isinstance(thing, type) else [thing]
        )
        for method in filter(callable, methods):
            for name in re.findall(r"[A-Z]\w+", _given(method)):
                one = next((vars(module)[name] for module in _api() if name in vars(module)), None)
                if isinstance(one, type) and one.__module__.startswith("noria.api") and name not in found:
                    found[name] = one
                    waiting.append(one)
    return found


def _api() -> list[Any]:
    return [module for name, module in sorted(sys.modules.items()) if name.split(".")[:2] == ["noria", "api"]]


def _annotation(given: Any) -> str:
    """Return an annotation as one writes it, without the modules of its names."""
    return re.sub(r"\b[a-z_]+\.", "", inspect.formatannotation(given)).strip("'")


def _signature(name: str, thing: Any) -> list[str]:
    """Return a signature as code, a line a parameter where there are many."""
    found = inspect.signature(thing)
    given, star = [], False
    for one in found.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not star:
            given.append("*")
        star = star or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        mark = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        kind = "" if one.annotation is one.empty else f": {_annotation(one.annotation)}"
        shown = repr(one.default).replace("PosixPath(", "Path(")
        value = "" if one.default is one.empty else f" = {shown}" if kind else f"={shown}"
        given.append(f"{mark}{one.name}{kind}{value}")
    end = "" if found.return_annotation is found.empty else f" -> {_given(thing)}"
    short = f"{name}({', '.join(given)}){end}"
    return [short] if len(short) <= 100 else [f"{name}(", *(f"    {one}," for one in given), f"){end}"]


def _docstring(thing: Any) -> str:
    """Return a docstring; what it says of arguments, settings, results and errors as lists."""
    text = inspect.getdoc(thing) or ""
    lines: list[str] = []
    inside = False
    for line, after in pairwise([*text.splitlines(), ""]):
        if line.endswith(":") and re.match(r" {4}[*\w, ]+: ", after):
            lines += [f"**{line[:-1]}**", ""]
            inside = True
        elif inside and re.match(r" {4}\S", line):
            name, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}" if colon else f"- {line.strip()}")
        else:
            inside = inside and (not line or line.startswith(" "))
            lines.append(line)
    return prose("\n".join(lines))


def _members(thing: type) -> list[str]:
    """Return a class's fields, properties and methods, those of the classes above it too."""
    lines: list[str] = []
    if dataclasses.is_dataclass(thing):
        meaning = meanings(thing)
        rows = [
            (f"`{one.name}`", f"`{_annotation(one.type)}`", meaning.get(one.name, ""))
            for one in dataclasses.fields(thing)
            if not one.name.startswith("_")
        ]
        lines += table(("field", "type", "meaning"), rows) if rows else []
    for name in dict.fromkeys(name for one in thing.__mro__[:-1] for name in vars(one) if not name.startswith("_")):
        value = inspect.getattr_static(thing, name)
        value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(value, property):
            lines.append(f"- `.{name}`: {_first(value)}")
        elif inspect.isfunction(value):
            lines.append(f"- `.{' '.join(line.strip() for line in _signature(name, value))}`: {_first(value)}")
    if "__call__" in vars(thing):
        lines.append(f"- `{_signature(thing.__name__.lower(), thing.__call__)[0]}`: {_first(thing.__call__)}")
    return [*lines, ""]


_CLASS = re.compile(r"^class (\w+)\(([^)]*)\)", re.MULTILINE)


def descendants(root: type) -> list[type]:
    """Return `root` and the public classes below it, in the order of the tree; only a file that defines one is imported."""
    rank = {name: position for position, name in enumerate(ORDER)}
    files = sorted(
        (REPOSITORY / "noria").rglob("*.py"),
        key=lambda file: [(rank.get(part, len(ORDER)), part) for part in file.relative_to(REPOSITORY / "noria").parts],
    )
    defined = [
        (file, name, set(re.findall(r"\w+", bases)))
        for file in files
        for name, bases in _CLASS.findall(file.read_text(encoding="utf-8"))
    ]
    names = {root.__name__}
    while more := {name for _, name, bases in defined if bases & names} - names:
        names |= more
    found = [root]
    for file, name, bases in defined:
        if bases & names and not name.startswith("_"):
            path = file.relative_to(REPOSITORY).with_suffix("").parts
            one = getattr(importlib.import_module(".".join(path).removesuffix(".__init__")), name, None)
            if isinstance(one, type) and issubclass(one, root):
                found.append(one)
    return list(dict.fromkeys(found))


def errors_page() -> str:
    """Return every error that Noria raises on purpose, and every code that the server's answers carry."""
    from noria.core import errors
    from noria.server.errors import ApiError, api_error

    found = descendants(errors.NoriaError)
    rows = []
    for one in found:
        made = one.__new__(one)  # what decides the status is the class: the words of an error are of no account
        errors.NoriaError.__init__(made, "")
        made.retry_after = 1
        status = "its own" if issubclass(one, ApiError) else str(api_error(made).status)
        rows.append(
            (
                f"`{one.__name__}`",
                f"`{one.__mro__[1].__name__}`",
                str(one.exit_code),
                status,
                _first(one),
                place(one.__module__),
            )
        )
    lines = title("Errors", "What Noria raises on purpose: one tree with one root.")
    lines += [
        "Every message says what was wrong, what was found, what is allowed and what to do, on one line. A command ends with the exit code;",
        "a route answers with the status. Whatever else is raised is our fault: exit code 1, status 500, and `--debug` shows where.",
        "",
        *table(("error", "is a", "exit code", "HTTP", "when", "where"), rows),
        "## Codes of the server",
        "",
        "`error.code` of an answer, by which programs tell errors apart.",
        "",
        *table(("code", "status", "message"), _codes()),
    ]
    return "\n".join(lines)


def _codes() -> list[tuple[str, str, str]]:
    """Return code, statuses and messages of every answer that is an error, from the places where they are made."""
    told: dict[str, tuple[set[str], set[str]]] = {}
    for folder in ("server", "apps", "console"):
        for file in sorted((REPOSITORY / "noria" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ApiError":
                    code = next((one.value for one in node.keywords if one.arg == "code"), None)
                    status, message = [*node.args, None, None][:2]
                    if isinstance(code, ast.Constant) and isinstance(status, ast.Constant):
                        statuses, messages = told.setdefault(code.value, (set(), set()))
                        statuses.add(str(status.value))
                        messages.add(_message(message))
    return [
        (f"`{code}`", ", ".join(sorted(one)), "; ".join(sorted(two - {""})))
        for code, (one, two) in sorted(told.items())
    ]


def _message(node: ast.expr | None) -> str:
    """Return a message as it stands in the code, what is filled in as …"""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else ""
