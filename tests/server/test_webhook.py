"""Signed webhooks: the right signature and no other, addresses that may be called and no others, one key through every try."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from endpoints import Sent, answered, endpoint
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import SettingError
from noria.server import webhook
from noria.server.addresses import check_url, is_public
from noria.server.errors import ApiError
from noria.server.webhook import (
    Client,
    DeliveryError,
    WebhookSettings,
    secret_of,
    signed,
    verified,
)

SECRET, NOW = "a secret of ours", 1_790_000_000
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(st.binary(max_size=200), TEXT, st.integers(-300, 300), st.data())
def test_a_signature_holds_for_its_own_bytes_id_and_time_and_no_others(
    body: bytes, id: str, late: int, data: st.DataObject
) -> None:
    headers = signed(body, id, SECRET, NOW)
    assert verified(headers, body, SECRET, NOW + late) == id
    assert headers["idempotency-key"] == id
    wrong = [(headers, body + b"x", SECRET), (headers, body, SECRET + "x")]
    wrong += [(headers | {"webhook-id": id + "x"}, body, SECRET)]
    wrong += [(headers | {"webhook-timestamp": str(NOW + 1)}, body, SECRET)]
    wrong += [
        ({name: value for name, value in headers.items() if name != left}, body, SECRET)
        for left in headers
        if left != "idempotency-key"
    ]
    if body:
        at, bit = data.draw(st.integers(0, len(body) - 1)), data.draw(st.integers(0, 7))
        wrong.append((headers, body[:at] + bytes([body[at] ^ (1 << bit)]) + body[at + 1 :], SECRET))
    signature = headers["webhook-signature"]
    at = data.draw(st.integers(3, len(signature) - 2))
    wrong.append(
        (
            headers
            | {"webhook-signature": f"{signature[:at]}{'A' if signature[at] != 'A' else 'B'}{signature[at + 1 :]}"},
            body,
            SECRET,
        )
    )
    for changed, content, secret in wrong:
        with pytest.raises(ApiError) as refused:
            verified(changed, content, secret, NOW)
        assert refused.value.status == 401


@pytest.mark.parametrize("seconds", [-301, 301, 10**9])
def test_an_old_signature_is_refused(seconds: int) -> None:
    with pytest.raises(ApiError) as refused:
        verified(signed(b"x", "id", SECRET, NOW), b"x", SECRET, NOW + seconds)
    assert (refused.value.status, refused.value.code) == (401, "stale_signature")


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification, https://github.com/standard-webhooks/standard-webhooks (libraries' tests).
    secret, id, moment = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330
    headers = signed(b'{"test": 2432232314}', id, secret, moment)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    rotated = headers | {
        "webhook-signature": f"v1,{base64.b64encode(b'x' * 32).decode()} {headers['webhook-signature']}"
    }
    assert verified(rotated, b'{"test": 2432232314}', secret, moment) == id


OWN = [
    *(
        "127.0.0.1",
        "127.9.9.9",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
    ),
    *(
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "fec0::1",
    ),
    *(
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
    ),
]


@pytest.mark.parametrize("address", OWN)
def test_an_address_of_one_s_own_network_is_not_called(address: str) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", address]

    assert not is_public(address)
    client = Client(resolver=resolver, attempts=1)
    with pytest.raises(DeliveryError, match="own network") as refused:
        asyncio.run(client.post_signed("https://shop.example/x", b"{}", id="1", secret=SECRET))
    assert refused.value.lasting


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_an_address_of_the_open_internet_may_be_called(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example",
        "ftp://shop.example",
        "https://",
        "shop.example",
        "https://a:b@shop.example",
        "file:///etc/passwd",
    ],
)
def test_only_an_encrypted_web_address_is_one(url: str) -> None:
    with pytest.raises(SettingError, match="no address"):
        check_url(url, False)
    with pytest.raises(SettingError, match="no address"):
        WebhookSettings.make(url=url, secret_env="X")


def test_the_address_that_was_checked_is_the_one_that_is_called() -> None:
    asked: list[str] = []
    with endpoint() as other:
        port = other.url.rpartition(":")[2]

        async def resolver(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"]

        client = Client(resolver=resolver, allow_private=True)
        answer = asyncio.run(client.post_signed(f"http://shop.invalid:{port}/hook?a=1", b"{}", id="1", secret=SECRET))
    assert (answer.ok, asked) == (True, ["shop.invalid"])  # looked up once, and not by what connects
    (came,) = other.requests
    assert (came.headers["host"], came.path) == (f"shop.invalid:{port}", "/hook?a=1")
    assert verified(came.headers, came.body, SECRET, time.time()) == "1"


def test_the_certificate_is_that_of_the_name_and_not_of_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "us")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("shop.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "c.pem").write_bytes(made.public_bytes(pem))
    (tmp_path / "k.pem").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    ours = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
    monkeypatch.setattr(webhook, "certificates", lambda: ours)

    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    client = Client(resolver=resolver, allow_private=True, attempts=1)
    with endpoint(tls=theirs) as other:
        port = other.url.rpartition(":")[2]
        assert asyncio.run(client.post_signed(f"https://shop.test:{port}", b"{}", id="1", secret=SECRET)).ok
        for host in ("elsewhere.test", "127.0.0.1"):
            with pytest.raises(DeliveryError, match=r"did not take.*CERTIFICATE_VERIFY_FAILED"):
                asyncio.run(client.post_signed(f"https://{host}:{port}", b"{}", id="1", secret=SECRET))
    assert len(other.requests) == 1


def test_what_is_away_is_tried_again_under_one_key_with_longer_waits() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    statuses = iter([500, 429, 503, 200])
    with endpoint(lambda sent: answered({}, next(statuses), **{"retry-after": "7"})) as other:
        client = Client(allow_private=True, attempts=4, sleep=sleep, spread=lambda: 0.0)
        answer = asyncio.run(client.post_signed(other.url, b'{"a": 1}', id="key-1", secret=SECRET))
    assert (answer.status, waits) == (200, [7.0, 7.0, 7.0])
    assert {(one.headers["idempotency-key"], one.body) for one in other.requests} == {("key-1", b'{"a": 1}')}
    assert len(other.requests) == 4
    waits.clear()
    dead = Client(allow_private=True, attempts=4, sleep=sleep, spread=lambda: 0.0)
    with pytest.raises(DeliveryError, match="did not take") as refused:
        asyncio.run(dead.post_signed(other.url, b"{}", id="key-1", secret=SECRET))
    assert (waits, refused.value.lasting) == ([0.5, 1.0, 2.0], False)


def test_what_is_refused_is_not_tried_again_and_no_redirect_is_followed() -> None:
    for status in (301, 302, 307, 400, 404, 410):
        with endpoint(lambda sent, status=status: answered({}, status, location=f"{sent.path}/elsewhere")) as other:
            answer = asyncio.run(Client(allow_private=True).post_signed(other.url, b"{}", id="1", secret=SECRET))
        assert (answer.status, answer.ok, len(other.requests)) == (status, False, 1)


def test_an_answer_without_end_and_one_too_slow_are_cut_short() -> None:
    with endpoint(lambda sent: (200, {}, b"x" * 100_000)) as other:
        with pytest.raises(DeliveryError, match="too long"):
            asyncio.run(Client(allow_private=True).post_signed(other.url, b"{}", id="1", secret=SECRET))

        enough, answered = threading.Event(), []

        def slow(sent: Sent) -> tuple[int, dict[str, str], bytes]:
            enough.wait(60)
            answered.append(sent)
            return 200, {}, b""

        other.answer = slow
        client = Client(allow_private=True, read_seconds=0.1, connect_seconds=0.1, attempts=1)
        with pytest.raises(DeliveryError):
            asyncio.run(client.post_signed(other.url, b"{}", id="1", secret=SECRET))
        assert not answered
        enough.set()


def test_a_secret_is_in_the_environment_or_told_missing() -> None:
    assert secret_of("A", {"A": "x"}) == "x"
    with pytest.raises(SettingError, match="export A="):
        secret_of("A", {"A": ""})
