"""Canary and shadow: who is asked, what is compared, and when a canary is asked no more."""

from __future__ import annotations

from cl.serving.canary.comparison import Comparison
from cl.serving.canary.comparison_store import read_comparisons
from cl.serving.traffic_split import request_share
from tests.support.servers import until
from tests.support.serving_shop import LABELS, Server
from tests.support.tiny import made_sentences


def compared(server: Server, role: str) -> Comparison | None:
    found = read_comparisons(server.shop.project)
    return next((one for one in found if one.role == role), None)


def test_a_canary_answers_its_share_of_the_keys_and_always_the_same(moving: Server, client) -> None:
    moving.shop.give("canary", "2", share=0.3)
    until(lambda: moving.ready()["canary"] == "2", seconds=30)
    keys = [f"customer-{number}" for number in range(60)]
    by_key = {key: client.post("/predict", json={"text": "my card", "key": key}).json() for key in keys}
    expected = {key: "2" if request_share(key, "2") < 0.3 else "1" for key in keys}
    assert {key: one["version"] for key, one in by_key.items()} == expected
    assert 0.1 < list(expected.values()).count("2") / len(keys) < 0.5
    assert {one["role"] for one in by_key.values()} == {"champion", "canary"}
    by_header = client.post("/predict", json={"text": "other"}, headers={"X-Request-Key": keys[0]}).json()
    assert by_header["version"] == expected[keys[0]]


def test_labels_that_say_a_canary_is_worse_send_its_traffic_back(moving: Server, client) -> None:
    shop = moving.shop
    shop.give("canary", "2", share=1.0)
    until(lambda: moving.ready()["canary"] == "2", seconds=30)
    texts = made_sentences(LABELS, 64, seed=11)["text"].tolist()
    by_canary = client.post("/predict", json={"texts": texts}).json()
    assert by_canary["role"] == "canary"
    until(lambda: (seen := compared(moving, "canary")) and seen.compared >= 64, seconds=30, what="a comparison")
    shop.stores.registry.delete_alias("canary")
    until(lambda: moving.ready()["canary"] is None, seconds=30)
    by_champion = client.post("/predict", json={"texts": texts}).json()
    shop.give("canary", "2", share=1.0)
    until(lambda: moving.ready()["canary"] == "2", seconds=30)

    lost = 0
    for canary, champion in zip(by_canary["predictions"], by_champion["predictions"], strict=True):
        if canary["label"] != champion["label"]:
            lost += 1
            client.post("/feedback", json={"id": canary["id"], "label": champion["label"]})
    assert lost == len(texts), "version 2 never says what version 1 says"
    until(lambda: moving.ready()["canary"] is None, seconds=30, what="a return")
    assert client.post("/predict", json={"texts": texts}).json()["version"] == "1"
    assert "labels show that it is worse" in moving.log()
    until(lambda: any("was stopped" in one["text"] for one in shop.notices.received), seconds=60, what="a notice")
    until(lambda: (seen := compared(moving, "canary")) and seen.lost == lost, seconds=10, what="a count of all labels")
    seen = compared(moving, "canary")
    assert seen is not None and seen.won == 0
    assert seen.as_json()["figures"]["agreement"] == 0


def test_a_shadow_hears_copies_and_answers_nobody(moving: Server, client) -> None:
    moving.shop.give("shadow", "3", share=1.0)
    until(lambda: moving.ready()["shadow"] == "3", seconds=30)
    texts = made_sentences(LABELS, 40, seed=12)["text"].tolist()
    answered = client.post("/predict", json={"texts": texts}).json()
    assert (answered["version"], answered["role"]) == ("1", "champion")
    until(lambda: (seen := compared(moving, "shadow")) and seen.compared == 40, seconds=30, what="a comparison")
    seen = compared(moving, "shadow")
    assert seen is not None and (seen.version, seen.champion, seen.own.rows, seen.own.errors) == ("3", "1", 40, 0)

    told = 0
    for one in answered["predictions"]:
        told += 1
        client.post("/feedback", json={"id": one["id"], "label": one["label"]})
    until(lambda: (now := compared(moving, "shadow")) and now.both_right + now.lost == told, seconds=30)
    assert (now := compared(moving, "shadow")) and now.both_right == now.agreed and now.won == 0
