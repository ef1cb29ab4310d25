"""Metrics: well named, documented, with bounded labels."""

import re

from conferral.runtime.metrics import Metrics

BOUNDED = {
    "limit",
    "option",
    "place",
    "mode",
    "result",
    "state",
    "event_name",
    "outcome",
    "partition",
    "kind",
    "status",
    "reason",
    "route",
    "code",
    "where",
    "stream",
}


def families():
    return [family for family in Metrics().registry.collect() if family.name.startswith("conferral_")]


def test_every_metric_is_named_after_the_conventions():
    for family in families():
        assert re.fullmatch(r"conferral_[a-z_]+", family.name)
        assert family.documentation
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_labels_are_bounded_words():
    labels = Metrics().labels

    assert labels["conferral_events_total"] == ["event_name", "outcome"]
    assert {label for names in labels.values() for label in names} <= BOUNDED


def test_two_processes_in_one_do_not_share_counts():
    first, second = Metrics(), Metrics()
    first.lone_conferences_cleaned.inc()
    assert b"conferral_lone_conferences_cleaned_total 0.0" in second.exposition()
    assert b"conferral_lone_conferences_cleaned_total 1.0" in first.exposition()
