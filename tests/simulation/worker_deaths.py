"""Which workers have died, and what each of them had tried before: chance may resemble poison."""

from collections import defaultdict

from conferral.worker.consumer import quarantine

#: Trials of an effect that end in a death before it is dead-lettered.
_EFFECT_TRIALS = quarantine.EFFECT_DEATHS_MAX - quarantine.SUSPECT_AFTER_DEATHS


class WorkerDeaths:
    """Explains dead letters by the deaths of workers.

    Attributes:
        fallen: Workers that were killed, or stood still for longer than a lease lasts, by name.
    """

    def __init__(self) -> None:
        self.fallen: set[str] = set()
        #: Who has marked an entry, or an effect, as one to die of; its first deaths mark no effect.
        self._marks: defaultdict[str, list[str]] = defaultdict(list)

    def note_mark(self, name: str, holder: str) -> None:
        """Notes who tries an entry or an effect, under which lease."""
        self._marks[name].append(holder.partition(":")[2])

    def explain(self, name: str, reason: str) -> bool:
        """Whether all died, or slept too long, who had tried what was dead-lettered for that reason."""
        if reason == quarantine.REASON:
            markers, needed = set(self._marks[name][-_EFFECT_TRIALS:]), _EFFECT_TRIALS
        elif reason == quarantine.ENTRY_REASON:  # who dead-letters an entry has marked it, too
            markers, needed = set(self._marks[name][:-1]), quarantine.ENTRY_DEATHS_MAX - 1
        else:
            return False
        return len(markers) >= needed and markers <= self.fallen
