"""Counts of connections, against a model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dmchain.node.network.admission import Admission, AdmissionConfig, subnet
from dmchain.node.network.transport import Endpoint

CONFIG = AdmissionConfig(max_half_open=5, max_per_host=2, max_per_subnet=3)
hosts = st.sampled_from(["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.2.1", "2001:db8::1", "2001:db8::2", "127.0.0.1"])


@given(st.lists(st.tuples(hosts, st.sampled_from(["enter", "open", "leave"])), max_size=60))
def test_caps_hold_and_places_come_back(steps: list[tuple[str, str]]) -> None:
    admission = Admission(CONFIG)
    half_open: list[str] = []
    opened: list[str] = []
    for host, action in steps:
        inside = half_open + opened
        if action == "enter":
            near = [each for each in inside if subnet(Endpoint(each, 0)) == subnet(Endpoint(host, 0))]
            same = near if ":" in host else [each for each in inside if each == host]
            is_free = host == "127.0.0.1" or (len(same) < 2 and len(near) < 3)
            expected = len(half_open) < 5 and is_free
            assert (admission.enter(Endpoint(host, 0)) is None) == expected
            if expected:
                half_open.append(host)
        elif action == "open" and half_open:
            admission.opened()
            opened.append(half_open.pop(0))
        elif action == "leave" and opened:
            admission.leave(Endpoint(opened.pop(0), 0), was_opened=True)
        elif action == "leave" and half_open:
            admission.leave(Endpoint(half_open.pop(0), 0), was_opened=False)
        assert admission.half_open == len(half_open)


def test_loopback_is_limited_when_asked() -> None:
    admission = Admission(AdmissionConfig(max_per_host=1, limits_loopback=True))
    assert admission.enter(Endpoint("127.0.0.1", 1)) is None
    assert admission.enter(Endpoint("127.0.0.1", 2)) == "1 connections from its address"
    assert admission.enter(Endpoint("127.0.0.2", 2)) is None


def test_subnets() -> None:
    assert subnet(Endpoint("1.2.3.4", 1)) == subnet(Endpoint("1.2.3.99", 2)) != subnet(Endpoint("1.2.4.4", 1))
    assert subnet(Endpoint("2001:db8:1::1", 1)) == subnet(Endpoint("2001:db8:1:ffff::1", 1))
    assert subnet(Endpoint("::ffff:1.2.3.4", 1)) == subnet(Endpoint("1.2.3.4", 1))
