"""The fragment of a webhook's URL."""

import pytest

from conferral.sandbox.webhook_delivery import Target, parse_target


def test_url_without_a_fragment_has_twilios_defaults() -> None:
    url = "http://a.example/x?y=1"

    assert parse_target(url) == Target(url, 5_000, 15_000, 15_000, 1, frozenset({"ct"}))


def test_all_keys_are_read_and_the_fragment_is_taken_off() -> None:
    target = parse_target("http://a.example/x?y=1#rc=3&rp=5xx,ct,rt&ct=200&rt=900&tt=2000&e=dublin")

    assert target == Target("http://a.example/x?y=1", 200, 900, 2_000, 3, frozenset({"5xx", "ct", "rt"}))


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("rc=9", Target("http://a.example/", retries=5)),
        ("ct=1", Target("http://a.example/", connect_ms=100)),
        ("rt=99999", Target("http://a.example/", read_ms=15_000)),
        ("rc=many", Target("http://a.example/")),
        ("section", Target("http://a.example/")),
    ],
)
def test_values_out_of_range_are_drawn_to_the_edge_and_nonsense_is_ignored(fragment: str, expected: Target) -> None:
    assert parse_target(f"http://a.example/#{fragment}") == expected


def test_unknown_retry_policy_is_named() -> None:
    target = parse_target("http://a.example/#rp=sometimes")

    assert target.fragment_error == "Invalid retry policy: sometimes"
    assert target.retry_on == {"ct"}


def test_all_means_every_failure() -> None:
    assert all(Target("", retry_on=frozenset({"all"})).is_retried(it) for it in ("4xx", "5xx", "ct", "rt"))
