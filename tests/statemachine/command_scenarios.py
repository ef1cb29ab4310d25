"""What only scenarios of commands need: one more party, holds, mutes, supervisors, announcements and recordings."""

from collections.abc import Callable
from typing import Any, cast

from conferral.statemachine.effects import ChangeRecording, StartRecording, UpdateParticipant
from conferral.statemachine.events import (
    Add,
    Announce,
    AnnouncementEnded,
    CallReceived,
    EffectSucceeded,
    Hold,
    Mute,
    Press,
    Record,
    RecordingChanged,
    Remove,
    Supervise,
    Unhold,
    Unmute,
)
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.policy import Policy
from tests.statemachine.call_legs import CONFERENCE, CUSTOMER_CALL
from tests.statemachine.scenario import ALICE, BOB, CUSTOMER, Scenario
from tests.statemachine.transfer_scenarios import conferenced
from tests.support.people import CHIEF, LAWYER

CHIEF_TOO = "client:chief_too"
RECORDING, OTHER_RECORDING = "RE" + "1" * 32, "RE" + "2" * 32


class Orders(Scenario):
    """A story of commands that are no transfers."""

    # ---- commands ------------------------------------------------------------------------------------------------

    def add(self, party: str = "lawyer", command_id: str = "add-1", *, to: str = LAWYER, **options: Any) -> "Orders":
        return cast("Orders", self.command(Add, command_id, to=to, party=party, **options))

    def remove(self, party: str, command_id: str = "remove-1") -> "Orders":
        return cast("Orders", self.command(Remove, command_id, party=party))

    def hold(self, party: str, command_id: str = "hold-1") -> "Orders":
        return cast("Orders", self.command(Hold, command_id, party=party))

    def unhold(self, party: str, command_id: str = "unhold-1") -> "Orders":
        return cast("Orders", self.command(Unhold, command_id, party=party))

    def mute(self, party: str, command_id: str = "mute-1") -> "Orders":
        return cast("Orders", self.command(Mute, command_id, party=party))

    def unmute(self, party: str, command_id: str = "unmute-1") -> "Orders":
        return cast("Orders", self.command(Unmute, command_id, party=party))

    def supervise(
        self, mode: str = "monitor", command_id: str = "supervise-1", *, to: str = CHIEF, **options: Any
    ) -> "Orders":
        return cast("Orders", self.command(Supervise, command_id, to=to, mode=mode, **options))

    def announce(self, command_id: str = "announce-1", **what: str) -> "Orders":
        return cast("Orders", self.command(Announce, command_id, **(what or {"say": "Hello"})))

    def press(self, party: str, command_id: str = "press-1") -> "Orders":
        return cast("Orders", self.command(Press, command_id, party=party, digits=""))

    def record(self, action: str, command_id: str = "") -> "Orders":
        return cast("Orders", self.command(Record, command_id or f"record-{action}", action=action))

    # ---- callbacks -----------------------------------------------------------------------------------------------

    def played(self, name: str = "", *, failed: bool = False, reason: str = "", **what: str) -> "Orders":
        """An announcement has come to its end, to someone or to the whole conference."""
        call_sid = self.legs[name].call_sid if name else ""
        event = AnnouncementEnded(
            **self.common(CONFERENCE, 1),
            conference_sid=CONFERENCE,
            call_sid=call_sid,
            failed=failed,
            reason=reason,
            **what,
        )
        return cast("Orders", self.take(event))

    def recording(self, status: str, *, sid: str = RECORDING, of_conference: bool = True, **given: Any) -> "Orders":
        """A recording's callback."""
        event = RecordingChanged(
            **self.common(),
            recording_sid=sid,
            status=status,
            of_conference=of_conference,
            call_sid="" if of_conference else CUSTOMER_CALL,
            conference_sid=given.pop("conference_sid", CONFERENCE if of_conference else ""),
            **given,
        )
        return cast("Orders", self.take(event))

    def recorded(self, *, sid: str = RECORDING) -> "Orders":
        """Twilio has done what was asked about the recording last."""
        effect = self.last_of(StartRecording, ChangeRecording)
        event = EffectSucceeded(
            **self.common(), effect_id=effect.effect_id, kind=effect.kind, party=effect.party, recording_sid=sid
        )
        return cast("Orders", self.take(event))

    def not_recorded(self, *, gone: bool = False, code: int = 0) -> "Orders":
        """Twilio has refused what was asked about the recording last."""
        effect = self.last_of(StartRecording, ChangeRecording)
        return cast("Orders", self.fails(effect.kind, effect.party, gone=gone, code=code, effect_id=effect.effect_id))

    def not_known_to_be_recorded(self) -> "Orders":
        """No one knows what came of what was asked about the recording last."""
        effect = self.last_of(StartRecording, ChangeRecording)
        return cast("Orders", self.is_unknown(effect.kind, effect.party, effect.effect_id))

    def update_refused(self, name: str, *, code: int = 16028, gone: bool = False) -> "Orders":
        """Twilio refuses what was asked about a participant last."""
        effect = self.last_of(UpdateParticipant, party=name)
        self.unconfirmed.remove(effect)
        status = 404 if gone else 400
        self.fails(effect.kind, name, gone=gone, status=status, code=code, effect_id=effect.effect_id)
        return self

    def update_answered(self, name: str) -> "Orders":
        """Twilio's response confirms what was asked about a participant last; its callbacks are late or lost."""
        self.does(name)
        effect = self.last_of(UpdateParticipant, party=name)
        return cast("Orders", self.succeeds(effect.kind, name, effect.effect_id, is_confirmed=True))

    def last_of(self, *kinds: type, party: str = "") -> Any:
        """The newest effect of these kinds."""
        effects = (one for one in reversed(self.effects) if isinstance(one, kinds))
        return next(one for one in effects if not party or one.party == party)

    # ---- what is expected ----------------------------------------------------------------------------------------

    def expect_recording(self, status: str) -> "Orders":
        assert self.session.recording is not None
        assert self.session.recording.status == status
        return self

    def expect_no_orders(self) -> "Orders":
        """Every command has its outcome, but those that wait for a conversion."""
        assert all(command.is_queued for command in self.session.pending_commands)
        assert "pending_command" not in self.session.timers
        return self


def ordering(begin: Callable[..., Scenario] = conferenced, *args: Any, **given: Any) -> Orders:
    """The same moment, as a scenario that accepts commands."""
    story = begin(*args, **given)
    story.__class__ = Orders
    return cast("Orders", story)


def added(policy: Policy | None = None) -> Orders:
    """Customer, agent and lawyer talk; no one's leaving ends the conference."""
    story = ordering(conferenced, policy).add().expect("conferenced", "unflag customer", "unflag agent")
    story.confirms("customer").expect("conferenced").confirms("agent").expect("conferenced", "dial lawyer")
    story.takes_part("lawyer").expect("conferenced").expect_command("add-1", "accepted", "done")
    return cast("Orders", story.expect_timers())


def supervised(mode: str = "monitor", begin: Callable[[], Scenario] = conferenced) -> Orders:
    """Someone supervises, and Twilio has confirmed how."""
    story = ordering(begin).supervise(mode)
    names = [effect.party for effect in story.unconfirmed if effect.update == "clear-end-on-exit"]
    story.confirms(*names).takes_part("supervisor")
    if mode != "monitor":
        story.expect(story.session.state.value, f"{mode} supervisor").confirms("supervisor")
    story.expect_command("supervise-1", "accepted", "done").expect_no_orders()
    return story


def recorded(record: str, policy: Policy | None = None) -> Orders:
    """Customer and agent talk over the bridge, of a number whose calls are recorded."""
    story = Orders(policy)
    story.take(
        CallReceived(
            **story.common(token="call_received"), call_sid=CUSTOMER_CALL, customer_address=CUSTOMER,
            agent_address=ALICE, attributes=ConferenceAttributes(record=record),
        )
    )  # fmt: skip
    for status in ("initiated", "ringing", "in-progress"):
        story.call("agent", status)
    return story


def recorded_conference(policy: Policy | None = None) -> Orders:
    """Both are in a conference that is recorded from its start."""
    story = recorded("true", policy).convert().joins("agent").joins("customer").confirms("customer", "agent")
    return cast("Orders", story.expect("conferenced")).expect_recording("in-progress")


def consulting_recorded() -> Orders:
    """Agent and target talk in a consult, and the recording stands still."""
    story = recorded_conference().transfer("consult", BOB).confirms("agent")
    story.expect("transferring", "paused recording", "hold customer").recorded().expect("transferring")
    story.confirms("customer").expect("transferring", "dial target")
    return cast("Orders", story.takes_part("target").expect("transferring", phase="consult"))
