"""Due findings: which of a sweep's findings to publish now. Pure: reads and publishes nothing."""

from collections.abc import Iterable

from conferral.worker.sweep.diff import Finding

#: Findings published per sweep, count. Each leads to a read from Twilio, and a wrong list must not lead to thousands.
#: The rest follow in the next sweep.
FINDINGS_MAX = 500
#: Maximum interval between reports of something that outlives its session, as a power of two of sweeps.
REPORT_DOUBLINGS_MAX = 6


class DueFindings:
    """Remembers what was reported, for exponential backoff."""

    def __init__(self) -> None:
        #: What outlives its session, by SID: number of reports, and the first sweep that reports it again.
        self._reported: dict[str, tuple[int, int]] = {}
        #: The same, once those selected last are published.
        self._selected = self._reported

    def select(self, findings: Iterable[Finding], interval_number: int) -> list[Finding]:
        """Return the findings to publish in this sweep.

        Live calls of ended sessions come first: they cost money, while a missing call is already over. They are
        reported with exponential backoff: each hang-up is retried for an hour, and a customer who was redirected
        elsewhere may be meant to be there.
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
        """Remember that the selected findings are published; otherwise, the next sweep selects them again."""
        self._reported = self._selected
