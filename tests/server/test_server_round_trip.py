"""What the server returns is accepted back, and null is absent: over every request model, every route and every shape of a reply."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pydantic
import pytest
from tiny_models import TEXTS

from noria.server.http.bodies import Body
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings

for package in map(importlib.import_module, ("noria.server.http", "noria.apps")):
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def family(root: type[Body]) -> list[type[Body]]:
    return sorted(
        {root, *(two for one in root.__subclasses__() for two in family(one))}, key=lambda one: one.__qualname__
    )


BODIES = [one for one in family(Body) if one.model_fields]
"""Every request model there is, those of the applications too."""


def least(schema: dict[str, Any], document: dict[str, Any], name: str = "") -> Any:
    """Return the smallest value that a schema of the document allows, made by hand so that it says what it should."""
    while "$ref" in schema:
        known = document["components"]["schemas"] if "components" in document else document["$defs"]
        schema = known[schema["$ref"].rsplit("/", 1)[-1]]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return least(schema[key][0], document, name)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:  # of an operator's actions the one that needs no folder
        return "end" if name == "action" and "end" in schema["enum"] else schema["enum"][-1]
    kind = schema.get("type")
    if kind == "object":
        needed = schema.get("required", ())
        return {
            one: least(field, document, one) for one, field in schema.get("properties", {}).items() if one in needed
        }
    if kind == "array":
        return [least(schema["items"], document, name)] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", 0))
    if kind == "boolean":
        return False
    if schema.get("format") == "date-time":
        return "2026-01-05T08:00:00Z"
    if "7[0-9a-f]{3}" in schema.get("pattern", ""):
        return "01a228d8-d41b-7000-aa2e-eb307244b143"
    if schema.get("pattern") == "^[0-9a-f]{12}$":
        return "01a228d8d41b"
    return "a" if "pattern" in schema else "物流"


NEEDED = {"NewJob": {"kind": "plan", "task": "classify"}}
"""Request model -> what it needs by a rule of its own, which no schema tells."""


@pytest.mark.parametrize("body", BODIES, ids=lambda one: one.__qualname__)
def test_null_is_absent_in_every_request_model(body: type[Body]) -> None:
    schema, needed = body.model_json_schema(), NEEDED.get(body.__qualname__, {})
    given = least(schema, schema) | needed
    plain = body.model_validate(given)
    optional = [
        field.alias or name
        for name, field in body.model_fields.items()
        if not field.is_required() and name not in needed
    ]
    for name in optional:
        assert body.model_validate({**given, name: None}) == plain, name
        told = schema["properties"][name]
        assert told.get("type") == "null" or {"type": "null"} in told.get("anyOf", ()) or "type" not in told, (
            name,
            told,
        )
    assert body.model_validate({**given, **dict.fromkeys(optional)}) == plain
    # What a client knows and this server does not, said as nothing.
    assert body.model_validate({**given, "verbosity": None}).model_dump() == plain.model_dump()
    if body.model_config["extra"] == "forbid":
        with pytest.raises(pydantic.ValidationError, match="verbosity"):
            body.model_validate({**given, "verbosity": "low"})


ELSEWHERE = {"/v1/jobs", "/v1/jobs/{job}"}
"""They begin processes, and are tried in test_jobs."""
CHOICES = {
    "/v1/classify": {"model": "sentiment"},
    "/v1/tag": {},
    "/v1/answer": {},
    "/v1/translate": {},
    "/v1/embeddings": {},
    "/v1/completions": {"max_tokens": 2, "seed": 1},
    "/v1/chat/completions": {"max_tokens": 2, "seed": 1},
    "/v1/tokenize": {"prompt": "a", "model": "writer"},
    "/v1/moderate": {},
    "/v1/feedback": {},
    "/v1/events": {},
}


@pytest.mark.parametrize("path", CHOICES)
def test_null_is_absent_on_every_route_of_the_document(client: httpx.Client, path: str) -> None:
    document = client.get("/openapi.json").json()
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    given = least(schema, document) | CHOICES[path]
    model = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    plain = client.post(path, json=given)
    assert plain.status_code == 200, plain.text
    nothing = dict.fromkeys(set(model["properties"]) - set(given))
    assert nothing or path == "/v1/events"
    told = client.post(path, json={**given, **nothing, "not_known_here": None})
    assert told.status_code == 200, told.text
    assert unnamed(told.json()) == unnamed(plain.json())


def unnamed(reply: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in reply.items() if name not in ("id", "ids", "created")}


def test_every_posted_route_of_the_server_is_among_those(client: httpx.Client) -> None:
    posted = {path for path, one in client.get("/openapi.json").json()["paths"].items() if "post" in one}
    mine = {path for path in posted if path.startswith("/v1/") and not path.startswith("/v1/apps/")}
    assert mine == {*CHOICES, *ELSEWHERE}


# What servers and clients make of an answer before they send it back.
ANSWERS = {
    "ours": {"content": "yo", "refusal": None},
    "empty": {"content": ""},
    "null": {"content": None},
    "nothing": {},
    "blank": {"content": " \n"},
    "openai": {
        "content": "yo",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    },
    "no tools": {"content": "yo", "tool_calls": [], "name": None},
    "cited": {
        "content": "yo",
        "annotations": [{"type": "url_citation", "url_citation": {"url": "http://x", "title": "x"}}],
    },
    "vLLM": {"content": "yo", "reasoning": None, "reasoning_content": "let me see", "tool_calls": []},
    "DeepSeek, cut": {"content": None, "reasoning_content": "let me see"},
    "OpenRouter": {"content": "yo", "reasoning": "so", "reasoning_details": [{"type": "reasoning.text", "text": "so"}]},
    "LiteLLM": {"content": "yo", "provider_specific_fields": {"a": 1}, "thinking_blocks": None, "images": []},
    "named": {"content": "yo", "name": "desk", "id": "msg_1", "type": "message"},
    "parts": {"content": [{"type": "text", "text": "yo"}]},
    "no parts": {"content": []},
    "cached parts": {
        "content": [{"type": "text", "text": "yo", "cache_control": {"type": "ephemeral"}, "annotations": []}]
    },
    "refused": {"content": None, "refusal": "I cannot."},
    "refused in parts": {"content": [{"type": "refusal", "refusal": "I cannot."}]},
    "parsed": {"content": '{"a":1}', "parsed": {"a": 1}},
    "streamed": {"content": "yo", "refusal": None, "index": 0, "finish_reason": "stop", "delta": {}},
    "nested": {"content": "yo", "extra": {"deep": [[[{"x": None}]]]}},
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_every_shape_of_an_answer_is_a_turn_again(client: httpx.Client, answer: dict[str, Any]) -> None:
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", **answer},
        {"role": "user", "content": "还有呢？"},
    ]
    told = client.post("/v1/chat/completions", json={"model": "chatter", "max_tokens": 2, "messages": turns})
    assert told.status_code == 200, told.text


@pytest.mark.parametrize(
    ("turn", "field", "word"),
    [
        (
            {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function"}]},
            "messages.1.tool_calls.0.function",
            "required",
        ),
        (
            {"role": "assistant", "content": None, "function_call": {"name": "f"}},
            "messages.1.function_call",
            "not served",
        ),
        ({"role": "assistant", "contnet": "yo"}, "messages.1.contnet", "did you mean content"),
        ({"role": "tool", "content": "yo", "tool_call_id": "1"}, "messages.1.tool_call_id", "nothing was called"),
        ({"role": "user", "content": "yo", "colour": "red"}, "messages.1.colour", "unknown field"),
        ({"role": "user", "content": "yo", "refusal": "no"}, "messages.1.refusal", "unknown field"),
        (
            {"role": "user", "content": [{"type": "text", "text": "a", "size": 1}]},
            "messages.1.content.0.size",
            "unknown field",
        ),
        ({"role": "assistant", "content": [{"type": "image", "url": "x"}]}, "messages.1.content.0.type", "text"),
    ],
)
def test_what_no_server_says_is_refused_by_its_field(
    client: httpx.Client, turn: dict[str, Any], field: str, word: str
) -> None:
    turns = [{"role": "user", "content": "hi"}, turn, {"role": "user", "content": "q"}]
    told = client.post("/v1/chat/completions", json={"model": "chatter", "messages": turns})
    assert told.status_code in (400, 422)
    assert told.json()["error"]["param"] == field, told.text
    assert word in told.json()["error"]["message"]


def test_what_was_answered_is_the_better_answer_of_a_feedback(client: httpx.Client) -> None:
    """Every answer about a text can be given as what another should have been; so can every request id and event id."""
    replies = {
        "label": client.post("/v1/classify", json={"input": TEXTS[0]}),
        "spans": client.post("/v1/tag", json={"input": TEXTS[4]}),
        "text": client.post("/v1/answer", json={"input": {"question": "谁？", "context": TEXTS[4]}}),
        "translation": client.post("/v1/translate", json={"input": TEXTS[0]}),
        "completion": client.post("/v1/completions", json={"model": "writer", "prompt": "大", "max_tokens": 2}),
    }
    values = [
        (name, reply.json()["data"][0]["text" if name == "translation" else name])
        for name, reply in replies.items()
        if name != "completion"
    ]
    values += [
        ("completion", replies["completion"].json()["choices"][0]["text"]),
        ("text", ""),
        ("spans", []),
        ("spans", [{"start": 0, "end": 2, "label": "place", "text": "北京", "score": 0.9}]),
    ]
    for name, value in values:
        request = replies[name].headers["x-request-id"]
        told = client.post("/v1/feedback", json={"request": request, "right": False, "better": value})
        assert told.status_code == 200, (name, value, told.text)
        again = {"events": [{"kind": "click", "id": told.json()["id"], "subject": request, "value": None}]}
        assert client.post("/v1/events", json=again).json() == {"ids": [told.json()["id"]]}


def test_what_was_completed_is_a_prompt_again(client: httpx.Client) -> None:
    prompt = "大"
    for _ in range(3):
        told = client.post("/v1/completions", json={"model": "writer", "prompt": prompt, "max_tokens": 3, "stop": "\n"})
        assert told.status_code == 200, told.text
        prompt += told.json()["choices"][0]["text"]
    empty = client.post("/v1/completions", json={"model": "writer", "prompt": "", "max_tokens": 1})
    assert empty.status_code in (200, 400), (
        "an answer may be empty, and a prompt, too, where the model begins by itself"
    )


def test_models_and_versions_are_named_by_their_own_replies(client: httpx.Client) -> None:
    for model in client.get("/v1/models").json()["data"]:
        assert client.get(f"/v1/models/{model['id']}").json()["id"] == model["id"]
        told = client.get(f"/versions/{model['id']}").json()
        asked = {"action": "swap", "folder": told["folder"], "share": None, "why": None}
        answered = client.post(f"/versions/{model['id']}", json={**asked, "action": "end", "folder": None})
        assert answered.status_code == 400, "no trial to end, which is all that is wrong"
        assert "field" not in answered.json()["error"]["message"]


@pytest.fixture(scope="module")
def official(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as made:
        yield made


def test_openai_s_client_talks_for_many_turns(official: openai.OpenAI) -> None:
    """Its messages go back as objects, as dumps with and without nulls, and as streams put together."""
    turns: list[Any] = [{"role": "system", "content": "Answer."}]
    for number in range(6):
        turns.append({"role": "user", "content": TEXTS[number]})
        asked = {"model": "chatter", "messages": turns, "max_tokens": 4, "seed": number}
        if number == 5:
            with official.chat.completions.stream(**asked) as stream:
                try:
                    turns.append(stream.get_final_completion().choices[0].message)
                except openai.LengthFinishReasonError as cut:  # what came is there all the same
                    turns.append(cut.completion.choices[0].message)
            continue
        if number == 4:
            whole = {}
            for chunk in official.chat.completions.create(**asked, stream=True):
                for name, value in chunk.choices[0].delta.model_dump().items():
                    whole[name] = (whole.get(name) or "") + value if isinstance(value, str) else whole.get(name)
            turns.append({**whole, "role": "assistant"})
            continue
        raw = official.chat.completions.with_raw_response.create(**asked)
        assert raw.headers["x-request-id"] == raw.parse().id
        message = raw.parse().choices[0].message
        turns.append([message, message.model_dump(), message.model_dump(exclude_none=True), message.to_dict()][number])
    turns.append({"role": "user", "content": "?"})
    assert official.chat.completions.create(model="chatter", messages=turns, max_tokens=2).choices


def test_openai_s_client_embeds_in_every_form(official: openai.OpenAI, client: httpx.Client) -> None:
    texts = [TEXTS[0], TEXTS[9]]
    plain = official.embeddings.create(model="vectors", input=texts, encoding_format="float").data
    width = len(plain[0].embedding)
    for extra in ({}, {"user": "u"}, {"dimensions": width}, {"extra_body": {"user": None, "dimensions": None}}):
        told = official.embeddings.create(model="vectors", input=texts, **extra).data
        for one, other in zip(told, plain, strict=True):
            assert one.embedding == pytest.approx(other.embedding, abs=1e-6), extra
    with pytest.raises(openai.BadRequestError) as cut:
        official.embeddings.create(model="vectors", input=texts, dimensions=width - 1)
    assert cut.value.param == "dimensions"
    with pytest.raises(openai.BadRequestError, match="own tokenizer"):
        official.embeddings.create(model="vectors", input=[[100_257]])


def test_a_client_of_another_language_says_null_for_all_it_knows(client: httpx.Client) -> None:
    """Clients made from OpenAI's own document in Java, Go or C# send every field; those of LangChain send many."""
    known = (
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "metadata",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    )
    turns = [{"role": "user", "content": "hi", "name": None, "tool_calls": None, "tool_call_id": None, "refusal": None}]
    asked = {"model": "chatter", "messages": turns, "max_tokens": 2, **dict.fromkeys(known)}
    told = client.post("/v1/chat/completions", json=asked)
    assert told.status_code == 200, told.text
    refused = client.post("/v1/chat/completions", json={**asked, "reasoning_effort": "low"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "reasoning_effort")


@pytest.fixture(scope="module")
def products(
    classifier: Path, tagger: Path, embedder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    from noria.api.serving import application as make

    settings = ServerSettings(port=0, lake=tmp_path_factory.mktemp("products"), threads=1)
    apps = [make(name) for name in ("support", "monitor", "recommend")]
    with (
        serving(settings, [classifier, tagger, embedder], apps) as running,
        httpx.Client(base_url=running.url, headers=running.headers, timeout=60) as made,
    ):
        yield made


def test_what_the_applications_say_is_what_they_are_told_next(products: httpx.Client) -> None:
    document = products.get("/openapi.json").json()

    def ask(path: str, **body: Any) -> dict[str, Any]:
        schema = document["paths"][f"/v1/apps/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        known = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        optional = set(known["properties"]) - set(known.get("required", ())) - set(body)
        told = products.post(f"/v1/apps/{path}", json={**body, **dict.fromkeys(optional)})
        assert told.status_code == 200, told.text
        return told.json()

    reply = ask("support/ask", question="怎么安装？", conversation="c1")
    offered = [one["entry"] for one in reply["choices"]] or [None]
    for entry in (offered[0], None):
        ask("support/choose", entry=entry, language=reply["language"], about=reply["id"])
    ask("support/ask", question=reply["text"], conversation="c1")
    assert (
        products.post(
            "/v1/feedback", json={"request": reply["id"], "right": False, "better": reply["text"]}
        ).status_code
        == 200
    )

    seen = ask("monitor/texts", texts=[{"text": text, "time": None, "id": None} for text in TEXTS[:3]])
    times = [one["time"] for one in seen["mentions"]]
    ask("monitor/texts", texts=[{"text": TEXTS[3], "time": time} for time in times])
    for time in times:
        ask("monitor/clock", time=time)
    for alert in products.get("/v1/apps/monitor/alerts").json():
        assert products.get(f"/v1/apps/monitor/alerts/{alert['id']}").status_code == 200

    ask("recommend/items", items=[{"id": str(place), "text": text, "title": None} for place, text in enumerate(TEXTS)])
    for _ in range(2):
        for one in ask("recommend/pick", user="u", count=3)["picks"]:
            ask("recommend/click", user="u", item=one["item"]["id"])
            ask("recommend/items", items=[one["item"]])


def test_replies_are_what_the_document_says(client: httpx.Client) -> None:
    """The message of an answer, by the document itself, is a turn of a request."""
    document = client.get("/openapi.json").json()["components"]["schemas"]
    said = client.post(
        "/v1/chat/completions",
        json={"model": "chatter", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]},
    ).json()["choices"][0]["message"]
    assert {*said, "tool_calls"} == set(document["Message"]["properties"]), "calls are told where there are any"
    turn = document["AnswerTurn"]
    assert turn["additionalProperties"] is True
    assert json.dumps(turn["properties"]["refusal"]).count("null") == 1
