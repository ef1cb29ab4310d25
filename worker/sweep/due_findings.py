"""Due findings: which of a sweep's findings to publish now. Pure."""

from collections.abc import Iterable

from conferral.worker.sweep.diff import Finding

#: Per sweep, count: each leads to a read, and a wrong list must not lead to thousands. The rest follow later.
FINDINGS_MAX = 500
#: Maximum interval between reports of what outlives its session, as a power of two of sweeps.
REPORT_DOUBLINGS_MAX = 6


class DueFindings:
    """Remembers what was reported, for exponential backoff."""

    def __init__(self) -> None:
        #: By SID, for what outlives its session: number of reports, and the next sweep that reports it.
        self._reported: dict[str, tuple[int, int]] = {}
        #: The same, once the last selection is published.
        self._selected = self._reported

    def select(self, findings: Iterable[Finding], interval_number: int) -> list[Finding]:
        """Return the findings to publish in this sweep.

        Live calls of ended sessions cost money, so they come first, with backoff: each hang-up is retried for an hour,
        and a redirected customer may be meant to be there.
        """
        self._selected = {}
        due: list[Finding] = []
        for finding in sorted(findings, key=lambda finding: not finding.is_of_ended):
            reports, next_number = self._reported.get(finding.sid, (0, interval_number))
            is_due = interval_number >= next_number and len(due) < FINDINGS_MAX
            if is_due:
                due.append(finding)
            if finding.is_of_ended:
                following = interval_number + 2 ** min(reports, REPORT_DOUBLINGS_MAX)
                self._selected[finding.sid] = (reports + 1, following) if is_due else (reports, next_number)
        return due

    def note_published(self) -> None:
        """Remember that the selection is published; otherwise it is repeated."""
        self._reported = self._selected
