"""The command `noria`, and the one error boundary of the program."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from types import FrameType
from typing import Literal, NoReturn

from cyclopts import CycloptsError, ValidationError

from noria import __version__
from noria.core.errors import Interrupted, NoriaError, SettingError, from_system
from noria.core.messages import environment_language, for_terminal, message
from noria.core.settings import limit

from .manners import Commands, print_json, printed
from .quick import arguments_assembled_once, document_fields_from_docstrings, plain_help
from .spelling import as_spelled_now

document_fields_from_docstrings()

app = Commands(
    name="noria",
    version=__version__,
    help="""Build a large model from your own text, ship it as products, and grow on what the users do.

    Examples::

        noria demo                the whole wheel, once, on real text
        noria new --help          a folder to begin with
        noria doctor              is this machine fit for it, and what would be slow
        noria build --help        raw text -> corpus -> model
        noria run noria.toml      the stages of a file, only what changed
        noria ship serve MODELS   models -> HTTP service
        noria grow report LAKE    usage events -> growth, share, forecast
    """,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
# Each wing's commands are imported only when they are called: listing them costs nothing.
WINGS = {
    "demo": """Turn the whole wheel once on bundled real text, then open the console.

    Corpus, pretraining, fine-tuning, evaluation, compression, serving, growth: the same public functions you would
    call, in stages that go on from where they were killed. About 15 minutes and 6 GiB on 2 cores; results in runs/demo.

    Examples::

        noria demo                          everything, then the console
        noria demo --no-serve               everything, then stop
        noria demo --quick --no-serve       small budgets, about 5 minutes
        noria demo --sentiment-minutes 10   a longer fine-tuning
        noria demo --redo ship --no-serve   one stage again, and what reads it
    """,
    "new": """Make a folder to begin with: settings, small examples in your language, and a page that says what to do.

    Examples::

        noria new desk --app support
        noria new watch --app monitor
    """,
    "run": """Walk the stages of a TOML file; do again only what changed, and resume what was cut off.

    Examples::

        noria run noria.toml
        noria run noria.toml --redo sentiment
    """,
    "doctor": """Look at this machine: processor, memory, disk, packages, data, port; say what would be slow here and why.

    Examples::

        noria doctor
        noria doctor runs --port 8401
    """,
    "build": "Raw text -> corpus -> tokens -> model -> evaluated -> compressed.",
    "ship": "Models -> HTTP service and applications.",
    "grow": "Usage events and market series -> growth, share, forecast, report.",
}
for name, text in WINGS.items():
    app.command(f"noria.cli.{name}:app", name=name, help=text)


@app.command
def completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Write what makes a shell complete commands, flags and their values.

    Examples::

        noria completion bash > ~/.local/share/bash-completion/completions/noria
        noria completion zsh > ~/.zfunc/_noria
        noria completion fish > ~/.config/fish/completions/noria.fish
    """
    script = app.generate_completion(shell=shell)
    printed({"shell": shell, "script": script}, lambda: print(script))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; docs/command-line.md says what each means."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = _each_value(as_spelled_now([argument for argument in arguments if argument != "--debug"]))
    errors = Errors(debug, "--json" in arguments)
    helped = bool({"--help", "-h"} & set(arguments)) or not arguments
    if helped and not sys.stdout.isatty():
        plain_help(app)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with arguments_assembled_once() if helped else nullcontext():
            result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt as error:
        stopped = Interrupted("interrupted", hint="the same command goes on from here")
        stopped.exit_code = TERMINATED if isinstance(error, _Terminated) else stopped.exit_code
        return errors.print(stopped)
    except CycloptsError as error:
        return errors.print(_usage_error(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return errors.print(error if isinstance(error, NoriaError) else from_system(error) or error)
    return result if isinstance(result, int) else 0


def _each_value(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with --cors before every origin that follows one, and --apps before every application: none is a
    model's folder.

    >>> _each_value(["serve", "--cors", "https://a", "https://b", "runs/desk", "--apps", "monitor", "recommend"])
    ['serve', '--cors', 'https://a', '--cors', 'https://b', 'runs/desk', '--apps', 'monitor', '--apps', 'recommend']
    """
    told: list[str] = []
    follows = ""
    for argument in arguments:
        if follows and _MANY[follows](argument):
            if told[-1] != follows:
                told.append(follows)
        else:
            follows = next((one for one in _MANY if argument == one or argument.startswith(f"{one}=")), "")
        told.append(argument)
    return told


_MANY: dict[str, Callable[[str], bool]] = {
    "--cors": lambda told: "://" in told and not told.startswith("-"),
    "--apps": lambda told: told in ("support", "monitor", "recommend"),
    "--adapters": lambda told: "=" in told and not told.startswith("-"),
}
"""Options of several values that stand beside models' folders, and what a value of theirs looks like."""


def run() -> NoReturn:
    """Run `noria` as a program."""
    code = main()
    # Looking through all that torch has loaded once more on the way out would take over a second of every command.
    gc.freeze()
    sys.exit(code)


TERMINATED = 128 + signal.SIGTERM
"""Exit code of what SIGTERM ended, as a shell has it; of Ctrl-C it is 130."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _usage_error(error: CycloptsError) -> NoriaError:
    inner = error.__cause__ or error.__context__
    if isinstance(error, ValidationError) and isinstance(inner, NoriaError):
        return inner
    errors = getattr(inner, "errors", None)
    if callable(errors):
        first = errors()[0]
        if not first["loc"]:  # a check across several settings says all by itself
            return SettingError(first["msg"].removeprefix("Value error, "))
        flag = "--" + ".".join(str(part) for part in first["loc"]).replace("_", "-")
        return SettingError(
            message("errors.not_allowed", key=flag),
            found=first.get("input"),
            allowed=limit(first),
        )
    return SettingError(_usage_message(" ".join(str(error).split()).rstrip(".")), hint=message("errors.see_help"))


_USAGE = {
    "needs_argument": r'Command "(?P<command>[^"]+)" parameter (?P<name>\S+) requires an argument',
    "unknown_close": r"Unknown option: (?P<option>\S+)\. Did you mean (?P<close>\S+)\?",
    "unknown": r"Unknown option: (?P<option>\S+)",
}
"""Code of a message -> what the parser says in its place."""


def _usage_message(text: str) -> str:
    """Return what the parser says as a message, where it is one of the most frequent faults; anything else as it is."""
    for code, pattern in _USAGE.items():
        if found := re.fullmatch(pattern, text):
            return message(f"errors.usage.{code}", **found.groupdict())
    return text


@dataclass(frozen=True)
class Errors:
    """How errors are shown: for people on a line, for programs as a JSON line; with a traceback to find a fault of ours."""

    debug: bool
    json: bool

    def print(self, error: BaseException) -> int:
        """Show an error on stderr, and return its exit code."""
        if self.debug:
            import traceback

            traceback.print_exception(error)
        words = f"internal error: {type(error).__name__}: {error}; run again with --debug and report it"
        line = error.text(environment_language()) if isinstance(error, NoriaError) else words
        code = error.exit_code if isinstance(error, NoriaError) else 1
        if self.json:
            record = {"event": "error", "kind": type(error).__name__, "exit_code": code, "line": line}
            with redirect_stdout(sys.stderr):
                print_json(record | _parts(error))
        else:
            print(f"noria: {line}", file=sys.stderr)
        return code


def _parts(error: BaseException) -> dict[str, object]:
    """Return what an error says was found, what is allowed and what to do, as far as it says so."""
    parts = {name: getattr(error, name, None) for name in ("found", "allowed", "hint")}
    return {
        name: for_terminal(value) if isinstance(value, str) else str(value)
        for name, value in parts.items()
        if value is not None
    }


if __name__ == "__main__":
    run()
