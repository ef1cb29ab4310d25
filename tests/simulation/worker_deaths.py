"""Which workers have died, and what each of them had tried before: chance may resemble poison."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from conferral.storage.codecs.text_codec import from_iso
from conferral.worker.partition import quarantine

#: How many owners of a partition may die within a limit, and how long each further one takes, seconds.
DEATHS_INCLUDED, TAKEOVER_S = 2, 2.0


def excused_s(log: Iterable[Mapping[bytes, bytes]], since_s: float, until_s: float) -> float:
    """How much longer something may take if more owners died than a limit includes, by a session's log (seconds)."""
    takeovers = [entry for entry in log if b'"writes-lost"' in entry.get(b"details", b"")]
    meanwhile = sum(since_s <= from_iso(entry[b"at"].decode()) / 1000 <= until_s for entry in takeovers)
    return TAKEOVER_S * max(0, meanwhile - DEATHS_INCLUDED)


class WorkerDeaths:
    """Explains dead letters by the deaths of workers.

    Attributes:
        fallen: Workers that were killed, or stood still for longer than a lease lasts, by name.
    """

    def __init__(self) -> None:
        self.fallen: set[str] = set()
        #: Who has tried an entry or an effect last, by the number of deaths that this would have made.
        self._marks: defaultdict[str, dict[int, str]] = defaultdict(dict)

    def note_mark(self, name: str, deaths: int, holder: str) -> None:
        """Notes who tries an entry or an effect, under which lease."""
        marks, worker = self._marks[name], holder.partition(":")[2]
        if marks.get(deaths + 1, worker) != worker:
            return  # a worker that was paused writes what it has seen, after the next owner has judged
        marks.pop(deaths + 1, None)
        marks[deaths] = worker

    def explain(self, name: str, reason: str) -> bool:
        """Whether all died, or slept too long, who had tried what was dead-lettered for that reason."""
        if reason != quarantine.KILLER_REASON:
            return False
        # No one marks what the first death may have come from.
        markers = [self._marks[name].get(deaths) for deaths in range(2, quarantine.DEATHS_BEFORE_DEAD_LETTER + 1)]
        return all(marker in self.fallen for marker in markers)
