"""Whether an endpoint serves what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noria.core.errors import InputError, SettingError
from noria.core.messages import message

from .options import Progress, from_settings, report_of
from .results import Verification


@from_settings("verify")
def verify(
    model: Path,
    *,
    url: str,
    key: str = "",
    name: str = "",
    rows: Path | None = None,
    prompts: int = 300,
    agreement: float = 0.97,
    divergence: float = 0.05,
    progress: Progress = True,
    transport: Any = None,
) -> Verification:
    """Compare what an endpoint of OpenAI's API serves with the trained model, and name what differs first.

    Any server will do: Noria's own, llama.cpp's, vLLM, Ollama. Compared are the ids that conversations become, as far as the
    endpoint shows them, the next tokens after the same ids, and how tokens are drawn.

        found = noria.verify("chat", url="http://localhost:8080/v1")
        found.passed, found.differs, found.reason

    Args:
        model: what was trained: a model folder, a plain Hugging Face folder or a GGUF file.
        url: the endpoint's API, up to /v1.
        key: to it.
        name: what it calls the model; the first that it lists where it is left out.
        rows: a file of texts or rows to cut prompts from; bundled texts where it is left out.
        prompts: that are gone on from.
        agreement: the least share of prompts after which both find the same token likeliest.
        divergence: the most divergence of the next token, nats.
        progress: bars on a terminal, lines where output is piped; False is silent.
        transport: what carries the requests in place of the network, as httpx has it.

    Raises:
        FolderError: the model cannot be used. InputError: the endpoint knows no such model or refuses the key.
        ResourceError: nothing answers there. SettingError: an address or a number out of its range.
    """
    import httpx

    from noria.core.folder import read_manifest
    from noria.infer.brought import model_folder
    from noria.infer.torch import TorchEngine
    from noria.machine import cores
    from noria.make.compress.endpoint import Endpoint
    from noria.make.compress.trained import Trained
    from noria.make.compress.verify import verify as compared
    from noria.make.corpus.texts import texts_of
    from noria.tasks.companion import open_task

    address = httpx.URL(url)
    if address.scheme not in ("http", "https") or not address.host:
        raise SettingError(message("verify.bad_url"), found=url)
    if not 1 <= prompts <= 100_000:
        raise SettingError("prompts is out of range", found=prompts, allowed="1 to 100000")
    report = report_of(progress)
    folder = model_folder(model, weights=True, note=report.note)
    manifest = read_manifest(folder)
    task = open_task(folder, manifest)
    if task.head != "causal":
        raise InputError(message("verify.not_causal"), found=task.name, allowed="complete, chat")
    texts = list(texts_of(rows, report=report)) if rows else []
    engine = TorchEngine(folder, manifest, task, threads=cores(), number="float32")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    base = url.rstrip("/") + "/" if address.path.strip("/") else url.rstrip("/") + "/v1/"
    try:
        with httpx.Client(base_url=base, headers=headers, timeout=300, trust_env=False, transport=transport) as client:
            endpoint = Endpoint(client, name)
            found = compared(
                Trained(engine),
                endpoint,
                prompts=prompts,
                texts=texts,
                agreement=agreement,
                divergence=divergence,
                report=report,
            )
    finally:
        engine.close()
    return Verification(url, endpoint.model, found.differs, found.reason, found.figures, found.seen)
