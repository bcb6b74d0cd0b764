"""The pages of commands, settings, the Python API and errors, from the code that is called."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from tests.contracts.tree import ORDER, REPOSITORY

from .markdown import anchor, fields, place, prose, table, title


def commands_page() -> str:
    """Return every command with its flags, from the command line's own help."""
    from noria.cli.main import app

    with patch.object(sys, "argv", ["noria"]):  # from which cyclopts takes the program's name
        told = app.generate_docs(output_format="markdown", recursive=True).split("\n", 1)[1]
    told = told.replace("```console", "```text")
    told = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", told).replace("Table of Contents", "All commands")
    exits = "Exit codes: 0 done, 1 our fault, 2 yours to mend, 3 refused, 130 interrupted ([errors](errors.md))."
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
    from noria.cli.main import app
    from noria.cli.sections import commands

    sections = {command: name for name, command in commands().items()}
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
                section = sections.get(node.default_command)
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
    things = {name: getattr(noria, name) for name in names}
    lines = [
        *title("Python", "What `import noria` gives. It is loaded when it is first asked for."),
        "```python",
        "import noria",
        "```",
        "",
    ]
    lines += [*(f"- [{name}](#{anchor(name)}): {_first(thing)}" for name, thing in things.items()), ""]
    for name, thing in things.items():
        lines += [f"## {name}", ""]
        if callable(thing):
            lines += ["```python", *_signature(name, thing), "```", ""]
        lines += [_docstring(thing), ""]
        if isinstance(thing, type):
            lines += _members(thing)
    return "\n".join(lines)


def _signature(name: str, thing: Any) -> list[str]:
    """Return a signature as code, a line a parameter where there are many."""
    found = inspect.signature(thing)
    given = [str(one) for one in found.parameters.values()]
    star = next((n for n, one in enumerate(found.parameters.values()) if one.kind is one.KEYWORD_ONLY), None)
    if star is not None and not any(one.kind is one.VAR_POSITIONAL for one in found.parameters.values()):
        given.insert(star, "*")
    end = "" if found.return_annotation is found.empty or isinstance(thing, type) else f" -> {_plain(found)}"
    short = f"{name}({', '.join(given)}){end}"
    return [short] if len(short) <= 100 else [f"{name}(", *(f"    {one}," for one in given), f"){end}"]


def _plain(found: inspect.Signature) -> str:
    return inspect.formatannotation(found.return_annotation).strip("'")


def _docstring(thing: Any) -> str:
    """Return a docstring; what it says of arguments, results and errors as lists."""
    text = inspect.getdoc(thing) or ""
    lines, inside = [], False
    for line in text.splitlines():
        if heading := re.fullmatch(r"(Args|Returns|Raises|Yields|Attributes):", line):
            lines += [f"**{heading[1]}**", ""]
            inside = True
        elif inside and re.match(r" {4}\S", line):
            name, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}" if colon else f"- {line.strip()}")
        else:
            inside = inside and (not line or line.startswith(" "))
            lines.append(line)
    return prose("\n".join(lines))


def _members(thing: type) -> list[str]:
    """Return a class's own fields, properties and methods."""
    lines: list[str] = []
    if dataclasses.is_dataclass(thing):
        lines += table(("field", "type"), ((f"`{one.name}`", f"`{one.type}`") for one in dataclasses.fields(thing)))
    elif hasattr(thing, "model_fields"):
        lines += fields(thing.model_json_schema(), str)
    for name, value in vars(thing).items():
        value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            lines += [f"- `.{name}`: {_first(value)}", ""]
        elif inspect.isfunction(value):
            lines += [
                f"- `.{_signature(name, value)[0] if len(_signature(name, value)) == 1 else name + '(…)'}`: {_first(value)}",
                "",
            ]
    return lines


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
    from noria.serve.errors import ApiError, api_error

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
    for folder in ("serve", "apps", "console"):
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
