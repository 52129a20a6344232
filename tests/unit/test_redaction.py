from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest

from cl.redaction import (
    LONGEST_LINE,
    Formatter,
    as_line,
    format_traceback,
    hide,
    holds_password,
    may_hold_secret,
    secrets_in,
    without_password,
)

ODD = [
    "s3@cret",
    "s3/cret",
    "s3:cret",
    "s3#cret",
    "s3 cret",
    "s3%40cret",
    "s3?cret",
    "s3@c ret@s3",
    "@s3",
    "s3'c\"ret",
    "s3://x",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:s3cret@server:5000/path: 500", "http://server:5000/path: 500"),
        ("postgresql+psycopg2://me:s3cr@et@db/cl", "postgresql+psycopg2://db/cl"),
        ("postgresql://me:s3/cret@db/cl and more", "postgresql://db/cl and more"),
        ("'https://t0ken@git.example/x'", "'https://git.example/x'"),
        ("postgresql://db/cl?user=me&password=s3cret&x=1", "postgresql://db/cl?user=me&password=***&x=1"),
        ("https://store/x?X-Amz-Signature=s3cret: 403", "https://store/x?X-Amz-Signature=***"),
        ("sqlite:////srv/a b/ledger.db, me@example.org", "sqlite:////srv/a b/ledger.db, me@example.org"),
    ],
)
def test_a_url_keeps_its_place_and_loses_its_secrets(text, shown) -> None:
    assert without_password(text).startswith(shown) and "s3c" not in without_password(text)


def test_only_a_password_makes_a_remote_unfit_for_a_file_that_git_keeps() -> None:
    assert holds_password("ssh://me:s3cret@host/x") and holds_password("s3://bucket?secret_key=1")
    assert not holds_password("ssh://me@host/x") and not holds_password("s3://bucket/x")


def test_tracebacks_and_log_lines_hold_none_either() -> None:
    try:
        try:
            raise ValueError("http://me:s3cret@server")
        except ValueError as error:
            raise RuntimeError("no") from error
    except RuntimeError as error:
        caught = error
    assert "ValueError: http://server" in format_traceback(caught)
    record = logging.LogRecord("x", 20, "", 1, "at %s", ("http://me:s3cret@server",), (RuntimeError, caught, None))
    shown = Formatter("%(message)s").format(record)
    assert shown.startswith("at http://server") and "s3cret" not in shown


@pytest.mark.parametrize("password", ODD)
@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg2://me:{}@db.example:5432/cl",
        "cannot reach postgresql://me:{}@db.example/cl: no answer",
        "(psycopg2.OperationalError) http://me:{}@db.example/x, http://me:{}@db.example/y",
        "before\nhttp://me:{}@db.example/x\nafter",
    ],
)
def test_an_odd_password_in_a_url_is_cut_out_whole(text, password) -> None:
    shown = without_password(text.replace("{}", password))
    assert "db.example" in shown and not {"s3", "cret", "c ret"} & set(shown.replace("/", " ").split())
    assert "s3" not in shown and "ret" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("host=db password=s3cret dbname=cl", "host=db password=*** dbname=cl"),
        ("host=db password='s3 c\\'ret' dbname=cl", "host=db password=*** dbname=cl"),
        ('host=db sslpassword = "s3 cret" dbname=cl', "host=db sslpassword = *** dbname=cl"),
        ("Driver={PG};UID=me;PWD={s3;cret};", "Driver={PG};UID=me;PWD=***;"),
        ("AccountName=a;AccountKey=s3cret==;Endpoint=x", "AccountName=a;AccountKey=***;Endpoint=x"),
        ("https://store/x?sig=s3cret&x=1", "https://store/x?sig=***&x=1"),
        ("https://store/x?access_token=s3cret#x", "https://store/x?access_token=***"),
        ("/invoke?X-Amz-Credential=s3cret&X-Amz-Date=1", "/invoke?X-Amz-Credential=***&X-Amz-Date=1"),
        ("Authorization: Bearer s3cret.s3cret", "Authorization: Bearer ***"),
        ("{'Authorization': 'Basic s3cret=', 'Accept': 'x'}", "{'Authorization': ***, 'Accept': 'x'}"),
        ("(b'authorization', b'Bearer s3cret')", "(b'authorization', b***)"),
        ("X-Api-Key: s3cret", "X-Api-Key: ***"),
        ("Set-Cookie: s3cret=1; Path=/", "Set-Cookie: *** Path=/"),
        ("sent bearer s3cret1 to x", "sent bearer *** to x"),
        ("{'user': 'me', 'password': 's3cret'}", "{'user': 'me', 'password': ***}"),
        ('{"client_secret": "s3cret", "x": 1}', '{"client_secret": ***, "x": 1}'),
        ("postgresql://me:s3cret", "postgresql://me:***"),
    ],
)
def test_what_a_name_says_is_secret_is_masked_and_the_rest_is_shown(text, shown) -> None:
    assert without_password(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://server:5000/path: no answer, ask me@example.org",
        "http://server: no answer; mail me@example.org",
        "https://[::1]:5000/x",
        "http://server:5000/x?mail=me@example.org, http://server?mail=me@example.org",
        "serve.tokens: should match; stores.ledger_key: a key does not belong in a file",
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment",
        "gate passes: passed=True, max_tokens=512, key=lambda row: row",
        "basic auth is needed; the token: none",
        "`dvc remote modify --local perennial password ...`",
        "stores.ledger_uri: env:LEDGER_URL",
    ],
)
def test_what_is_no_secret_is_left_alone(text) -> None:
    assert without_password(text) == text


@pytest.mark.parametrize("secret", [word for word in ODD if len(word) > 3])
def test_a_known_secret_is_hidden_in_every_form_that_a_library_gives_it(secret) -> None:
    hide(secret)
    shown = without_password(
        f"{secret}\n({secret!r}, 3)\n{json.dumps({'x': secret})}\n{quote(secret, safe='')}\ncould not resolve "
        f"'{secret.rpartition('@')[2]}@db.example'\nFailed to parse: 'me:{secret.partition('/')[0]}' is no host"
    )
    assert "s3" not in shown.replace("'@db.example'", ""), shown


def test_a_known_secret_that_is_a_common_word_hides_only_that_word() -> None:
    hide("post", "abc")
    assert without_password("postgres: post, abc") == "postgres: ***, abc"


def test_secrets_are_found_in_urls_and_connection_strings() -> None:
    assert secrets_in("postgresql://me:s3/c@t@db/cl?sslpassword=x") == ["s3/c@t", "x"]
    assert secrets_in("host=db password='s3 c'") == ["s3 c"]
    assert secrets_in("sqlite:///mlflow/mlflow.db") == secrets_in("http://server:5000") == []


def test_keys_that_may_hold_a_secret_are_known_by_their_words() -> None:
    secret = ["url", "ledger_uri", "tokens", "hf_token", "ledger_key", "webhook", "PASSWORD", "client-secret", "query"]
    assert all(map(may_hold_secret, secret))
    assert not any(
        map(may_hold_secret, ["keep", "keep_days", "epochs", "learning_rate", "monkey", "max_length", "curl"])
    )


@pytest.mark.parametrize("text", ["x" * 5_000, "x " * 5_000, "a\nb\r\n\tc\x1b[31m\x00", "é" * 5_000, "\u2028\u202e"])
def test_an_error_is_one_line_of_bounded_length(text) -> None:
    line = as_line(f"cl.yaml: {text}; write less")
    assert len(line) <= LONGEST_LINE and line.isprintable()
    assert line.startswith("cl.yaml:") and line.endswith("; write less"), "file and remedy stay"


@pytest.mark.parametrize(
    "text",
    [
        "?" + "key" * 60_000,
        "//" * 90_000 + "@",
        "//a:x/" * 30_000 + " @",
        "passwd" * 30_000,
        "password='" * 20_000,
        "bearer " * 30_000,
        "x-" * 90_000,
        "postgresql://me:s3cret@db " * 90_000,
        "x" * 99_990 + " postgresql://me:s3cret@db" + " y" * 99_990,
    ],
    ids=range(9),
)
@pytest.mark.timeout(20)
def test_a_huge_text_is_cleaned_as_well(text) -> None:
    assert "s3cret" not in as_line(text)


def test_a_traceback_has_lines_of_bounded_length() -> None:
    try:
        raise ValueError("x" * 1_000_000)
    except ValueError as error:
        assert max(map(len, format_traceback(error).splitlines())) <= LONGEST_LINE
