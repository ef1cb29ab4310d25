"""What a metric counts, as Prometheus would read it."""

from prometheus_client.metrics import MetricWrapperBase


def value_of(metric: MetricWrapperBase) -> float:
    """The value of a counter or a gauge: the sum over its labels, unless it was given some by `labels`."""
    samples = [sample for family in metric.collect() for sample in family.samples]
    return sum(sample.value for sample in samples if not sample.name.endswith("_created"))
