"""The OpenAPI document is true: schemathesis sends what it allows and what it forbids, and the server does as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx

from noria.server.http.run import Running

# 400: right field by field, and still not to be used, which no schema can say. 422 never answers what the document allows.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "429", "503"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "422"]
"""


def test_schemathesis_finds_nothing(server: Running, tmp_path: Path):
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [
        str(Path(sys.executable).parent / "st"),
        "--config-file",
        "schemathesis.toml",
        "run",
        f"{server.url}/openapi.json",
        "-H",
        f"Authorization: {server.headers['authorization']}",
        "--phases",
        "examples,coverage,fuzzing",
        "--exclude-path",
        "/versions/{model}",  # it would load models by chance; test_server_rollout tries it
        "--max-examples",
        "10",
        "--seed",
        "7",
        "--no-color",
        "--continue-on-failure",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, "\n".join(line[:300] for line in done.stdout.splitlines())
    # It also warns where chance rarely hits upon a model's name, which is no fault.
    told = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert told
    assert told[1] == told[2]
    assert server.state.ready


def test_the_document_names_every_route_and_its_errors(client: httpx.Client, server: Running):
    made = client.get("/openapi.json").json()
    assert made == server.app.openapi()
    for path in (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/classify",
        "/v1/tag",
        "/v1/answer",
        "/v1/translate",
        "/v1/moderate",
        "/v1/feedback",
        "/v1/events",
        "/v1/apps/echo/say",
    ):
        post = made["paths"][path]["post"]
        assert post["security"] == [{"key": []}]
        assert {"200", "400", "401", "403", "404", "409", "413", "422", "429", "503"} <= set(post["responses"])
        assert "Idempotency-Key" in {one["name"] for one in post["parameters"]}
    assert "security" not in made["paths"]["/health"]["get"]
    events = made["components"]["schemas"]["Events"]["properties"]["events"]
    assert events["maxItems"] == server.state.settings.max_rows


def test_what_the_document_forbids_is_422_and_what_it_cannot_say_is_400(client: httpx.Client):
    for body, status in (
        ({"input": 7}, 422),
        ({"input": ["x"] * 33}, 422),
        ({"input": "x", "consent": "yes"}, 422),
        ({"input": ["x", {"features": [1.0]}]}, 400),
        ({"input": "x", "model": "chatter"}, 404),
    ):
        assert client.post("/v1/classify", json=body).status_code == status, body
