"""A page that reaches the server under a foreign name, as DNS rebinding makes it, gets nothing and leaves nothing."""

from __future__ import annotations

import httpx
import pytest

from tests.support.serving_shop import Server

ROUTES = ["/", "/predict", "/invocations", "/feedback", "/live", "/metrics", "/readyz", "/healthz", "/ping", "/health"]
ROUTES += ["/version", "/openapi.json", "/nothing"]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "DELETE"])
def test_no_route_answers_a_request_for_a_foreign_host(server: Server, client, method) -> None:
    for route in ROUTES:
        answer = client.request(method, route, headers={"Host": f"evil.example:{server.port}"})
        assert answer.status_code == 421, route
        if method != "HEAD":
            message = "'evil.example' is no name of this server; if it is, add it to serve.allowed_hosts"
            assert answer.json() == {"error_code": "MISDIRECTED_REQUEST", "message": message}


def test_a_foreign_page_cannot_send_a_label(server: Server, client) -> None:
    id = client.post("/predict", json={"text": "my card"}).json()["predictions"][0]["id"]
    refused = client.post("/feedback", json={"id": id, "label": "evil"}, headers={"Host": "evil.example"})
    assert refused.status_code == 421
    assert client.post("/feedback", json={"id": id, "label": "loan"}).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "shop.localhost"])
def test_loopback_names_are_answered(server: Server, client, host) -> None:
    answer = client.post("/predict", json={"text": "my card"}, headers={"Host": f"{host}:{server.port}"})
    assert answer.status_code == 200


def test_a_refused_host_is_counted(server: Server, client) -> None:
    assert client.get("/readyz", headers={"Host": "evil.example"}).status_code == 421
    assert 'cl_requests_total{route="other",status="421"}' in client.get("/metrics").text


def test_there_is_no_page_that_loads_scripts_from_elsewhere(server: Server) -> None:
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert httpx.get(f"{server.url}{path}", headers={"Authorization": "Bearer another"}).status_code == 404
    for path in ("/", "/openapi.json"):
        text = httpx.get(f"{server.url}{path}").text
        assert "cdn" not in text and "<script src" not in text
