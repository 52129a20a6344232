"""Tokens with names, requests of other pages, and links to reports."""

from __future__ import annotations

import pytest

from cl.errors import InputError
from cl.serving.errors import RequestError
from cl.serving.team.links import SECONDS, ReportLinks
from cl.serving.team.same_origin import check_origin
from cl.serving.team.tokens import VARIABLE, check_reach, take_tokens


@pytest.mark.parametrize(
    ("value", "given", "known", "name"),
    [
        ("secret", "secret", True, None),
        ("Ana:secret", "secret", True, "Ana"),
        ("Ana:secret", "Ana:secret", False, None),
        ("Ana Müller:a:b, Ben:c", "a:b", True, "Ana Müller"),
        ("Ana:a,Ben:b", "b", True, "Ben"),
        ("Ana:a,b", "b", True, None),
        ("1:secret", "1:secret", True, None),
        (":secret", ":secret", True, None),
        ("Ana:a", "b", False, None),
    ],
)
def test_a_token_may_name_the_person_who_has_it(value, given, known, name) -> None:
    environment = {VARIABLE: value}
    tokens = take_tokens(environment)
    assert tokens is not None and environment == {}, "no configuration can name the variable afterwards"
    header = f"Bearer {given}".encode()
    assert (tokens.known(header) is not None) == known and tokens.name_of(header) == name
    assert tokens.name_of(b"") is None and tokens.known(b"") is None


@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_a_variable_without_a_token_is_none(value) -> None:
    assert take_tokens({VARIABLE: value}) is None


def test_two_people_cannot_have_the_same_token() -> None:
    with pytest.raises(InputError, match="the same token"):
        take_tokens({VARIABLE: "Ana:same,Ben:same"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "::1", "[::1]"])
def test_on_this_machine_alone_no_token_is_needed(host) -> None:
    check_reach(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "team.example", "localhost.example", ""])
def test_beyond_it_one_is(host) -> None:
    with pytest.raises(InputError, match=VARIABLE):
        check_reach(host, None)
    check_reach(host, take_tokens({VARIABLE: "secret"}))


def request(method: str = "POST", path: str = "/api/projects", **headers: str) -> dict[str, object]:
    named = {"host": "127.0.0.1:8090", "content_type": "application/json"} | headers
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items() if value]
    return {"type": "http", "method": method, "path": path, "headers": pairs}


@pytest.mark.parametrize(
    "scope",
    [
        request(),
        request(origin="http://127.0.0.1:8090", sec_fetch_site="same-origin"),
        request(origin="https://127.0.0.1:8090"),  # through a proxy that ends TLS
        request(content_type="application/json; charset=utf-8"),
        request("GET", content_type=""),
        request("GET", sec_fetch_site="none"),
        request("GET", "/", sec_fetch_site="cross-site"),
    ],
)
def test_programs_and_the_own_page_are_admitted(scope) -> None:
    check_origin(scope)


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        (request(origin="https://evil.example"), 403),
        (request(origin="null"), 403),
        (request(origin=""), None),
        (request(origin="http://127.0.0.1:8091"), 403),
        (request(origin="http://127.0.0.1:8090.evil.example"), 403),
        (request(origin="http://127.0.0.1:8090@evil.example"), 403),
        (request(sec_fetch_site="cross-site"), 403),
        (request(sec_fetch_site="same-site"), 403),
        (request("GET", sec_fetch_site="cross-site"), 403),
        (request("GET", origin="https://evil.example"), 403),
        (request("PUT", "/", origin="https://evil.example"), 403),
        (request(content_type="text/plain"), 415),
        (request(content_type="multipart/form-data"), 415),
        (request(content_type=""), 415),
    ],
)
def test_requests_of_other_pages_are_refused(scope, status) -> None:
    if status is None:
        check_origin(scope)
        return
    with pytest.raises(RequestError) as refused:
        check_origin(scope)
    assert refused.value.status == status


def test_a_link_is_good_for_its_project_and_its_minute() -> None:
    links = ReportLinks()
    query = dict(pair.split("=") for pair in links.make("a", now=1_000.0).partition("?")[2].split("&"))
    until, signature = int(query["until"]), query["signature"]
    assert until == 1_000 + SECONDS and links.allows("a", until, signature, now=1_000.0)
    assert not links.allows("b", until, signature, now=1_000.0)
    assert not links.allows("a", until + 1, signature, now=1_000.0)
    assert not links.allows("a", until, signature, now=until + 1.0)
    assert not links.allows("a", until, "é", now=1_000.0)
    assert not ReportLinks().allows("a", until, signature, now=1_000.0)
