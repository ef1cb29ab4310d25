"""Who judges a run: at every moment what may be heard and what may be stored, in the end that nothing is left."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from conferral.storage.codecs.text_codec import decode_fields, from_iso
from conferral.storage.keys import Keys
from offhook.model.audibility import Audibility
from offhook.model.state import Call, State
from offhook.phones import phone_address
from tests.simulation.audibility_rules import AudibilityRules, Supervision, apart, note_supervision, supervised
from tests.simulation.call_owners import CallOwners
from tests.simulation.durations import Measured, Presences, Span, compared, without
from tests.simulation.reads import too_many_reads, wrong_read_timer
from tests.simulation.replay import Replays
from tests.simulation.results import Seen, wrong_attempts, wrong_reason
from tests.simulation.stored_values import entries_of, size_of
from tests.simulation.unsent_dials import unsent_dials
from tests.simulation.virtual_twilio import VirtualTwilio
from tests.simulation.worker_deaths import excused_s
from tests.support.flat_sessions import flat_record, in_bytes

#: Commands after which someone may rightly hear no one.
QUIETING = frozenset({"hold", "mute", "supervise", "park", "announce", "press"})
#: How long after its end a session is judged, seconds: late callbacks have come by then.
LATE_S = 200.0


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that must not be."""

    session_id: str
    what: str
    at_s: float

    def __str__(self) -> str:
        return f"at {self.at_s:.3f} s, session {self.session_id or '(none)'}: {self.what}"


@dataclass(slots=True)
class Watched:
    """What the judge knows of a session."""

    session_id: str
    #: Its calls, in the order in which they were seen first.
    calls: dict[str, None] = field(default_factory=dict)
    version: int = 0
    is_ended: bool = False
    ended_s: float = 0.0
    #: When it was parked, and by now is not.
    parked: list[Span] = field(default_factory=list)
    parked_since_s: float | None = None
    #: When a caller's message was recorded, by call; None: it still is.
    recorded: dict[str, list[tuple[float, float | None]]] = field(default_factory=dict)
    #: Who must not be heard as it stands.
    unheard: list[AudibilityRules] = field(default_factory=list)
    supervision: Supervision | None = None
    #: Redis lost acknowledged writes while it lived.
    has_lost_writes: bool = False


class WatchedHearing(Audibility):
    """Reports every leg that may have changed."""

    on_change: Callable[[list[str]], None]
    presences: Presences

    def update(self, state: State, touched: Iterable[str], now_s: float) -> set[str]:
        """Note what was heard and who was present, and return the legs that changed."""
        sids = sorted(touched)
        self.presences.note(state, sids, now_s)
        legs = super().update(state, sids, now_s)
        self.on_change([sid for sid in sorted({*sids, *legs}) if sid in state.calls])
        return legs


class InvariantChecker:
    """Watches one run.

    Attributes:
        problems: What must not be, in the order in which it was seen.
        double_dials: Dials that were placed more than once (count).
        mistaken: The same, where another session had taken the first call for its own (count).
        stranded: Times that someone was alone for too long (count).
        unsent: Gated dials that were given up though no request for them left, and Redis was not restarted meanwhile
            (count).
        left: Sessions that went on when the run was over, or whose calls did (count).
        lone_s: The longest time that someone of a session was alone, for each session that is over, seconds; without
            the time in which our gate or our last sentence speaks to them.
        silent_s: The longest time that someone of a session who was not alone heard no one and nothing, likewise;
            without sessions in which someone was put on hold, muted and so on by command.
        judged: Sessions that were judged (count).
        not_judged: Those with another end reason or attempt than the model's, which nothing has reported (count).
        call_s: How long all legs together lasted, seconds.
        log_entries: Entries of all logs (count).
        lost: Agents with a desk whose customers waited for them after a loss (count).
        presences: Who was in a conference, and when.
    """

    def __init__(
        self,
        twilio: VirtualTwilio,
        values: Callable[[], dict[bytes, Any]],
        keys: Keys,
        *,
        may_be_dialed: Iterable[str],
        lone_max_s: float,
        silent_max_s: float,
        quieted: Callable[[str], bool],
        replays: Replays,
    ) -> None:
        """Begins to watch.

        Args:
            twilio: Whose model is watched.
            values: Redis's keys.
            keys: Their names.
            may_be_dialed: Addresses.
            lone_max_s: How long someone may be alone, seconds.
            silent_max_s: How long one who is not may hear no one and nothing, seconds.
            quieted: Whether a command was given to a session after which someone may hear no one.
            replays: Decides a sample of the sessions again.
        """
        self.problems: list[Problem] = []
        self.double_dials = self.stranded = self.left = self.mistaken = self.unsent = 0
        self.lone_s: list[float] = []
        self.silent_s: list[float] = []
        self.judged = self.not_judged = 0
        self.call_s = 0.0
        self.log_entries = self.lost = 0
        self._twilio = twilio
        self._values = values
        self._keys = keys
        self._owners = CallOwners(keys)
        self._may_be_dialed = frozenset(may_be_dialed)
        self._lone_max_s = lone_max_s
        self._silent_max_s = silent_max_s
        self._quieted = quieted
        self._replays = replays
        self.presences = Presences()
        self._letters = 0
        #: When Redis went or came back, seconds.
        self._restarts: list[float] = []
        self._sessions: dict[str, Watched] = {}
        self._session_of: dict[str, str] = {}
        self._judged: set[str] = set()
        self._parked: dict[str, list[Span]] = {}
        hearing = WatchedHearing()
        hearing.on_change, hearing.presences = self._heard, self.presences
        twilio.model.audibility = hearing

    def blame(self, session_id: str, what: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(session_id, what, self._twilio.now_s))

    # ---- all along ------------------------------------------------------------------------------------------------

    def _heard(self, sids: list[str]) -> None:
        for sid in sids:
            session = self._of_call(sid)
            self._note_recording(session, sid)
            if session.unheard:
                self._check_unheard(session, (sid,))

    def _note_recording(self, session: Watched, sid: str) -> None:
        """A caller who speaks after the tone is attended: a machine listens."""
        is_recorded = self._twilio.model.state.calls[sid].record is not None
        spans = session.recorded.get(sid, [])
        if is_recorded and not (spans and spans[-1][1] is None):
            session.recorded[sid] = [*spans, (self._twilio.now_s, None)]
        elif not is_recorded and spans and spans[-1][1] is None:
            spans[-1] = (spans[-1][0], self._twilio.now_s)

    def _of_call(self, sid: str) -> Watched:
        session_id = self._session_of.get(sid)
        if session_id is None:
            call = self._twilio.model.state.calls[sid]
            session_id = self._session_of[sid] = self.session_of(call)
            self._watched(session_id).calls[sid] = None
            to = phone_address(call.to)
            # A browser that has called in and is an agent's may be rung again.
            if call.direction != "inbound" and to not in self._may_be_dialed and not to.startswith("client:"):
                self.blame(session_id, f"{call.to} was dialed, which may not be")
        return self._watched(session_id)

    def session_of(self, call: Call) -> str:
        """The session of a call."""
        if call.parent_sid:
            return self._of_call(call.parent_sid).session_id
        if call.direction == "inbound":
            return dict(call.custom).get("SessionID", "") or call.sid
        url = call.subscription.url if call.subscription else ""
        return dict(parse_qsl(urlsplit(url).query)).get("session", "")

    def _watched(self, session_id: str) -> Watched:
        found = self._sessions.get(session_id)
        if found is None:
            found = self._sessions[session_id] = Watched(session_id)
        return found

    def committed(self, session_ids: Iterable[str]) -> None:
        """Sessions were stored."""
        values = self._values()
        now_s = self._twilio.now_s
        for session_id in session_ids:
            if session_id in self._judged:
                continue  # what comes so late is only noted
            record = values.get(self._keys.session(session_id).encode())
            if not isinstance(record, dict):
                self.blame(session_id, "its record is gone")
                continue
            session = self._watched(session_id)
            version = int(record[b"version"])
            if version <= session.version:
                self.blame(session_id, f"version {version} was stored after {session.version}")
            session.version = version
            is_ended = record[b"state"] == b"ended"
            if session.is_ended and not is_ended:
                self.blame(session_id, "it lives again after its end")
            if is_ended and not session.is_ended:
                session.ended_s = now_s
            session.is_ended = is_ended
            record = in_bytes(flat_record(record))
            if wrong := wrong_read_timer(record):
                self.blame(session_id, wrong)
            self._note_parking(
                session, is_parked=record.get(b"phase") in (b"parked", b"queued") and not is_ended, now_s=now_s
            )
            session.supervision = note_supervision(record, session.supervision)
            session.unheard = apart(record) + supervised(record, session.supervision)
            if session.unheard:
                self._check_unheard(session, session.calls)

    def _note_parking(self, session: Watched, *, is_parked: bool, now_s: float) -> None:
        if is_parked and session.parked_since_s is None:
            session.parked_since_s = now_s
        elif not is_parked and session.parked_since_s is not None:
            session.parked.append((session.parked_since_s, now_s))
            session.parked_since_s = None

    def _check_unheard(self, session: Watched, listeners: Iterable[str]) -> None:
        if session.has_lost_writes:
            return
        for listener in listeners:
            heard = self._twilio.model.audibility.current(listener)
            for one in session.unheard if heard is not None and heard.parties else ():
                assert heard is not None
                if one.speaker in heard.parties and one.forbids(listener) and self._holds(one):
                    self.blame(session.session_id, f"{one.why} {one.speaker} is heard by {listener}")

    def _holds(self, one: AudibilityRules) -> bool:
        calls = self._twilio.model.state.calls
        return all(sid in calls and not calls[sid].is_final for sid in one.while_live)

    def redis_changed(self) -> None:
        """Redis goes, or has come back."""
        self._restarts.append(self._twilio.now_s)

    def writes_lost(self) -> None:
        """Redis knows less than it did: what was stored is compared with what is there now."""
        for session in self._sessions.values():
            if session.is_ended and self._twilio.now_s - session.ended_s > LATE_S:
                continue
            record = self._values().get(self._keys.session(session.session_id).encode())
            session.has_lost_writes = True
            fields = record if isinstance(record, dict) else {}
            session.version = int(fields.get(b"version", 0))
            session.is_ended = fields.get(b"state") == b"ended"
            session.unheard.clear()

    # ---- a session that is over -----------------------------------------------------------------------------------

    def judge_ended(self, *, all_of_them: bool = False) -> None:
        """Judges the sessions that ended a while ago, and forgets their logs."""
        self._judge_dead_letters()
        self._owners.note(self._twilio.dialed, self._values())
        now_s = self._twilio.now_s
        calls = self._twilio.model.state.calls
        for session in list(self._sessions.values()):
            is_over = session.is_ended and now_s - session.ended_s > LATE_S
            if not (is_over or all_of_them):
                continue
            live = [sid for sid in session.calls if not calls[sid].is_final]
            if live and not all_of_them:
                continue  # it is judged when they are over, or at the end of the run
            self.left += bool(live or (session.version and not session.is_ended))
            if live:
                self.blame(session.session_id, f"calls go on: {', '.join(live)}")
            elif session.version and not session.is_ended:
                self.blame(session.session_id, "all have hung up, and it has not ended")
            self._judge_loneliness(session)
            self._judge_result(session)
            self._judge_log(session)
            self.judged += 1
            self._judged.add(session.session_id)
            self._parked[session.session_id] = session.parked
            del self._sessions[session.session_id]

    def _judge_log(self, session: Watched) -> None:
        """That the log leads, without a gap, to the state that is stored."""
        values = self._values()
        record = values.get(self._keys.session(session.session_id).encode())
        log_key = self._keys.log(session.session_id).encode()
        log = values.get(log_key)
        if not record or log is None:
            if session.version:
                self.blame(session.session_id, "its record or its log is gone")
            return
        state, version = b"", 0
        entries = entries_of(log)
        self.unsent += sum(1 for dial_id in unsent_dials(entries, self._restarts) if not self._was_requested(dial_id))
        if wrong := too_many_reads(entries):
            self.blame(session.session_id, wrong)
        for fields in entries:
            if int(fields[b"version"]) != version + 1:
                self.blame(session.session_id, f"version {fields[b'version'].decode()} follows {version} in its log")
            if version and fields[b"from"] != state:
                self.blame(
                    session.session_id, f"its log goes on from {fields[b'from'].decode()} after {state.decode()}"
                )
            self.lost += b'"internal_transfer.mode":"loss"' in fields.get(b"changes", b"")
            version, state = int(fields[b"version"]), fields[b"to"]
            self.log_entries += 1
        if version != int(record[b"version"]) or state != record[b"state"]:
            self.blame(session.session_id, f"its log ends at {version} {state.decode()}, not where the session is")
        if session.version != version:
            self.blame(session.session_id, f"version {version} is there, {session.version} was stored")
        if complaint := self._replays.complaint(session.session_id, entries, record):
            self.blame(session.session_id, complaint)
        if not self.problems:
            del values[log_key]  # so that a long run needs little memory; where something is wrong all is kept

    def _judge_result(self, session: Watched) -> None:
        """That the end reason names who left first, if a callback or a read has reported the order."""
        record = flat_record(self._values().get(self._keys.session(session.session_id).encode()) or {})
        if not record.get("end_reason"):
            return
        seen = self._seen(session)
        mistakes = [*filter(None, (wrong_reason(record, seen),)), *wrong_attempts(record, seen)]
        for mistake in mistakes:
            if mistake.is_known and not session.has_lost_writes:
                self.blame(session.session_id, f"it ended as {record['end_reason']}, but {mistake.words}")
        self.not_judged += bool(mistakes) and not any(mistake.is_known for mistake in mistakes)

    def _seen(self, session: Watched) -> Seen:
        calls = {sid: self._twilio.model.state.calls[sid] for sid in session.calls}
        log = map(decode_fields, self._log_of(session.session_id))
        before_end = [entry for entry in log if entry["from"] != "ended"]
        return Seen(calls, self._twilio.hung_up_s, session.recorded, session.ended_s, before_end)

    def _log_of(self, session_id: str) -> list[dict[bytes, bytes]]:
        return entries_of(self._values().get(self._keys.log(session_id).encode()))

    def _was_requested(self, dial_id: str) -> bool:
        return any(dial_id in str(entry.params) for entry in self._twilio.request_log.rest)

    def _judge_loneliness(self, session: Watched) -> None:
        calls = [self._twilio.model.state.calls[sid] for sid in session.calls]
        now_s = self._twilio.now_s
        live = {call.sid: (call.created_at_s, now_s if call.ended_at_s is None else call.ended_at_s) for call in calls}
        parked = session.parked + ([(session.parked_since_s, now_s)] if session.parked_since_s is not None else [])
        longest_s = silent_s = 0.0
        for call in calls:
            created_s, ended_s = live[call.sid]
            self.call_s += ended_s - created_s
            began_s = created_s if call.direction == "inbound" else call.answered_at_s
            if began_s is None:
                continue
            company = [span for sid, span in live.items() if sid != call.sid] + parked
            # As the contract's `alone_s`: who hears our gate or our last sentence, or leaves a message, is in no
            # conference.
            recorded = [(since_s, until_s or now_s) for since_s, until_s in session.recorded.get(call.sid, [])]
            alone = without((began_s, ended_s), company + recorded + self._spans(call.sid, "speech", now_s))
            for since_s, until_s in alone:
                longest_s = max(longest_s, until_s - since_s)
                over_s = until_s - since_s - self._lone_max_s
                if over_s > 0 and over_s > excused_s(self._log_of(session.session_id), since_s, until_s):
                    self.stranded += 1
                    self.blame(
                        session.session_id,
                        f"{call.sid} was alone for {until_s - since_s:.1f} s from {since_s:.3f} s on",
                    )
            for silence in [] if self._quieted(session.session_id) else self._spans(call.sid, "silence", now_s):
                for since_s, until_s in without(silence, alone + recorded):
                    silent_s = max(silent_s, until_s - since_s)
                    if until_s - since_s > self._silent_max_s:
                        words = f"{call.sid} was not alone and heard nothing for {until_s - since_s:.1f} s"
                        self.blame(session.session_id, f"{words} from {since_s:.3f} s on")
        self.lone_s.append(longest_s)
        if not self._quieted(session.session_id):
            self.silent_s.append(silent_s)

    def _spans(self, sid: str, kind: str, now_s: float) -> list[Span]:
        intervals = self._twilio.model.audibility.intervals(sid)
        return [
            (one.since_s, now_s if one.until_s is None else one.until_s) for one in intervals if one.sound.kind == kind
        ]

    # ---- the end of the run ---------------------------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        """What is still to be done, in words: none once everything is over."""
        values, keys = self._values(), self._keys
        names = [keys.commands]
        for partition in range(keys.partitions):
            names += (keys.events(partition), keys.outbox(partition), keys.timers(partition), keys.live(partition))
        sizes = {name: size_of(values.get(name.encode())) for name in names}
        left = [f"{name} holds {count}" for name, count in sizes.items() if count]
        if calls := self._twilio.model.live_calls():
            left.append(f"{len(calls)} calls go on: {', '.join(call.sid for call in calls[:5])}")
        return left

    def outcomes(self) -> Iterator[tuple[Mapping[str, str], Measured]]:
        """Each outcome of a session or transfer, with what the model saw of its session."""
        stream, calls = self._values().get(self._keys.outcomes.encode()), self._twilio.model.state.calls
        return compared(stream, calls, self._session_of, self.presences, self._parked)

    def judge_recordings(self) -> None:
        """That each recording that Conferral asked for was reported once."""
        outcomes = map(decode_fields, entries_of(self._values().get(self._keys.outcomes.encode())))
        reported = Counter(one["recording_sid"] for one in outcomes if one["kind"] == "recording")
        for found in self._twilio.model.state.recordings.values():
            if found.settings.source != "RecordVerb" and reported[found.sid] != 1:
                words = f"{found.sid} ({found.status}) was reported {reported[found.sid]} times"
                self.blame(self._session_of.get(found.leg_sid, ""), words)

    def judge_dials(self) -> None:
        """That no dial was placed twice.

        Twilio's list of calls has no labels: of two sessions that dial one address in the same seconds, and hear
        nothing of either call, one may take the other's for its own. They are indistinguishable, so it is only counted.
        """
        self._owners.note(self._twilio.dialed, self._values())
        for dial_id, legs in self._twilio.dialed.items():
            if len(legs) > 1 and self._owners.is_mistaken(dial_id):
                self.mistaken += 1
            elif len(legs) > 1:
                self.double_dials += 1
                sids = ", ".join(leg.call_sid for leg in legs)
                self.blame(legs[0].session_id, f"dial {dial_id} was placed {len(legs)} times: {sids}")

    def _judge_dead_letters(self) -> None:
        """That no entry was given up."""
        letters = entries_of(self._values().get(self._keys.dead.encode()))
        for fields in letters[min(self._letters, len(letters)) :]:
            what, reason, session_id = (
                fields.get(name, b"").decode(errors="replace") for name in (b"type", b"dead_reason", b"session")
            )
            self.blame(session_id, f"an entry was dead-lettered: {what}, {reason}")
        self._letters = len(letters)

    # ---- stories --------------------------------------------------------------------------------------------------

    def story_of(self, session_id: str) -> str:
        """What happened to a session, for the reader of a failure."""
        record = self._values().get(self._keys.session(session_id).encode()) or {}
        lines = [f"session {session_id}"]
        lines += [f"  {name} = {value}" for name, value in flat_record(record).items()]
        moments: list[tuple[float, str]] = []
        for fields in self._log_of(session_id):
            text = {name.decode(): value.decode() for name, value in fields.items()}
            words = f"{text['event']} {text.get('details', '')} [{text['outcome']}] {text['from']} -> {text['to']}"
            effects = text.get("effects", "[]")
            more = f" effects {effects}" if effects != "[]" else ""
            reason = f" ({text['reason']})" if text.get("reason") else ""
            moments.append((from_iso(text["at"]) / 1000, f"decided {text['version']}: {words}{reason}{more}"))
        moments += self._moments_of_calls(session_id)
        lines += [f"{at_s:14.3f}  {words}" for at_s, words in sorted(moments)]
        return "\n".join(lines)

    def _moments_of_calls(self, session_id: str) -> list[tuple[float, str]]:
        model, moments = self._twilio.model, []
        sids = {sid for sid, owner in self._session_of.items() if owner == session_id}
        for sid in sorted(sids):
            call = model.state.calls[sid]
            moments.append((call.created_at_s, f"{sid} {call.direction} to {call.to}"))
            if call.ended_at_s is not None:
                moments.append((call.ended_at_s, f"{sid} {call.status}"))
            moments += [(one.since_s, f"{sid} hears {one.sound}") for one in model.audibility.intervals(sid)]
        log = self._twilio.request_log
        for entry in log.rest:
            if any(sid in entry.path for sid in sids) or session_id in str(entry.params):
                shown = {name: value for name, value in entry.params if name not in _LONG}
                moments.append((entry.at_s, f"REST {entry.method} {entry.path} {shown} {entry.status} {entry.fault}"))
        for reported in log.deliveries:
            if reported.call_sid in sids or session_id in reported.url:
                tries = [(attempt.status, attempt.failure) for attempt in reported.attempts]
                moments.append((reported.at_s, f"told {reported.event} {reported.call_sid} {reported.fault} {tries}"))
                moments += [
                    (attempt.at_s, f"  came: {reported.event} {reported.call_sid}") for attempt in reported.attempts
                ]
        return moments


_LONG = frozenset({"Twiml", "StatusCallback", "ConferenceStatusCallback", "StatusCallbackEvent",
                   "ConferenceStatusCallbackEvent", "RecordingStatusCallback", "WaitUrl", "CallToken"})  # fmt: skip
