"""A server as a company would set it up: HTTPS, a web page of another origin that may ask, and a model of tags."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pandas as pd
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cl.models.inference import predict
from cl.models.persistence import load_learner
from tests.support.servers import until
from tests.support.serving_shop import TOKEN, Server, made_shop, serving, spoken

SENTENCES = [["anna", "lives", "in", "york"], ["my", "parcels"], ["\u200b", "ben", "said", "\u200d", "paris"]]
PAGE = "https://desk.example"


def tagged(seed: int) -> pd.DataFrame:
    rows = spoken(seed)
    tokens = rows["text"].str.split()
    return rows.assign(tokens=tokens, tags=[["O"] * (len(one) - 1) + ["B-THING"] for one in tokens])


def certify(folder: Path) -> None:
    """Write a certificate of this machine, signed by itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_model) -> Iterator[Server]:
    settings = {
        "tls": {"certificate": "cert.pem", "key": "key.pem"},
        "cors": [PAGE],
        "tokens": "env:SHOP_TOKENS",
        "workers": 1,
        "precision": "float32",
    }
    folder = tmp_path_factory.mktemp("tls") / "shop"
    shop = made_shop(folder, tiny_model, rows=tagged, versions=(1,), task="token_classification", serve=settings)
    certify(shop.project.root)
    shop.promote("1")
    with serving(shop, trusted=ssl.create_default_context(cafile=shop.project.root / "cert.pem")) as server:
        yield server


def test_it_speaks_https_with_the_certificate_of_the_settings_and_nothing_else(server: Server, client) -> None:
    assert server.url.startswith("https://") and client.get("/readyz").json()["ready"] is True
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{server.url}/readyz")
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{server.url.replace('https', 'http')}/readyz", timeout=5)
    until(lambda: f"{server.url}: ready, version 1 answers" in server.log(), seconds=60, what="ready on the terminal")


def test_each_token_has_a_tag_in_its_place(server: Server, client) -> None:
    expected = predict(load_learner(server.shop.project.work / "versions" / "1"), pd.DataFrame({"tokens": SENTENCES}))
    answer = client.post("/predict", json={"tokens": SENTENCES, "top_k": 1, "probabilities": True})
    told = answer.json()["predictions"]
    assert [one["label"] for one in told] == [one.value for one in expected]
    for sentence, one in zip(SENTENCES, told, strict=True):
        assert [tops[0]["label"] for tops in one["top"]] == one["label"]
        assert len(one["probabilities"]) == len(one["label"]) == len(sentence)
    assert len({tag for one in told for tag in one["label"]}) > 1, "tags differ, so that a shift would be seen"
    asked = {"instances": [{"tokens": sentence} for sentence in SENTENCES]}
    as_mlflow = client.post("/invocations", json=asked).json()["predictions"]
    assert [one["tags"] for one in as_mlflow] == [one["label"] for one in told]
    as_text = client.post("/predict", json={"text": "anna lives in york"}).json()["predictions"][0]
    assert as_text["label"] == told[0]["label"]
    right = {"id": told[0]["id"], "label": ["B-PER", "O", "O", "B-LOC"]}
    assert client.post("/feedback", json=right).status_code == 200


@pytest.mark.parametrize(
    "tokens", [[], [[]], [["a", ""]], [["a", " "]], ["a"], [["a", 3]], [["x" * 501]], [["\ud800"]]]
)
def test_what_is_no_list_of_tokens_is_refused(client, tokens) -> None:
    asked = json.dumps({"tokens": tokens})  # which tells half a character by its number
    assert client.post("/predict", content=asked, headers={"Content-Type": "application/json"}).status_code == 422


def test_a_page_of_a_named_origin_may_ask_and_no_other(server: Server, client) -> None:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}
    with httpx.Client(base_url=server.url, verify=server.trusted) as browser:  # a preflight carries no token
        allowed = browser.options("/predict", headers={"Origin": PAGE, **wanted})
        other = browser.options("/predict", headers={"Origin": "https://other.example", **wanted})
    assert allowed.status_code == 200 and allowed.headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-origin" not in other.headers and other.status_code == 400
    answer = client.post("/predict", json={"text": "my card"}, headers={"Origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "X-Model-Version" in answer.headers["access-control-expose-headers"]
    refused = client.post("/predict", json={"text": "a"}, headers={"Origin": PAGE, "Authorization": "Bearer no"})
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_a_hundred_thousand_texts_are_refused_with_the_limits_that_are_the_default(client, path) -> None:
    texts = ["a"] * 100_000
    body = {"texts": texts} if path == "/predict" else {"instances": [{"tokens": [text]} for text in texts]}
    content = json.dumps(body, separators=(",", ":")).encode()
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    told = "100000 texts in one request; at most 256" if len(content) < 2_000_000 else "body is larger than 2000000"
    assert answer.status_code == 413 and told in answer.json()["message"]
    assert client.post("/predict", json={"text": "a"}, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
