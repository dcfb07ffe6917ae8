import json
import logging
import socket
import threading

import pytest
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from services.runtime.authorization import digest_token
from services.runtime.telemetry import JsonFormatter
from tests.services.client.conftest import serving
from tests.services.gateway.house import drawing, upload

PROBLEM = "application/problem+json"


def test_every_answer_is_guarded(client):
    """An answer, also that of an error, is not sniffed, framed, cached or referred to. (S-5, S-11)"""
    for path in ("/healthz", "/api/items/missing", "/nowhere"):
        headers = client.get(path).headers

        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nowhere", 404, "NO_ROUTE"),
        ("PATCH", "/api/items/item-01", 405, "NO_METHOD"),
        ("GET", "/api/items/item-01?include_vector=perhaps", 400, "INVALID_REQUEST"),
        ("GET", "/api/items?page_size=0", 400, "INVALID_REQUEST"),
        ("GET", "/api/items/none-such", 404, "NO_ITEM"),
        ("GET", "/api/items?collection=none-such", 404, "NO_COLLECTION"),
    ],
)
def test_errors_are_problems(client, method, path, status, reason):
    """Whatever is wrong is a problem with its request id, the id of the header. (S-11)"""
    answer = client.request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    body = answer.json()
    assert (body["status"], body["reason"]) == (status, reason)
    assert body["request_id"] == answer.headers["x-request-id"]


def test_a_request_id_is_kept_if_it_is_one(client):
    """A caller's id comes back; one of another form is replaced, never reflected. (S-11)"""
    assert client.get("/healthz", headers={"x-request-id": "order-17"}).headers["x-request-id"] == "order-17"
    assert "<" not in client.get("/healthz", headers={"x-request-id": "<b>"}).headers["x-request-id"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8000", 200), ("[::1]:8000", 200), ("127.0.0.1", 200), ("evil.example", 421), ("", 421)],
)
def test_a_foreign_host_name_is_refused(client, host, status):
    """A name of another site that means this machine reads nothing (DNS rebinding). (S-11)"""
    assert client.get("/api/latency", headers={"host": host}).status_code == status


def test_hosts_of_the_setting_are_served(own_gateway):
    """ATELIER_GATEWAY_HOSTS adds names, in any spelling, with or without a port; `*` is any. (S-11)"""
    named = own_gateway(gateway_hosts=("Shop.example:8443",)).client

    assert named.get("/healthz", headers={"host": "shop.example"}).status_code == 200
    assert named.get("/healthz", headers={"host": "other.example"}).status_code == 421
    assert own_gateway(gateway_hosts=("*",)).client.get("/healthz", headers={"host": "a"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example", "content-type": "text/plain"},
    ],
)
def test_a_foreign_page_changes_nothing(client, headers):
    """What a page of another site sends is refused before its body is read. (S-11)"""
    answer = client.post("/api/items/delete", json={"item_ids": ["item-01"]}, headers=headers)

    assert (answer.status_code, answer.json()["reason"]) == (403, "FOREIGN_ORIGIN")
    assert "access-control-allow-origin" not in answer.headers
    assert client.get("/api/items/item-01").status_code == 200


def test_its_own_page_may_call(client, gateway):
    """The origin of the gateway itself passes."""
    answer = client.post(
        "/api/recommend", json={"query": {"item_id": "item-01"}}, headers={"origin": gateway.url}
    )

    assert answer.status_code == 200


def test_sites_of_the_setting_may_call(own_gateway):
    """ATELIER_GATEWAY_ORIGINS: a preflight and the call itself are allowed, to these sites alone. (S-11)"""
    client = own_gateway(gateway_origins=("https://shop.example",)).client
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}

    preflight = client.options("/api/recommend", headers=asked)
    answer = client.post(
        "/api/recommend", json={"query": {"item_id": "item-01"}}, headers={"origin": "https://shop.example"}
    )
    foreign = client.options("/api/recommend", headers={**asked, "origin": "https://evil.example"})

    assert preflight.status_code == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert foreign.status_code == 405
    assert "access-control-allow-origin" not in foreign.headers


@pytest.fixture
def guarded(own_gateway, tmp_path):
    """A gateway that asks for tokens, and the tokens by scope."""
    tokens = {scope: f"token-{scope}" for scope in ("read", "write", "admin")}
    path = tmp_path / "tokens"
    path.write_text("".join(f"{scope} {scope} {digest_token(token)}\n" for scope, token in tokens.items()))
    return own_gateway(tokens_file=path).client, tokens


@pytest.mark.parametrize(
    ("scope", "method", "path", "body", "status"),
    [
        ("", "GET", "/api/items", None, 401),
        ("unknown", "GET", "/api/items", None, 401),
        ("read", "GET", "/api/items", None, 200),
        ("read", "POST", "/api/items/delete", {"item_ids": ["none-such"]}, 403),
        ("write", "POST", "/api/items/delete", {"item_ids": ["none-such"]}, 200),
        ("write", "POST", "/api/models/artwork-head/aliases/a/promote", {"version": 9, "expect": 0}, 403),
        ("admin", "POST", "/api/models/artwork-head/aliases/a/promote", {"version": 9, "expect": 0}, 404),
        ("", "GET", "/healthz", None, 200),
    ],
)
def test_a_token_must_allow_the_route(guarded, scope, method, path, body, status):
    """Scopes are those of the services; only probes, the page and the document need no token. (S-11)"""
    client, tokens = guarded
    headers = {"authorization": f"Bearer {tokens.get(scope, scope)}"} if scope else {}

    assert client.request(method, path, json=body, headers=headers).status_code == status


class Listening(ranker_pb2_grpc.RankerServiceServicer):
    """Notes the metadata of calls, and answers when it is let to."""

    def __init__(self):
        self.metadata = {}
        self.entered, self.ended, self.gate = threading.Event(), threading.Event(), threading.Event()

    def Compare(self, request, context):
        self.metadata = dict(context.invocation_metadata())
        self.entered.set()
        context.add_callback(self.ended.set)
        self.gate.wait(20)
        return ranker_pb2.CompareResponse()


@pytest.fixture
def listening():
    """A ranker that listens to what comes with a call."""
    servicer = Listening()
    with serving(ranker_pb2_grpc.add_RankerServiceServicer_to_server, servicer) as address:
        servicer.address = address
        yield servicer
        servicer.gate.set()


def test_ids_and_token_go_on(own_gateway, listening):
    """The service reads the caller's token, request id and trace, and none of the gateway's own. (S-11)"""
    client = own_gateway(ranker_address=listening.address, peer_token="of-the-gateway").client
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    listening.gate.set()

    client.post(
        "/api/compare",
        files=[upload("image_a", b"a"), upload("image_b", b"b")],
        headers={"authorization": "Bearer of-the-caller", "x-request-id": "order-17", "traceparent": trace},
    ).raise_for_status()

    assert listening.metadata["authorization"] == "Bearer of-the-caller"
    assert listening.metadata["x-request-id"] == "order-17"
    assert listening.metadata["traceparent"].split("-")[1] == trace.split("-")[1]


def test_a_caller_that_goes_ends_the_call(own_gateway, listening):
    """The service's call is cancelled once the caller's connection is gone. (S-7)"""
    gateway = own_gateway(ranker_address=listening.address)
    host, _, port = gateway.background.address.rpartition(":")
    request = gateway.client.build_request(
        "POST", "/api/compare", files=[upload("image_a", b"a"), upload("image_b", b"b")]
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST /api/compare HTTP/1.1\r\n{lines}\r\n".encode() + request.read())
        assert listening.entered.wait(10)

    assert listening.ended.wait(10)


def test_the_log_names_the_route_and_nothing_that_was_sent(client, caplog):
    """A line has the template of the path and the status: no id, name, token or byte of a body. (S-11)"""
    with caplog.at_level(logging.INFO, "services.call"):
        client.get("/api/items/secret-item", headers={"authorization": "Bearer secret-token"})
        client.post("/api/rank", files=[upload("images", drawing(1), "secret-name.jpg")])
    lines = [
        JsonFormatter("gateway").format(record) for record in caplog.records if record.name == "services.call"
    ]
    logged = [line for line in map(json.loads, lines) if " /api/" in str(line.get("method"))]

    assert {line["method"] for line in logged} == {"GET /api/items/{item_id}", "POST /api/rank"}
    assert {line["code"] for line in logged} == {"404", "200"}
    assert "secret" not in "".join(lines)
