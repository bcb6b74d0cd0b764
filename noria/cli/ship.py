"""`noria ship`: models -> HTTP service and applications."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

import noria
from noria.apps.serving import FILE, ServedRecommender, ServedSupport, ServeSettings
from noria.apps.settings import OpinionSettings
from noria.core.errors import SettingError
from noria.core.messages import for_terminal, message
from noria.core.progress import manner
from noria.server.guard.guard import GuardSettings
from noria.server.http.settings import KeySettings, ServerSettings

from . import applications, events
from . import recommend as recommending
from . import support as supporting
from .applications import Shown, exit_code
from .manners import Commands, print_json, print_made, print_message, printed, record_of, report
from .rollout import versions

app = Commands(name="ship", help="Models -> HTTP service and applications.")
key_app = Commands(
    name="key",
    help="""Make, list, rotate and revoke the keys that the server asks for.

    Examples::

        noria ship key make shop --lake runs/lake     a key for one customer, shown once
        noria ship key make bot --scopes chat --requests-minute 60 --tokens-day 1000000
        noria ship key list --lake runs/lake
        noria ship key rotate 3f9a01c2 --overlap-hours 24
        noria ship key revoke 3f9a01c2
    """,
)
app.command(key_app)
app.command(events.app)
app.command(supporting.app)
app.command(recommending.app)

for _command in (applications.monitor, applications.watch, applications.brief, versions):
    app.command(_command)


@app.command
def serve(
    *models: Path,
    config: Path | None = None,
    apps: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    console: Path | None = None,
    canaries: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    shadows: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    guard: Annotated[GuardSettings, Parameter(name="guard")] = GuardSettings(),
    keys: Annotated[KeySettings, Parameter(name="keys")] = KeySettings(),
    support: Annotated[ServedSupport, Parameter(name="support")] = ServedSupport(),
    monitor: Annotated[OpinionSettings, Parameter(name="monitor")] = OpinionSettings(),
    recommend: Annotated[ServedRecommender, Parameter(name="recommend")] = ServedRecommender(),
    settings: Annotated[ServerSettings, Parameter(name="*")] = ServerSettings(),
) -> int:
    """Serve models over HTTP until Ctrl-C or SIGTERM: OpenAI's API, Noria's, and the applications.

    The section [serve] of noria.toml says what is served; its keys are these flags, and a flag stands above it. SIGHUP reads
    it again without dropping a request. The first start makes an admin key and shows it once. On SIGTERM what is in flight
    finishes and events are flushed.

    Examples::

        noria ship serve                                  what noria.toml in this folder says
        noria ship serve --config team.toml --port 8500
        noria ship serve runs/demo/sentiment-served
        noria ship serve runs/demo/embed-served --support.faq faq.csv --recommend.items items.csv --console .
        noria ship serve Qwen2.5-0.5B-Instruct Llama-3.2-1B-Q4_K_M.gguf
        noria ship serve Qwen2.5-0.5B-Instruct --adapters legal=runs/legal support=runs/support
        noria ship serve runs/bot --guard.words blocked.txt --guard.personal mask --guard.injection block

    Parameters
    ----------
    models
        Model folders, Noria's own, Hugging Face's or sentence-transformers', or GGUF files; each is served under its name.
    config
        The TOML file to read; noria.toml, where it lies in this folder and no models are named.
    apps
        Applications to mount with nothing more to say of them: support, monitor, recommend.
    console
        Folder of a run, or any other: serve the console, too, and show a link that signs one browser in.
    canaries
        Versions that answer a share of a model's requests, each as MODEL=FOLDER:SHARE.
    shadows
        Versions that answer a share of a model's texts for comparison only, each as MODEL=FOLDER:SHARE.
    guard
        What goes in and out is checked for: blocked words, personal data, marks of prompt injection.
    keys
        What a client's key may use that has no limits of its own.
    support
        Customer service.
    monitor
        Opinion monitoring.
    recommend
        Recommendation.
    """
    from noria.core.caveats import caveats_of

    file = config or (FILE if not models and FILE.is_file() else None)
    flags: dict[str, Any] = {"canaries": canaries, "shadows": shadows, "guard": guard, "keys": keys}
    sections = {"support": support, "monitor": monitor, "recommend": recommend}
    flags |= {name: one if one.model_fields_set else None for name, one in sections.items()}
    found = ServeSettings.given(
        file, models=models, apps=apps, console=console, **flags, **settings.model_dump(exclude_unset=True)
    )
    if not (found.models or found.applications or found.console):
        raise SettingError(message("serve.nothing"), hint=message("serve.nothing_hint"))
    for model in found.models:
        for words in caveats_of(model):
            print(for_terminal(message("lines.note", name=model.name, words=words)), file=sys.stderr, flush=True)
    shown = Shown(found.console)
    ended = noria.serve(
        *models, file=file, apps=apps, **flags, settings=settings, prepare=shown.prepare, announce=shown.announce
    )
    return exit_code(ended)


@app.command
def verify(
    model: Path,
    *,
    url: str,
    key: Annotated[str, Parameter(env_var="NORIA_KEY")] = "",
    name: Annotated[str, Parameter(name="--model-name")] = "",
    rows: Annotated[Path | None, Parameter(name="--texts")] = None,
    prompts: int = 300,
    agreement: float = 0.97,
    divergence: float = 0.05,
) -> int:
    """Compare what an endpoint serves with the trained model, and name what differs first.

    Any endpoint of OpenAI's API: this server, llama.cpp's, vLLM, Ollama, LM Studio. Ends with exit code 3 where the
    template, special tokens, sampling or weights differ, and shows the first differing token.

    Examples::

        noria ship verify runs/bot --url http://localhost:8400/v1 --key $KEY
        noria ship verify Qwen2.5-0.5B-Instruct --url http://localhost:8080/v1
        noria ship verify model-Q4_K_M.gguf --url http://localhost:11434/v1 --model-name qwen2.5:0.5b --texts held-out.jsonl

    Parameters
    ----------
    model
        What was trained: a model folder, a plain Hugging Face folder or a GGUF file.
    url
        Address of an API as OpenAI's, up to /v1.
    key
        A key of the server.
    name
        Name of the model, as it is served; the first that it lists where it is left out.
    rows
        A file of texts or rows to cut prompts from; bundled texts where it is left out.
    prompts
        Prompts that are gone on from.
    agreement
        The least share of prompts after which both find the same token likeliest.
    divergence
        The most divergence of the next token, nats.
    """
    shown = report()
    found = noria.verify(
        model,
        url=url,
        key=key,
        name=name,
        rows=rows,
        prompts=prompts,
        agreement=agreement,
        divergence=divergence,
        progress=shown,
    )
    for words in found.seen:
        shown.closing(for_terminal(words))
    for figure in found.figures:
        shown.closing(figure.text(), **figure.as_dict())
    shown.closing(for_terminal(found.title()), passed=found.passed, differs=found.differs)
    print_made({**record_of(found), "passed": found.passed}, None)
    return 0 if found.passed else 3


@app.command
def remote(
    out: Path,
    *,
    url: str,
    model: Annotated[str, Parameter(name="--model-name")],
    task: Literal["chat", "complete", "embed"] = "chat",
    key_variable: str = "",
    max_length: int = 4_096,
) -> None:
    """Write a model folder that stands for a model of another server with OpenAI's API, such as vLLM on a GPU machine.

    Served like any other: keys, limits, guard and events are this server's.

    Examples::

        noria ship remote runs/big --url http://gpu-1:8000/v1 --model-name Qwen3-8B
        noria ship remote runs/big --url https://gpu-1/v1 --model-name Qwen3-8B --key-variable BIG_KEY
        noria ship serve runs/big

    Parameters
    ----------
    out
        The folder to write; clients call the model by its name.
    url
        Address of an API as OpenAI's, up to /v1: the other server's.
    model
        Name of the model, as it is served there.
    task
        What it is for.
    key_variable
        Environment variable that holds the key to the other server; the key itself is never written down.
    max_length
        Most tokens that the model reads and writes.
    """
    from noria.infer.remote import write_remote

    write_remote(out, task=task, url=url, model=model, key_variable=key_variable, max_length=max_length)
    print_message(message("lines.stands", out=out, model=model, url=url))


@key_app.command(name="make")
def make_key(
    name: str,
    /,
    *,
    role: Literal["client", "viewer", "agent", "editor", "admin"] = "client",
    scopes: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
    models: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
    requests_minute: int | None = None,
    tokens_minute: int | None = None,
    tokens_day: int | None = None,
    lake: Path = ServerSettings().lake,
) -> None:
    """Make a key and show it, once.

    Examples::

        noria ship key make shop
        noria ship key make bot --scopes chat apps/support --requests-minute 60 --tokens-day 1000000
        noria ship key make operator --role editor

    Parameters
    ----------
    name
        What the key is for.
    role
        client may use the API. The others are of people, and each may what those before it may: a viewer reads the console and the metrics,
        an agent answers conversations and judges, an editor changes, trains and deploys, an admin also has keys, settings and events.
    scopes
        Keep it to parts of the API: models, classify, tag, answer, embeddings, translate, completions, chat, moderate,
        feedback, events, apps or apps/<name>.
    models
        Keep it to models, by name.
    requests_minute
        Most requests a minute.
    tokens_minute
        Most tokens a minute, read and written.
    tokens_day
        Most tokens a day, UTC.
    lake
        The server's lake.
    """
    from noria.server.http.keys import Keys, Limits

    limits = Limits(requests_minute, tokens_minute, tokens_day)
    key = Keys(lake / "server").make(name, role, scopes=scopes, models=models, limits=limits)
    printed({"name": name, "role": role, "key": key}, lambda: print(key))


@key_app.command(name="list")
def list_keys(*, lake: Path = ServerSettings().lake) -> None:
    """List all keys: id, role, state, when made, name, and what it is kept to.

    Examples::

        noria ship key list

    Parameters
    ----------
    lake
        The server's lake.
    """
    from datetime import UTC, datetime

    from noria.server.http.keys import Keys

    now = datetime.now(UTC)
    for key in Keys(lake / "server").list():
        if manner().json:
            shown = {name: value for name, value in vars(key).items() if name != "sha256"}
            print_json(shown | {"status": key.status(now)})
            continue
        until = f" until {key.expires}" if key.expires and key.status(now) == "works" else ""
        kept = [*key.scopes, *key.models]
        kept += [
            f"{most:,} {what}"
            for most, what in (
                (key.requests_minute, "requests/min"),
                (key.tokens_minute, "tokens/min"),
                (key.tokens_day, "tokens/day"),
            )
            if most
        ]
        print(
            f"{key.id}  {key.role:6}  {key.status(now) + until:7}  {key.created}  {key.name}  {' '.join(kept)}".rstrip()
        )


@key_app.command(name="rotate")
def rotate_key(
    key: str,
    /,
    *,
    overlap_hours: Annotated[float, Parameter(validator=validators.Number(gte=0, lte=8_760))] = 24.0,
    lake: Path = ServerSettings().lake,
) -> None:
    """Make a new key in the place of one and show it, once; the old one goes on for a while. Both count as one customer.

    Examples::

        noria ship key rotate 3f9a01c2
        noria ship key rotate 3f9a01c2 --overlap-hours 0

    Parameters
    ----------
    key
        Id of the old one, as the list shows it.
    overlap_hours
        Hours that the old one goes on.
    lake
        The server's lake.
    """
    from datetime import timedelta

    from noria.server.http.keys import Keys

    made = Keys(lake / "server").rotate(key, timedelta(hours=overlap_hours))
    printed({"replaces": key, "key": made}, lambda: print(made))


@key_app.command(name="revoke")
def revoke_key(key: str, /, *, lake: Path = ServerSettings().lake) -> None:
    """Make a key worthless, at once, on running servers too.

    Examples::

        noria ship key revoke 3f9a01c2

    Parameters
    ----------
    key
        Its id, as the list shows it.
    lake
        The server's lake.
    """
    from noria.server.http.keys import Keys

    revoked = Keys(lake / "server").revoke(key)
    print_message(message("lines.revoked", id=revoked.id, name=revoked.name))


@app.command
def audit(*, noted: str = "", lake: Path = ServerSettings().lake) -> int:
    """Check the log of who changed what; exit with 3 where one of its lines was changed, moved or taken out.

    Examples::

        noria ship audit --lake runs/lake
        noria ship audit --noted 9f2c...       # the hash that an earlier check gave: nothing was cut off since

    Parameters
    ----------
    noted
        SHA-256 of the last line, as an earlier check told it.
    lake
        The server's lake.
    """
    from dataclasses import asdict

    from noria.server.http.keys import Keys

    checked = Keys(lake / "server").audit.check(noted)
    line = message("lines.audit_whole", entries=checked.entries, torn=checked.torn, last=checked.last)
    if checked.missing:
        line = message("lines.audit_missing", entries=checked.entries)
    elif checked.broken:
        line = message("lines.audit_broken", line=checked.broken)
    printed({**asdict(checked), "whole": checked.whole}, lambda: print(for_terminal(line)))
    return 0 if checked.whole else 3
