"""Which hosts a request may name, by the address that the server listens on and the configured names."""

from __future__ import annotations

import socket

import pytest

from cl.config.serving import ServingSettings
from cl.serving.errors import RequestError
from cl.serving.hosts import AllowedHosts

LOOPBACK = ["localhost", "LOCALHOST:8080", "localhost.", "shop.localhost", "127.0.0.1", "127.0.0.1:80", "127.8.9.1"]
LOOPBACK += ["[::1]", "[::1]:8080"]
FOREIGN = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost"]
FOREIGN += ["models.example.com.evil.example", "xmodels.example.com", "example.com"]
ADDRESSES = ["10.1.2.3", "192.168.0.7:8080", "[fe80::1]:8080", "0.0.0.0:8080", "8.8.8.8"]
ALL = ["0.0.0.0", "::"]


def status(hosts: AllowedHosts, *named: str, version: str = "1.1") -> int:
    """Return what a request gets: 200 where nothing is wrong with its host."""
    headers = [(b"accept", b"*/*"), *((b"host", name.encode()) for name in named)]
    try:
        hosts.check({"type": "http", "http_version": version, "headers": headers})
    except RequestError as error:
        assert len(str(error)) < 200 and "\n" not in str(error)
        return error.status
    return 200


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "localhost", "::1", "192.168.0.7", "models.example.com", *ALL])
def test_loopback_and_the_servers_own_address_are_allowed_and_foreign_names_are_not(listens_on) -> None:
    hosts = AllowedHosts(listens_on, [])
    own = [f"[{listens_on}]" if ":" in listens_on else listens_on]
    assert {name: status(hosts, name) for name in (*LOOPBACK, *own)} == dict.fromkeys((*LOOPBACK, *own), 200)
    assert {name: status(hosts, name) for name in FOREIGN} == dict.fromkeys(FOREIGN, 421)


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "::1", "localhost"])
def test_who_listens_on_loopback_is_called_by_no_other_address(listens_on) -> None:
    hosts = AllowedHosts(listens_on, [])
    assert {name: status(hosts, name) for name in ADDRESSES} == dict.fromkeys(ADDRESSES, 421)
    assert status(hosts, f"{socket.gethostname()}.example") == 421


@pytest.mark.parametrize("listens_on", ALL)
def test_who_listens_on_all_interfaces_is_called_by_any_address_and_the_machines_name(listens_on) -> None:
    hosts = AllowedHosts(listens_on, [])
    own = [*ADDRESSES, socket.gethostname(), f"{socket.gethostname()}:8080"]
    assert {name: status(hosts, name) for name in own} == dict.fromkeys(own, 200)


def test_configured_names_are_allowed_and_no_others() -> None:
    hosts = AllowedHosts("127.0.0.1", ["Models.example.com", "*.shop.example", "10.1.2.3"])
    allowed = ["models.example.com", "MODELS.example.com:443", "a.shop.example", "a.b.shop.example", "10.1.2.3:80"]
    assert {name: status(hosts, name) for name in allowed} == dict.fromkeys(allowed, 200)
    refused = [*FOREIGN, "shop.example", "evilshop.example", "10.1.2.4"]
    assert {name: status(hosts, name) for name in refused} == dict.fromkeys(refused, 421)
    assert status(AllowedHosts("127.0.0.1", ["*"]), "evil.example") == 200


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a/b", "user@localhost", "localhost:80:80", "localhost:port", "[::1", "::1", "ü", "a" * 300],
)
def test_what_is_no_host_is_refused_even_where_any_is_allowed(name) -> None:
    for hosts in (AllowedHosts("0.0.0.0", []), AllowedHosts("127.0.0.1", ["*"])):
        assert status(hosts, name) == 400


def test_a_request_names_one_host_unless_it_is_of_http_1_0() -> None:
    hosts = AllowedHosts("127.0.0.1", ["*"])
    assert status(hosts, "localhost", "localhost") == status(hosts, "localhost", "evil.example") == 400
    assert status(hosts) == 400
    assert status(hosts, version="1.0") == 200, "a probe"
    assert status(AllowedHosts("127.0.0.1", []), "evil.example", version="1.0") == 421


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "a.example/b", "a b", "", "*.*.example", "a*"])
def test_a_configured_host_is_a_name_or_an_address(name) -> None:
    with pytest.raises(ValueError, match="is no host; write a name or an address without scheme, port and path"):
        ServingSettings(allowed_hosts=[name])


def test_the_default_allows_no_further_name_and_addresses_may_be_configured() -> None:
    assert ServingSettings().allowed_hosts == []
    assert ServingSettings(allowed_hosts=["::1", "10.0.0.1", "*"]).allowed_hosts == ["::1", "10.0.0.1", "*"]
