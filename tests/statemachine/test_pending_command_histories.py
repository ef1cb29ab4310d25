"""Orders among any other events: never an exception, every command has an end, and what must hold, holds."""

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conferral.statemachine.effects import ChangeRecording, PlayAnnouncement, StartRecording, UpdateParticipant
from conferral.statemachine.events import Add, Announce, EffectSucceeded, Record, Supervise
from conferral.statemachine.guards.waiting_party import present_parties, someone_is_being_dialed
from conferral.statemachine.session import Session
from conferral.statemachine.states import Phase, RecordAction, RecordingStatus, State, SuperviseMode
from tests.statemachine.command_scenarios import (
    OTHER_RECORDING,
    RECORDING,
    Orders,
    added,
    consulting_recorded,
    ordering,
    recorded,
    recorded_conference,
    supervised,
)
from tests.statemachine.scenario import CONFERENCE, OTHER_CONFERENCE, Scenario
from tests.statemachine.test_grid import MOVES as OTHER_MOVES
from tests.statemachine.test_grid import History, check
from tests.statemachine.transfer_scenarios import talking
from tests.support.people import CHIEF, LAWYER

BEGINNINGS = {
    "bridged": lambda: ordering(Scenario().answered),
    "conferenced": ordering,
    "added": added,
    "adding": lambda: ordering().add().confirms("customer", "agent"),
    "supervised": lambda: supervised("whisper"),
    "supervised transfer": lambda: supervised("whisper", lambda: talking("warm")),
    "whispering in company": lambda: added().supervise("whisper").takes_part("supervisor").confirms("supervisor"),
    "recorded customer": lambda: recorded("customer"),
    "recorded conference": recorded_conference,
    "recorded consult": consulting_recorded,
    "announcing to each": lambda: added().hold("customer").confirms("customer").announce(),
}
_ASKED = (UpdateParticipant, PlayAnnouncement, StartRecording, ChangeRecording)


class OrderHistory(History):
    """Any event, and orders more often than others."""

    def party(self) -> str:
        return self.draw(st.sampled_from([*self.story.session.parties, "lawyer", "supervisor"]))

    def adds(self) -> None:
        name = self.draw(st.sampled_from(["lawyer", "lawyer", "expert"]))
        self.story.command(Add, self.id(), to=LAWYER, party=name, confirm=self.draw(st.booleans()))

    def orders(self) -> None:
        command = self.draw(st.sampled_from(["remove", "hold", "unhold", "mute", "unmute", "hold", "mute"]))
        getattr(self.story, command)(self.party(), self.id())

    def supervises(self) -> None:
        self.story.command(Supervise, self.id(), to=CHIEF, mode=self.draw(st.sampled_from(list(SuperviseMode))).value)

    def announces(self) -> None:
        if self.draw(st.booleans()):
            self.story.command(Announce, self.id(), say="Hello")
        else:
            self.story.played(self.draw(st.sampled_from(["", self.leg()])), failed=self.draw(st.booleans()))

    def records(self) -> None:
        self.story.command(Record, self.id(), action=self.draw(st.sampled_from(list(RecordAction))).value)

    def recording_reports(self) -> None:
        status, sid = self.draw(st.sampled_from(list(RecordingStatus))), self.draw(st.booleans())
        conference = self.draw(st.sampled_from([CONFERENCE, CONFERENCE, OTHER_CONFERENCE]))
        self.story.recording(
            status.value, sid=RECORDING if sid else OTHER_RECORDING, of_conference=self.draw(st.booleans()),
            conference_sid=conference,
        )  # fmt: skip

    def is_as_may_be(self) -> None:
        leg = self.story.legs[self.leg()]
        leg.held, leg.muted, leg.end_on_exit = (self.draw(st.booleans()) for _ in range(3))
        leg.coaches = self.draw(st.sampled_from(["", self.story.legs["agent"].call_sid, leg.call_sid]))
        leg.hides_coaching = self.draw(st.booleans())
        name = next(name for name, one in self.story.legs.items() if one is leg)
        self.story.changes(name, kind=self.draw(st.sampled_from(["", "participant-unhold", "participant-unmute"])))

    def is_reported(self) -> None:
        """The outcome of something that was asked for in truth."""
        asked = [effect for effect in self.story.effects if isinstance(effect, _ASKED)]
        if not asked:
            return
        effect = self.draw(st.sampled_from(asked[-4:]))
        match self.draw(st.sampled_from(["done", "fails", "gone", "is_unknown"])):
            case "done":
                sid = RECORDING if isinstance(effect, StartRecording) else ""
                event = EffectSucceeded(
                    **self.story.common(), effect_id=effect.effect_id, kind=effect.kind, party=effect.party,
                    recording_sid=sid,
                )  # fmt: skip
                self.story.take(event)
            case "is_unknown":
                self.story.is_unknown(effect.kind, effect.party, effect.effect_id)
            case how:
                self.story.fails(effect.kind, effect.party, gone=how == "gone", effect_id=effect.effect_id)


ORDER_MOVES = [name for name in vars(OrderHistory) if name != "party" and name[0] != "_"]


class Watched(Orders):
    """A story of which every step is checked."""

    def take(self, event):
        before = self.session
        super().take(event)
        check(before, self)
        check_orders(self.session)
        return self


@pytest.mark.parametrize("beginning", BEGINNINGS)
@given(st.data())
@settings(max_examples=20, deadline=None, derandomize=True, phases=set(hypothesis.Phase) - {hypothesis.Phase.explain})
def test_any_history_of_orders_keeps_the_invariants(beginning, data):
    story = BEGINNINGS[beginning]()
    story.__class__ = Watched
    history = OrderHistory(story, data)
    for name in data.draw(st.lists(st.sampled_from(OTHER_MOVES + 2 * ORDER_MOVES), max_size=20)):
        getattr(history, name)()


def check_orders(session: Session) -> None:
    """Every command waits for something that will come by itself; no one is forgotten on hold or heard by strangers."""
    if session.state is State.ENDED:
        assert all(command.effects for command in session.pending_commands), "an end waits for its hang-ups"
        return
    for command in session.pending_commands:
        party = session.parties.get(command.party)
        is_dialed = party is not None and bool(party.dial_id) and not (party.is_gone or party.takes_part)
        converts = command.is_queued and session.state is State.CONVERTING
        has_outcome_to_come = command.name == "record" and bool(command.effects)
        assert command.due_ms or is_dialed or converts or has_outcome_to_come, f"{command.name} waits for nothing"
    due = [command.due_ms for command in session.pending_commands if command.due_ms]
    assert session.timers.get("pending_command") == (min(due) if due else None)
    left = present_parties(session)
    if (
        session.state is State.CONFERENCED
        and session.phase is not Phase.PARKED
        and not someone_is_being_dialed(session)
    ):
        assert len(left) < 2 or not all(party.desired_hold for party in left), "nobody hears anybody"
    coach = session.parties.get("supervisor")
    if coach is not None and coach.in_conference and not coach.is_gone and not coach.muted and coach.coaches:
        coached = session.find_party(call_sid=coach.coaches)
        stays = coached is not None and coached.name == "agent" and coached.in_conference and not coached.is_gone
        assert stays or coach.pending_update, "a supervisor who whispers is heard by others"
