"""Who hears whom: derived from the state, as intervals.

Callers are tracked from the start of the call, dialed legs from their answer; both until the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from offhook.model.formats import resolve
from offhook.model.state import Call, Participant, Sound, SoundInterval, State, WaitAudio
from offhook.model.twiml_parser import Verb

SILENCE = Sound("silence")
RINGBACK = Sound("ringback")


def sound_heard_by(state: State, sid: str) -> Sound | None:
    """Return what the leg hears now; None if it is unanswered, or has ended."""
    call = state.calls.get(sid)
    if call is None or call.is_final or (call.direction != "inbound" and call.status != "in-progress"):
        return None
    if call.activity == "conference":
        return _sound_in_conference(state, call)
    if call.activity == "gathering":
        return _sound_of_prompt(call)
    if call.activity == "enqueued":
        return SILENCE if call.queue_stay is not None and call.queue_stay.verb.has("waitUrl") else Sound("music")
    if call.relay is not None:
        return _verb_sound(call.relay.sentences[call.relay.position], "")
    if call.dial is not None and call.dial.bridged_at_s is not None:
        return _voice_of(state, call.dial.winner_sid)
    if call.activity == "bridged":
        parent = state.calls.get(call.dialer_sid)
        return _voice_of(state, parent.sid) if parent else SILENCE
    if call.activity in {"speaking", "playing"} and call.program is not None:
        current = call.program.verbs[call.program.position - 1]  # `position` is already that of the next verb
        return _verb_sound(current, call.program.base_url)
    return RINGBACK if call.activity == "dialing" else SILENCE


def _verb_sound(verb: Verb, base_url: str) -> Sound:
    if verb.name == "Say":
        return Sound("speech", content=verb.text)
    if verb.name == "Play" and (digits := verb.get("digits")):
        return Sound("digits", content=digits)
    return Sound("music", content=resolve(base_url, verb.text)) if verb.name == "Play" else SILENCE


def _voice_of(state: State, sid: str) -> Sound:
    other = state.calls.get(sid)
    return Sound("parties", frozenset({sid})) if other is not None and not other.is_final else SILENCE


def _sound_of_prompt(call: Call) -> Sound:
    gather = call.gather
    if gather is None or gather.prompt >= len(gather.verb.children):
        return SILENCE
    return _verb_sound(gather.verb.children[gather.prompt], gather.base_url)


def _sound_in_conference(state: State, call: Call) -> Sound:
    """Return what a participant hears: announcement, music, or parties."""
    conference = state.conferences[call.conference_sid]
    me = conference.participants[call.sid]
    announced = _announcement_sound(me.announcement) or (
        None if me.is_held else _announcement_sound(conference.announcement)
    )
    if announced is not None:
        return announced
    if me.is_held:
        return _waiting_sound(me.hold_audio) if me.hold_audio is not None else Sound("music")
    if conference.status == "init":
        return _waiting_sound(me.wait_audio) if me.wait_audio is not None else SILENCE
    others = frozenset(p.call_sid for p in conference.joined() if _is_audible(p, me))
    # With early media, they hear the ringing of a party that is being dialed.
    rings = any(p.status == "ringing" and p.settings.early_media for p in conference.participants.values())
    if others:
        return Sound("parties", others, ringing=rings)
    return RINGBACK if rings else SILENCE


def _announcement_sound(audio: WaitAudio | None) -> Sound | None:
    """Return its current sound; None while it is fetched, and in its pauses."""
    if audio is None or audio.verb is None or audio.verb.name not in {"Say", "Play"}:
        return None
    return _verb_sound(audio.verb, audio.base_url)


def _waiting_sound(audio: WaitAudio) -> Sound:
    if audio.kind == "document":
        return SILENCE if audio.verb is None else _verb_sound(audio.verb, audio.base_url)
    return Sound(audio.kind)


def _is_audible(speaker: Participant, listener: Participant) -> bool:
    if speaker is listener or speaker.muted or speaker.is_held:
        return False
    return not speaker.coaching or speaker.coach_sid == listener.call_sid  # a coach is heard only by the coached


def add_interval(intervals: list[SoundInterval], sound: Sound | None, now_s: float) -> None:
    """Begin another interval if the sound changes; None ends the last one."""
    last = intervals[-1] if intervals and intervals[-1].until_s is None else None
    if last is not None:
        if last.sound == sound:
            return
        intervals.pop()
        if now_s > last.since_s:  # drop an interval of zero length
            intervals.append(SoundInterval(last.since_s, now_s, last.sound))
    if sound is None:
        return
    before = intervals[-1] if intervals else None
    if before is not None and (before.until_s, before.sound) == (now_s, sound):
        intervals[-1] = SoundInterval(before.since_s, None, sound)  # drop an interval of zero length in between
    else:
        intervals.append(SoundInterval(now_s, None, sound))


@dataclass(slots=True)
class Audibility:
    """The history of what each leg heard, in sandbox time."""

    history: dict[str, list[SoundInterval]] = field(default_factory=dict)

    def update(self, state: State, touched: Iterable[str], now_s: float) -> set[str]:
        """Record what touched legs, or conferences' legs, hear; return them."""
        legs: set[str] = set()
        for touched_sid in touched:
            conference = state.conferences.get(touched_sid)
            legs.update((touched_sid,) if conference is None else conference.participants)
        for sid in sorted(legs):
            add_interval(self.history.setdefault(sid, []), sound_heard_by(state, sid), now_s)
        return legs

    def intervals(self, sid: str) -> tuple[SoundInterval, ...]:
        """Return everything that the leg heard, in order of time."""
        return tuple(self.history.get(sid, ()))

    def current(self, sid: str) -> Sound | None:
        """Return what the leg hears now; None if no one listens."""
        last = self.history.get(sid, [])[-1:]
        return last[0].sound if last and last[0].until_s is None else None
