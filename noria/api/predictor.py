"""Answers in this process: a model folder, loaded once, asked texts or rows.

with noria.load("runs/demo/sentiment-served") as model:
    model("物流很快")                        # {"label": "positive", "score": 0.97, ...}
    model.classify(["物流很快", "broken"])   # a list of such
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from noria.core.caveats import caveats_of
from noria.core.errors import InputError, SettingError
from noria.core.messages import message

from .options import PathLike, as_path

if TYPE_CHECKING:
    import numpy as np

    from noria.infer.engine import Engine
    from noria.infer.replies import Given as Asked

Answer = dict[str, Any]


def load(
    model: PathLike,
    *,
    engine: Literal["torch", "packed", "openvino", "onnx", "pair", "llamacpp", "genai"] | None = None,
    threads: int | None = None,
    device: str = "auto",
) -> Predictor:
    """Load a model folder to answer in this process, through the engine that would serve it.

        noria.load("intents")("发票怎么开？")["label"]
        noria.load("names").tag(["王明去了北京。"])
        noria.load("bot").chat([{"role": "user", "content": "Hello"}])["text"]

    Args:
        model: a model folder, Noria's, Hugging Face's or sentence-transformers'; or a GGUF file.
        engine: torch, packed, openvino, onnx, pair, llamacpp or genai, whatever the certificate says; by default the compressed one where its
            certificate was passed, else torch.
        threads: of one forward pass; all cores by default.
        device: where it computes: cpu, cuda, cuda:N, xpu or mps; auto takes an accelerator where torch finds one, unless the engine
            asked for is the processor's.

    Raises:
        FolderError: the folder is missing, damaged or no model, or holds no file for the engine asked for.
        SettingError: unknown engine or device, or the two do not go together.
    """
    from noria.infer.brought import model_folder
    from noria.infer.choose import open_engine

    folder = model_folder(as_path(model))
    return Predictor(open_engine(folder, threads=threads, prefer=engine, device=device))


class Predictor:
    """A loaded model. Not safe to use from two threads at once; `close` gives its memory back, and so does `with`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing: _Writing | None = None

    @property
    def path(self) -> Path:
        """The model's folder."""
        return self._engine.folder

    @property
    def task(self) -> str:
        """Name of the task that it answers."""
        return self._engine.task.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that it knows; empty for a task without."""
        return self._engine.task.labels

    @property
    def engine(self) -> str:
        """Name of the engine that runs it: torch, packed, openvino, onnx, pair, llamacpp or genai."""
        return self._engine.kind

    @property
    def max_length(self) -> int:
        """Most tokens of one text, special tokens included."""
        return self._engine.max_length

    @overload
    def __call__(self, given: Asked, **sampling: Any) -> Answer: ...
    @overload
    def __call__(self, given: Sequence[Asked], **sampling: Any) -> list[Answer]: ...
    def __call__(self, given: Asked | Sequence[Asked], **sampling: Any) -> Answer | list[Answer]:
        """Return the answer to a text or row, or a list of answers to several.

        Args:
            given: a text, a row, or a sequence of them.
            sampling: of a causal model: max_tokens, temperature, top_p, top_k, seed, stop ...; as of `complete`.

        Raises:
            InputError: a text that the task cannot read.
        """
        one = isinstance(given, str | Mapping)
        asked: list[Any] = [given] if one else list(given)
        for each in asked:
            if not isinstance(each, str | Mapping):
                raise InputError(
                    message("commands.text_row"), found=type(each).__name__, allowed=message("commands.str_mapping")
                )
        if self._engine.task.head == "causal":
            found = self._written(asked, **sampling)
        else:
            if sampling:
                raise SettingError(message("commands.model_draws", task=self.task), found=", ".join(sampling))
            from noria.infer.engine import answer

            found = answer(self._engine, asked)
        return found[0] if one else found

    def classify(self, texts: Sequence[Asked]) -> list[Answer]:
        """Return {label, score, scores} of each text, or {labels, scores} where a text may have several."""
        return self._as(("classify", "numeric"), texts)

    def tag(self, texts: Sequence[Asked]) -> list[Answer]:
        """Return {spans: [{start, end, label, text ...}]} of each text; places in characters."""
        return self._as(("tag",), texts)

    def answer(self, questions: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Return the words of each {question, context} that answer it, with their place in characters, or none."""
        return self._as(("answer",), questions)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return the vectors of texts [texts, width], float32, each of length one."""
        import numpy as np

        return np.asarray([one["embedding"] for one in self._as(("embed",), texts)], dtype=np.float32)

    def translate(self, texts: Sequence[str]) -> list[Answer]:
        """Return {text} of each source, written anew; for models that translate or summarise."""
        return self._as(("translate", "summarise"), texts)

    def complete(self, prompt: str, **sampling: Any) -> Answer:
        """Return {text, tokens, prompt_tokens, finish} of what follows a prompt.

        Args:
            prompt: a text.
            sampling: max_tokens (128), temperature (0.8), top_p, top_k, seed, repetition_penalty ..., and stop, texts that
                end it.

        Raises:
            InputError: the prompt is too long, or a number is out of its range.
            SettingError: the model does not complete texts.
        """
        return self._as(("complete", "causal"), [prompt], **sampling)[0]

    def chat(self, messages: str | Sequence[Mapping[str, str]], **sampling: Any) -> Answer:
        """Return {text, tokens, prompt_tokens, finish} of the assistant's next turn; see `complete`.

        Args:
            messages: [{role, content}], role system, user or assistant; or a text, which is a user's turn.
            sampling: as of `complete`.
        """
        asked: Asked = messages if isinstance(messages, str) else {"messages": list(messages)}
        return self._as(("chat",), [asked], **sampling)[0]

    def close(self) -> None:
        """Give the memory back."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        labels = f", {len(self.labels)} labels" if self.labels else ""
        return f"Predictor {self.path}: {self.task}{labels}, engine {self.engine}, up to {self.max_length:,} tokens"

    def _repr_html_(self) -> str:
        import html

        notes = "".join(f"<li>BUT {html.escape(words)}</li>" for words in caveats_of(self.path))
        return f"<p><b>{html.escape(repr(self))}</b></p>" + (f"<ul>{notes}</ul>" if notes else "")

    def _as(self, tasks: Sequence[str], given: Sequence[Asked], **sampling: Any) -> list[Answer]:
        if self.task not in tasks:
            raise SettingError(message("commands.model_another"), found=self.task, allowed=tasks)
        if isinstance(given, str | Mapping):
            raise InputError(message("commands.one_text"), found=given, hint=message("commands.put_list"))
        return self(list(given), **sampling)

    def _written(self, asked: Sequence[Asked], *, stop: Sequence[str] = (), **sampling: Any) -> list[Answer]:
        """Return what follows each prompt, all of them made together."""
        from dataclasses import asdict, fields

        from noria.tasks.complete import Sampling

        known = [one.name for one in fields(Sampling)]
        for name in sampling:
            if name not in known:
                raise SettingError(message("commands.unknown_setting", name=name), allowed=[*known, "stop"])
        drawn = asdict(Sampling(**sampling))
        if self._writing is None:
            self._writing = _Writing(self._engine)
        return self._writing.write(asked, drawn, stop)


class _Writing:
    """Completions of a causal model, made together."""

    def __init__(self, engine: Engine) -> None:
        from noria.infer.completions import CompletionStreams

        self._told: list[Answer] = []
        self._fault: Exception | None = None
        self._streams = CompletionStreams(engine, self._send, self._fail)

    def write(self, prompts: Sequence[Asked], sampling: Mapping[str, Any], stop: Sequence[str]) -> list[Answer]:
        """Return what follows each prompt."""
        self._told, self._fault = [{"text": ""} for _ in prompts], None
        try:
            for number, prompt in enumerate(prompts):
                self._streams.begin({"id": number, "prompt": prompt, "sampling": sampling, "stop": stop})
            while self._streams.busy and self._fault is None:
                self._streams.step()
        finally:
            for number in range(len(prompts)):
                self._streams.forget(number)
        if self._fault is not None:
            raise self._fault
        return self._told

    def _send(self, message: Mapping[str, Any]) -> None:
        one = self._told[message["id"]]
        one["text"] += message["text"]
        one |= {name: message[name] for name in ("tokens", "prompt_tokens", "finish") if name in message}
        if "logprobs" in message:
            one["logprobs"] = [*one.get("logprobs", ()), *message["logprobs"]]

    def _fail(self, number: int, error: Exception) -> None:
        self._fault = error
