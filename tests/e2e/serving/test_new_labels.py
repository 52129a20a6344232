"""Feedback with a label that is new is taken, confirmed or refused by a real server, as configured."""

from __future__ import annotations

from tests.support.serving_shop import made_shop, serving


def test_feedback_with_a_new_label_is_confirmed_where_the_configuration_says_so(tmp_path, tiny_model) -> None:
    shop = made_shop(tmp_path / "shop", tiny_model, versions=(1,))
    shop.configure(poll_seconds=0.1, new_labels="confirm")
    shop.promote("1")
    with serving(shop, "--workers", "1") as server, server.client() as client:
        server.champion_is("1")
        (answer,) = client.post("/predict", json={"text": "pay the loan"}).json()["predictions"]
        feedback = {"id": answer["id"], "label": "laon"}
        refused = client.post("/feedback", json=feedback)
        assert refused.status_code == 422 and "did you mean 'loan'? to add it" in refused.json()["message"]
        assert client.post("/feedback", json={**feedback, "new_label": True}).status_code == 200
        assert client.post("/feedback", json={**feedback, "label": "loan"}).status_code == 200
