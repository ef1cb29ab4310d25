"""Metrics: well named, documented, with bounded labels."""

import re

from conferral.runtime.metrics import Metrics

BOUNDED = {
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
    metrics = Metrics()
    for member in vars(metrics).values():
        labels = getattr(member, "_labelnames", ())
        assert set(labels) <= BOUNDED


def test_two_processes_in_one_do_not_share_counts():
    first, second = Metrics(), Metrics()
    first.lone_conferences_cleaned.inc()
    assert b"conferral_lone_conferences_cleaned_total 0.0" in second.exposition()
    assert b"conferral_lone_conferences_cleaned_total 1.0" in first.exposition()


def test_observations_taken_at_once_count_as_they_do_one_by_one():
    amounts = [0.0, 0.001, 0.0011, 0.5, 0.5, 29.9, 31.0]
    together, single = Metrics(), Metrics()
    together.callback_to_commit.observe_all(amounts)
    for amount in amounts:
        single.callback_to_commit.observe(amount)

    def samples(metrics: Metrics) -> list[tuple[str, str, float]]:
        (family,) = metrics.callback_to_commit.collect()
        return [(one.name, one.labels.get("le", ""), one.value) for one in family.samples
                if not one.name.endswith("_created")]  # fmt: skip

    assert samples(together) == samples(single)
