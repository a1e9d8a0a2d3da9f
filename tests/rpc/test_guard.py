"""Host and Origin rules."""

import pytest

from dmchain.rpc.guard import host_rule, is_same_origin, origin_rule, split_host


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"localhost:8545", "localhost"),
        (b"LocalHost.", "localhost"),
        (b"[::1]:8545", "::1"),
        (b"[::1]", "::1"),
        (b"10.0.0.1", "10.0.0.1"),
        (b" a.b:1 ", "a.b"),
        (b"", ""),
    ],
)
def test_names_of_hosts(header: bytes, name: str) -> None:
    assert split_host(header) == name


def test_hosts() -> None:
    rule = host_rule(["Node.Example."])
    allowed = [b"localhost", b"x.localhost:1", b"127.0.0.1:1", b"192.168.1.5", b"[fe80::1]:5", b"node.example:5", b""]
    refused = [
        b"evil.example",
        b"localhost.evil",
        b"1.2.3",
        b"0x7f.1",
        b"127.0.0.1.nip.io",
        b"[x]",
        b"\xff",
        b"node.example.com",
    ]
    assert all(map(rule, allowed))
    assert not any(map(rule, refused))
    assert host_rule(["*"])(b"evil.example")


def test_origins() -> None:
    rule = origin_rule(["https://App.example/"])
    allowed = [b"http://localhost", b"https://localhost:3000", b"http://127.0.0.1:5", b"http://[::1]:5"]
    allowed += [b"http://a.localhost", b"https://app.example", b"chrome-extension://abc", b"moz-extension://abc"]
    refused = [b"https://evil.example", b"null", b"", b"file://", b"http://localhost.evil", b"http://192.168.1.5"]
    refused += [b"http://[", b"ftp://localhost", b"https://app.example.evil", b"http://app.example"]
    refused += [b"http://localhost@evil.example"]
    assert all(map(rule, allowed))
    assert [origin for origin in refused if rule(origin)] == []
    assert origin_rule(["*"])(b"null")


def test_many_different_headers_do_not_fill_the_memory() -> None:
    rule = host_rule([])
    for number in range(1000):
        assert not rule(b"h%d.example" % number)
    assert rule(b"localhost")


def test_same_origin() -> None:
    assert is_same_origin(b"http://node.example:8545", b"Node.example:8545")
    assert not is_same_origin(b"http://node.example", b"node.example:8545")
    assert not is_same_origin(b"null", b"null")
    assert not is_same_origin(b"", b"")
