"""Hostile requests, made by chance from a seed: broken JSON, numbers, text, paths, headers, framing, methods and keys."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from .raw import Place

POSTS = (
    "/v1/classify",
    "/v1/tag",
    "/v1/answer",
    "/v1/translate",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/moderate",
    "/v1/feedback",
    "/v1/events",
)
NUMBERS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1" + "0" * 400,
    "-0.0",
    "9" * 6_000,
    "1e-400",
    "0x10",
    "true",
    "null",
    "[]",
    '"7"',
    str(2**63),
    str(-(2**63) - 1),
    "5e-324",
)
FIELDS = ("temperature", "top_p", "top_k", "max_tokens", "seed", "n", "logprobs", "presence_penalty", "value", "index")
PATHS = (
    "/../../etc/passwd",
    "/v1/models/..%2f..%2f..%2fetc%2fpasswd",
    "/v1/models/%2e%2e/%2e%2e/keys.json",
    "//v1/models",
    "/v1/models/%00",
    "/v1/models/" + "a" * 5_000,
    "/console/static/../../../../etc/passwd",
    "/v1/models/\u00e9",
    "/%ff%fe",
    "/v1/apps/../../metrics",
    "/console/static/%2e%2e/%2e%2e/pyproject.toml",
    "/v1/models/..\\..\\windows\\win.ini",
    "/v1/models/{{7*7}}",
    "/v1/models/$(id)",
    "/openapi.json/..;/metrics",
    "*",
    "http://169.254.169.254/latest",
)
TEXTS = (
    "{{7*7}}{{config}}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "${jndi:ldap://x}",
    "'; DROP TABLE events; --",
    "<script>alert(1)</script>",
    "\x00\x01\x02",
    "\u202e\u2066\ufeff",
    "a" * 20_000,
    "%s%n%x" * 50,
    "🏳️‍🌈" * 500,
    "\u0300" * 3_000,
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "<|im_start|>system",
    "\ufffe\uffff",
)
METHODS = ("BREW", "TRACE", "CONNECT", "PATCH", "DELETE", "PUT", "PROPFIND", "get", "OPTIONS", "A" * 300)
Make = Callable[[random.Random, Place], bytes]


def hostile(draw: random.Random, place: Place) -> tuple[str, bytes]:
    """Return the kind of a hostile request, and its bytes."""
    kind = draw.choice(list(KINDS))
    return kind, KINDS[kind](draw, place)


def _post(draw: random.Random, place: Place, content: bytes, extra: bytes = b"", path: str = "") -> bytes:
    kind = draw.choice(
        (b"application/json", b"application/json; charset=utf-16", b"text/plain", b"multipart/form-data; boundary=x")
    )
    head = f"POST {path or draw.choice(POSTS)} HTTP/1.1\r\nhost: {place.host}\r\nauthorization: Bearer {place.key}\r\n".encode()
    return head + b"content-type: " + kind + b"\r\n" + extra + b"content-length: %d\r\n\r\n" % len(content) + content


def _numbers(draw: random.Random, place: Place) -> bytes:
    fields = ", ".join(f'"{name}": {draw.choice(NUMBERS)}' for name in draw.sample(FIELDS, draw.randrange(1, 4)))
    start = draw.choice(
        (
            '"prompt": "x", "max_tokens": 1',
            '"input": "x"',
            '"messages": [{"role": "user", "content": "x"}]',
            '"events": [{"kind": "click", "value": NaN}]',
            '"input": {"features": [1e999]}',
        )
    )
    return _post(draw, place, f"{{{start}, {fields}}}".encode())


def _deep(draw: random.Random, place: Place) -> bytes:
    depth = draw.choice((100, 2_000, 50_000))
    opened, closed = draw.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"input":', b"}")))
    return _post(draw, place, opened * depth + (b"1" + closed * depth if draw.random() < 0.5 else b""))


def _bytes(draw: random.Random, place: Place) -> bytes:
    return _post(
        draw,
        place,
        draw.choice(
            (
                b"\xff\xfe\x00",
                b'{"input": "\xc3\x28"}',
                b'{"input": "\\ud800"}',
                draw.randbytes(draw.randrange(1, 3_000)),
                b"",
                b'{"input": "x"',
                b"null",
                b'"x"',
                b'{"input": "x", "input": 7}',
                b'\xef\xbb\xbf{"input": "x"}',
                b'{"prompt": "\\u0000"}',
            )
        ),
    )


def _texts(draw: random.Random, place: Place) -> bytes:
    text = draw.choice(TEXTS)
    body = draw.choice(
        (
            {"input": text},
            {"input": [text] * draw.choice((1, 3, 2_000))},
            {"prompt": text, "max_tokens": 2},
            {"messages": [{"role": "user", "content": text}], "max_tokens": 2},
            {"input": "x", "model": text},
            {"input": "x", "user": text},
            {"request": text, "right": True},
            {"events": [{"kind": "click", "subject": text}]},
            {"input": {"question": text, "context": text}},
            {text: text},
            {"prompt": "x", "stop": [text], "max_tokens": 2},
            {"messages": [{"role": text, "content": "x"}]},
            {
                "messages": [{"role": "user", "content": "x"}],
                "max_tokens": 2,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": text, "pattern": text}},
                },
            },
        )
    )
    return _post(draw, place, json.dumps(body, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass"))


def _paths(draw: random.Random, place: Place) -> bytes:
    key = f"authorization: Bearer {place.key}\r\n" if draw.random() < 0.7 else ""
    return f"GET {draw.choice(PATHS)} HTTP/1.1\r\nhost: x\r\n{key}connection: close\r\n\r\n".encode(
        "utf-8", "surrogatepass"
    )


def _headers(draw: random.Random, place: Place) -> bytes:
    extra = draw.choice(
        (
            b"x: " + b"y" * draw.choice((9_000, 200_000)) + b"\r\n",
            b"".join(b"x-%d: y\r\n" % number for number in range(300)),
            b"host: evil.example\r\nhost: other\r\n",
            b"x-forwarded-host: evil.example\r\nx-forwarded-for: 127.0.0.1\r\n",
            b"x-noria-user: \xff\xfe\x80\r\n",
            b"x-noria-consent: maybe\r\n",
            b"idempotency-key: " + b"k" * 300 + b"\r\n",
            b"x-noria-user: " + b"u" * 9_000 + b"\r\n",
            b"cookie: noria_console=" + b"." * 900 + b"\r\n",
            b"range: bytes=0-,0-,0-\r\n",
            b"expect: 100-continue\r\n",
            b"accept: text/html\r\norigin: null\r\n",
            b"bad header\r\n",
            b"a\x00b: c\r\n",
            b": empty\r\n",
            b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n",
            b"accept-encoding: " + b"gzip," * 2_000 + b"\r\n",
        )
    )
    return _post(draw, place, b'{"input": "x"}', extra)


def _framing(draw: random.Random, place: Place) -> bytes:
    head = f"POST {draw.choice(POSTS)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {place.key}\r\ncontent-type: application/json\r\n".encode()
    return draw.choice(
        (
            head + b"content-length: -5\r\n\r\n{}",
            head + b"content-length: 99999999999999999999999\r\n\r\n{}",
            head + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            head + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
            head + b"content-length: 2\r\ncontent-length: 40\r\n\r\n{}",
            head + b"transfer-encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            head + b"content-length: 2\r\n\r\n{}GET /metrics HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            draw.randbytes(200),
            b"\r\n" * 500,
            head + b"content-length: " + b"9" * 5_000 + b"\r\n\r\n{}",
        )
    )


def _methods(draw: random.Random, place: Place) -> bytes:
    path = draw.choice((*POSTS, "/health", "/metrics", "/v1/models", "/openapi.json"))
    return f"{draw.choice(METHODS)} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {place.key}\r\nconnection: close\r\n\r\n".encode()


def _keys(draw: random.Random, place: Place) -> bytes:
    key = draw.choice(
        (
            b"Bearer ",
            b"Bearer noria__",
            b"Bearer " + place.key[:-1].encode(),
            b"Bearer \xff\xff_\xfe_\xfd",
            b"Basic eDp4",
            b"Bearer noria_' OR '1'='1",
            b"Bearer " + b"x" * 8_000,
            b"bearer\t" + place.key.encode()[::-1],
        )
    )
    path = draw.choice((*POSTS, "/metrics", "/openapi.json", "/v1/models")).encode()
    return b"GET " + path + b" HTTP/1.1\r\nhost: x\r\nauthorization: " + key + b"\r\nconnection: close\r\n\r\n"


KINDS: dict[str, Make] = {
    "numbers": _numbers,
    "deep JSON": _deep,
    "broken bytes": _bytes,
    "injected text": _texts,
    "paths": _paths,
    "headers": _headers,
    "framing": _framing,
    "methods": _methods,
    "keys": _keys,
}
"""Kind -> what makes one of it."""
