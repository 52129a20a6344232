"""`cl predict` asks the project's running server, and loads the champion itself where that cannot answer for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support.serving_shop import TOKEN, Server

QUESTIONS = ["my card is lost", "the fee of my loan", "a" * 3_000]
"""The last is longer than the server takes."""


def predicted(server: Server, *texts: str, token: str | None = TOKEN) -> tuple[list[dict[str, Any]], str]:
    environment = {name: value for name, value in os.environ.items() if name != "SHOP_TOKENS"}
    environment |= {"SHOP_TOKENS": token} if token else {}
    command = [sys.executable, "-m", "cl.cli", "predict", "-p", str(server.shop.project.root), "--json", *texts]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_the_server_answers_as_the_champion_does_without_it(server: Server) -> None:
    served, said = predicted(server, *QUESTIONS[:2])
    assert f"answered by the server at {server.url}" in said
    loaded, silent = predicted(server, *QUESTIONS[:2], token="another-token")
    assert "answered by the server" not in silent
    for by_server, by_itself in zip(served, loaded, strict=True):
        assert by_server.pop("confidence") == pytest.approx(by_itself.pop("confidence"), abs=1e-4)
        assert by_server == by_itself


@pytest.mark.parametrize(
    ("texts", "token"),
    [([QUESTIONS[2]], TOKEN), (QUESTIONS[:1], None)],
    ids=["a text that the server refuses", "no token at hand"],
)
def test_what_the_server_refuses_is_answered_without_it(server: Server, texts, token) -> None:
    answers, said = predicted(server, *texts, token=token)
    assert [answer["text"] for answer in answers] == texts and "answered by the server" not in said
