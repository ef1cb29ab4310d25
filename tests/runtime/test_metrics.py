"""Metrics: with bounded labels."""

from conferral.runtime.metrics import Metrics

BOUNDED = {
    "by", "code", "event_name", "kind", "limit", "mode", "option", "outcome", "partition", "place", "priority",
    "reason", "result", "route", "state", "status", "where",
}  # fmt: skip


def test_labels_are_bounded_words():
    labels = Metrics().labels
    assert labels["conferral_events_total"] == ["event_name", "outcome"]
    assert {label for names in labels.values() for label in names} <= BOUNDED
