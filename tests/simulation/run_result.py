"""What came of a run."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import Histogram

from tests.simulation.durations import Measured
from tests.simulation.invariants import Problem
from tests.simulation.plan import Plan


# Not written out: pytest would do so for a failed assertion, in gigabytes for a world of 10,000 sessions.
@dataclass(slots=True, repr=False)
class Run:
    """What came of a run."""

    plan: Plan
    problems: list[Problem] = field(default_factory=list)
    #: Complaints of the loop and exceptions of tasks, in words.
    exceptions: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    lone_s: list[float] = field(default_factory=list)
    silent_s: list[float] = field(default_factory=list)
    #: From a worker's death to the moment when each of its partitions had another owner, seconds: where nothing else
    #: happened meanwhile, and where someone who could have taken it died or stood still too, or Redis was away.
    taken_over_s: list[float] = field(default_factory=list)
    taken_over_disturbed_s: list[float] = field(default_factory=list)
    #: What no one may be alone for longer than.
    lone_max_s: float = 0.0
    call_s: float = 0.0
    virtual_s: float = 0.0
    real_s: float = 0.0
    #: From the last hang-up until nothing was left, seconds.
    ending_s: float = 0.0
    #: Each outcome with what the model saw of its session.
    compared: list[tuple[Mapping[str, str], Measured]] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)
    #: Rows of the transition table that no session took.
    rows_never_taken: list[str] = field(default_factory=list)
    #: Each worker's waits for slots, also of those that died.
    slot_waits: list[Histogram] = field(default_factory=list)

    def slots_in_time(self, priority: str, time_s: float) -> float:
        """Which share of a priority's requests had a slot within a time, which is a bucket's bound (seconds)."""
        counts = self._slot_waits_of(priority)
        return counts[str(float(time_s))] / counts["+Inf"] if counts["+Inf"] else 1.0

    def slots_taken(self, priority: str) -> int:
        """How many requests of a priority had a slot (count)."""
        return self._slot_waits_of(priority)["+Inf"]

    def _slot_waits_of(self, priority: str) -> Counter[str]:
        """How many waited at most for so long, by the bucket's bound."""
        counts: Counter[str] = Counter()
        for sample in (one for waits in self.slot_waits for family in waits.collect() for one in family.samples):
            if sample.labels["priority"] == priority and "le" in sample.labels:
                counts[sample.labels["le"]] += int(sample.value)
        return counts
