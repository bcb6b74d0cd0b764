"""What admins do by API: keys made, changed and counted; events found, taken away and forgotten; who did it in a log that shows it."""

from __future__ import annotations

import io
import json

import httpx
import pyarrow.parquet as pq
import pytest

from noria.server.http.run import Running


@pytest.fixture
def used(client: httpx.Client) -> str:
    """A user with an event of each of two kinds, one of them with what was said."""
    user = "小王"
    asked = client.post("/v1/classify", json={"input": "快递太慢", "user": user})
    client.post("/v1/feedback", json={"request": asked.headers["x-request-id"], "right": True, "user": user})
    return user


def test_a_key_is_made_used_counted_rotated_and_revoked(client: httpx.Client, server: Running):
    made = client.post("/keys", json={"name": "shop", "scopes": ["classify"], "requests_minute": 50})
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    key, number = made.json()["key"], made.json()["id"]
    headers = {"authorization": f"Bearer {key}"}
    for text in ("a", "b"):
        assert client.post("/v1/classify", json={"input": text}, headers=headers).status_code == 200
    listed = {one["id"]: one for one in client.get("/keys").json()["keys"]}
    assert not any("sha256" in one or key in json.dumps(one) for one in listed.values())
    mine = listed[number]
    assert (mine["used"]["requests"], mine["used"]["answered"], mine["used"]["units"]["items"]) == (2, 2, 2)
    assert (mine["state"], mine["scopes"], mine["requests_minute"]) == ("works", ["classify"], 50)
    new = client.post(f"/keys/{number}", json={"action": "rotate", "overlap_hours": 0}).json()
    assert client.get("/v1/models", headers=headers).status_code == 401
    again = client.post(f"/keys/{number}", json={"action": "rotate"})
    assert (again.status_code, again.json()["error"]["param"]) == (400, "action")
    successor = next(one for one in client.get("/keys").json()["keys"] if one["id"] == new["id"])
    assert (successor["tenant"], successor["used"]["requests"]) == (number, 2)
    revoked = client.post(f"/keys/{new['id']}", json={"action": "revoke"}).json()
    assert revoked["revoked"]
    assert client.post(f"/keys/{new['id']}", json={"action": "revoke"}).json() == revoked  # two editors at once
    done = client.get("/audit", params={"action": "key", "most": 3}).json()["entries"]
    assert [(one["action"], one["subject"]) for one in done] == [
        ("key.revoke", new["id"]),
        ("key.rotate", number),
        ("key.make", number),
    ]
    assert {(one["actor"], one["role"]) for one in done} == {(server.key.split("_")[1], "admin")}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x", "role": "owner"}, 422),
        ({"name": "x", "role": "viewer", "scopes": ["chat"]}, 400),
        ({"name": "x", "scopes": ["chats"]}, 400),
        ({"name": " "}, 400),
        ({"name": "x", "tokens_day": 0}, 422),
        ({"role": "admin"}, 422),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(client: httpx.Client, body: dict[str, object], status: int):
    before = len(client.get("/keys").json()["keys"])
    assert client.post("/keys", json=body).status_code == status
    assert len(client.get("/keys").json()["keys"]) == before


def test_the_last_admin_s_key_stays_and_there_is_no_key_but_those_listed(client: httpx.Client, server: Running):
    admins = [one for one in server.state.keys.list() if one.role == "admin" and not one.revoked]
    mine = server.key.split("_")[1]
    for one in admins:
        if one.id != mine:
            server.state.keys.revoke(one.id)
    refused = client.post(f"/keys/{mine}", json={"action": "revoke"})
    assert refused.status_code == 400
    assert "last key of an administrator" in refused.json()["error"]["message"]
    assert client.post("/keys/none", json={"action": "revoke"}).status_code == 404


def test_events_are_found_taken_and_forgotten_with_a_receipt(client: httpx.Client, server: Running, used: str):
    found = client.get("/events", params={"user": used}).json()
    assert [one["kind"] for one in found["found"]] == ["feedback", "request"]
    assert used not in json.dumps(found, ensure_ascii=False)
    name = found["found"][0]["user"]
    assert client.get("/events", params={"pseudonym": name, "kind": "request"}).json()["found"] == found["found"][1:]
    page = client.get("/events", params={"user": used, "most": 1}).json()
    rest = client.get("/events", params={"user": used, "most": 1, "after": page["next"]}).json()
    assert page["found"] + rest["found"] == found["found"]
    assert client.get("/events", params={"kind": "clicks"}).status_code == 422
    file = client.get("/events/export", params={"user": used, "format": "parquet"})
    assert "attachment" in file.headers["content-disposition"]
    assert set(pq.read_table(io.BytesIO(file.content))["user"].to_pylist()) == {name}
    assert client.get("/events/export", params={"user": used}).text.count("\n") == 3
    made = client.post("/events/forget", json={"user": used}).json()
    assert (made["user"], made["from_outboxes"] + made["from_lake"]) == (name, 2)
    assert client.get("/events", params={"user": used}).json() == {"found": [], "next": ""}
    assert client.get(f"/receipts/{made['id']}").json() == made
    assert client.get("/receipts").json()["receipts"][0] == made
    assert client.get("/receipts/none").status_code == 404
    done = client.get("/audit", params={"action": "events.forget", "most": 1}).json()["entries"][0]
    assert (done["subject"], done["details"]["events"]) == (made["id"], 2)
    assert used not in server.state.audit.path.read_text()
    for body in ({}, {"user": "a", "pseudonym": "0" * 16}, {"user": ""}):
        assert client.post("/events/forget", json=body).status_code == 400


def test_the_log_is_paged_taken_and_checked(client: httpx.Client, server: Running):
    for number in range(5):
        server.state.audit.add("server", "test.deed", f"=thing {number}", rows=number)
    first = client.get("/audit", params={"action": "test", "most": 3}).json()
    rest = client.get("/audit", params={"action": "test", "most": 3, "below": first["next"]}).json()
    assert [one["subject"][-1] for one in (*first["entries"], *rest["entries"])] == list("43210")
    assert rest["next"] == 0
    checked = client.get("/audit/check").json()
    assert (checked["whole"], checked["broken"], checked["missing"]) == (True, None, False)
    assert client.get("/audit/check", params={"noted": checked["last"]}).json()["whole"]
    assert client.get("/audit/check", params={"noted": "0" * 64}).json()["missing"]
    lines = client.get("/audit/export", params={"action": "test", "format": "jsonl"}).text.splitlines()
    assert [json.loads(line)["details"] for line in lines] == [f'{{"rows": {number}}}' for number in range(5)]
    assert "'=thing 4" in client.get("/audit/export", params={"action": "test.deed"}).text
    assert client.get("/audit", params={"action": "audit.export"}).json()["entries"][0]["subject"] == "csv"


def test_a_change_of_a_model_stands_in_the_log_and_one_that_was_refused_does_not(client: httpx.Client, server: Running):
    before = server.state.audit.check().entries
    assert client.post("/versions/sentiment", json={"action": "roll_back"}).status_code == 400
    assert server.state.audit.check().entries == before
