"""Write what editors and type checkers see of `import noria`: `python tests/contracts/stub.py` writes noria/__init__.pyi."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.contracts.tree import REPOSITORY

STUB = REPOSITORY / "noria" / "__init__.pyi"
HEAD = '"""What `import noria` gives, with every setting as a keyword; written by tests/contracts/stub.py."""\n\n'


def text() -> str:
    """Return the stub as it should stand."""
    import noria
    from noria.api import serving

    used = _Used()
    parts = []
    for name in noria.__all__:
        thing = getattr(noria, name)
        if isinstance(thing, types.ModuleType):
            used.add(thing.__name__.rpartition(".")[0], name)
        elif isinstance(thing, type) or not hasattr(thing, "settings"):
            used.add(thing.__module__, name)
            parts.append("")
        elif name == "serve":
            signature = inspect.signature(thing)
            for background, gives in (
                ("Literal[True]", "AbstractContextManager[Server]"),
                ("Literal[False]", "Signals"),
            ):
                parts.append("@overload\n" + _function(name, signature, used, {"background": background}, gives))
            used.add("typing", "overload")
            used.add("typing", "Literal")
            used.add("contextlib", "AbstractContextManager")
            used.add(serving.__name__, "Server")
            used.add("signal", "Signals")
        else:
            parts.append(_function(name, inspect.signature(thing), used, {}, None))
    lines = [part for part in parts if part]
    body = "__version__: str\n\n" + "\n".join(lines) + f"\n\n__all__ = {list(noria.__all__)!r}\n"
    return formatted(HEAD + used.lines() + "\n\n" + body)


class _Used:
    """Names that a stub needs, by module."""

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = {}

    def add(self, module: str, name: str) -> str:
        """Note a name, and return it."""
        if module != "builtins":
            self.names.setdefault(module, set()).add(name)
        return name

    def lines(self) -> str:
        """Return the imports."""
        return "\n".join(
            f"from {module} import {', '.join(f'{name} as {name}' if module.startswith('noria.api') else name for name in sorted(names))}"
            for module, names in sorted(self.names.items())
        )


def _function(
    name: str, signature: inspect.Signature, used: _Used, instead: Mapping[str, str], gives: str | None
) -> str:
    """Return one function of the stub; `instead` and `gives` stand for what an overload narrows."""
    said = []
    star = False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not star:
            star = True
            if not any(other.kind is other.VAR_POSITIONAL for other in signature.parameters.values()):
                said.append("*")
        mark = "*" if one.kind is one.VAR_POSITIONAL else ""
        kind = instead.get(one.name) or hint(one.annotation, used)
        optional = one.default is not one.empty and instead.get(one.name) != "Literal[True]"
        said.append(f"{mark}{one.name}: {kind}" + (f" = {shown(one.default)}" if optional else ""))
    return f"def {name}({', '.join(said)},) -> {gives or hint(signature.return_annotation, used)}: ..."


def shown(value: Any) -> str:
    """Return a default as a stub may say it; what is no plain value is `...`."""
    return repr(value) if value is None or isinstance(value, bool | int | float | str) or value == () else "..."


def hint(kind: Any, used: _Used) -> str:
    """Return a type as source."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is None or kind is types.NoneType:
        return "None"
    if kind is Any:
        return used.add("typing", "Any")
    if kind == "Given":
        return used.add("noria.api.options", "Given")
    if origin is typing.Literal:
        used.add("typing", "Literal")
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(hint(one, used) for one in args)
    if origin is Callable or origin is typing.get_origin(Callable[[], None]):
        used.add("collections.abc", "Callable")
        return f"Callable[[{', '.join(hint(one, used) for one in args[0])}], {hint(args[1], used)}]"
    if origin is not None:
        name = used.add(origin.__module__, origin.__name__)
        return f"{name}[{', '.join('...' if one is ... else hint(one, used) for one in args)}]"
    module = "pathlib" if kind is Path else kind.__module__
    return used.add(module, kind.__name__)


def formatted(source: str) -> str:
    """Return source as the house's formatter has it, imports sorted."""
    ruff = str(Path(sys.executable).parent / "ruff")
    for words in (("check", "--fix", "--quiet", "--select", "I"), ("format", "--quiet")):
        command = [ruff, words[0], *words[1:], "--stdin-filename", str(STUB), "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, cwd=REPOSITORY, check=False)
        assert done.returncode == 0, done.stderr
        source = done.stdout
    return source


if __name__ == "__main__":
    STUB.write_text(text(), encoding="utf-8")
