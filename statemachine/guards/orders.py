"""Questions about commands under way that are no transfers."""

from conferral.statemachine.actions.parties import told_reason
from conferral.statemachine.events import (
    Add,
    Announce,
    AnnouncementEnded,
    EffectFailed,
    Event,
    Hold,
    PartyCommand,
    Supervise,
)
from conferral.statemachine.guards.company import company, is_being_dialled
from conferral.statemachine.guards.supervising import supervises_as
from conferral.statemachine.order import Order
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, FLAGS, SUPERVISOR, TARGET, Party, Session
from conferral.statemachine.states import Opening, Phase, SuperviseMode
from conferral.statemachine.step import CommandStatus

#: Requests of one kind that Twilio may refuse before nothing more is tried (count).
REFUSED_MAX = 2
Verdict = tuple[CommandStatus, str]


def party_meant(scratch: Scratch, event: PartyCommand) -> Party | None:
    """The party that a command names, by its name or by the SID of its call; None when it is gone or unknown."""
    parties = scratch.session.parties
    party = parties.get(event.party) or next((one for one in parties.values() if one.call_sid == event.party), None)
    return None if party is None or party.is_gone else party


# ---- asked when a command comes ----------------------------------------------------------------------------------


def names_nobody(scratch: Scratch, event: PartyCommand) -> bool:
    """Whether there is no such party."""
    return party_meant(scratch, event) is None


def names_customer(scratch: Scratch, event: PartyCommand) -> bool:
    """Whether the customer is meant."""
    party = party_meant(scratch, event)
    return party is not None and party.name == CUSTOMER


def names_target(scratch: Scratch, event: PartyCommand) -> bool:
    """Whether somebody is meant whom a transfer has dialled."""
    return party_meant(scratch, event) in scratch.session.targets


def names_one_of_several(scratch: Scratch, event: PartyCommand) -> bool:
    """Whether one of those is meant who ring at the same time."""
    party = party_meant(scratch, event)
    return party is not None and party in scratch.session.targets and party.name != TARGET


def names_bystander(scratch: Scratch, event: PartyCommand) -> bool:
    """Whether somebody is meant whom a transfer does not depend on."""
    party = party_meant(scratch, event)
    return party is not None and party.name not in (CUSTOMER, AGENT) and party not in scratch.session.targets


def is_out_of_room(scratch: Scratch, event: PartyCommand) -> bool:
    """Whether the party is not in the conference, so that nothing can be changed about it."""
    party = party_meant(scratch, event)
    return party is not None and not (party.in_room and (party.answered or not party.dial_id))


def is_of_supervisor(scratch: Scratch, event: PartyCommand) -> bool:
    """Whether a supervisor is meant, who is heard as his mode says."""
    party = party_meant(scratch, event)
    return party is not None and party.is_supervisor


def is_last_unheld(scratch: Scratch, event: Hold) -> bool:
    """Whether nobody would be left who hears anybody."""
    party = party_meant(scratch, event)
    return party is not None and is_last_to_hear(scratch.session, party)


def is_last_to_hear(session: Session, party: Party) -> bool:
    """Whether everybody else is on hold, or is to be."""
    unheld = [one for one in company(session) if not one.hold_wanted]
    return not party.hold_wanted and len(unheld) <= 1


def nobody_hears_anybody(scratch: Scratch, _event: Event) -> bool:
    """Whether those who are left are all on hold by command: nobody of them could ever let the others back."""
    left = company(scratch.session)
    is_waiting = scratch.session.phase is Phase.PARKED or is_being_dialled(scratch.session)
    return len(left) > 1 and all(party.hold_wanted for party in left) and not is_waiting


def is_opening(scratch: Scratch, _event: Event) -> bool:
    """Whether somebody still waits for whoever is being dialled first."""
    return scratch.session.opening is not Opening.OVER


def is_parked(scratch: Scratch, _event: Event) -> bool:
    """Whether the call is parked."""
    return scratch.session.phase is Phase.PARKED


def name_is_taken(scratch: Scratch, event: Add) -> bool:
    """Whether somebody has that name, or is about to."""
    party = scratch.session.parties.get(event.party)
    is_there = party is not None and not party.is_gone
    return is_there or any(order.name == Add.name and order.party == event.party for order in scratch.session.orders)


def is_full(scratch: Scratch, _event: Add | Supervise) -> bool:
    """Whether Twilio lets nobody else in."""
    session = scratch.session
    most = session.attributes.max_participants or PARTICIPANTS_MAX
    waiting = sum(order.name == Add.name and (order.is_clearing or order.is_queued) for order in session.orders)
    return sum(not party.is_gone for party in session.parties.values()) + waiting >= most


#: Source: Twilio docs, TwiML `<Conference>`, `maxParticipants`.
PARTICIPANTS_MAX = 250


def is_another_supervisor(scratch: Scratch, event: Supervise) -> bool:
    """Whether somebody else supervises already."""
    there = supervisor(scratch.session)
    dialled = there.address if there is not None else _queued_supervisor(scratch.session)
    return bool(dialled) and dialled != event.to


def switches_mode(scratch: Scratch, event: Supervise) -> bool:
    """Whether the one who supervises is to do so in another way."""
    there = supervisor(scratch.session)
    return there is not None and there.address == event.to


def is_supervised_soon(scratch: Scratch, _event: Supervise) -> bool:
    """Whether a supervisor is about to be dialled."""
    return bool(_queued_supervisor(scratch.session))


def _queued_supervisor(session: Session) -> str:
    waiting = (order for order in session.orders if order.name == Supervise.name)
    return next((order.to for order in waiting if order.is_clearing or order.is_queued), "")


def supervisor(session: Session) -> Party | None:
    """Who supervises, or is being dialled to."""
    party = session.parties.get(SUPERVISOR)
    return party if party is not None and not party.is_gone else None


def has_nobody_to_coach(scratch: Scratch, event: Supervise) -> bool:
    """Whether the agent is not there to whisper to."""
    agent = scratch.session.parties.get(AGENT)
    return event.mode == SuperviseMode.WHISPER and (agent is None or agent.is_gone or agent.is_leaving)


def coaches_the_held(scratch: Scratch, event: Supervise) -> bool:
    """Whether the agent is on hold, or about to be: Twilio refuses to let anybody whisper to him (16027)."""
    agent = scratch.session.parties.get(AGENT)
    return event.mode == SuperviseMode.WHISPER and agent is not None and (agent.held or agent.hold_wanted)


def is_announcing(scratch: Scratch, _event: Announce) -> bool:
    """Whether an announcement is being played, or waits to be."""
    return any(order.name == Announce.name for order in scratch.session.orders)


def has_no_audience(scratch: Scratch, _event: Announce) -> bool:
    """Whether nobody would hear it: everybody is on hold, or waits for somebody."""
    return not audience(scratch.session)


def audience(session: Session) -> tuple[Party, ...]:
    """Who hears an announcement."""
    return tuple(
        party
        for party in session.in_room
        if not (party.is_gone or party.held or party.hold_wanted or party.waits or party.is_leaving)
        and (party.answered or not party.dial_id)
    )


# ---- asked after every event -------------------------------------------------------------------------------------


def some_order_is_over(scratch: Scratch, _event: Event) -> bool:
    """Whether what a command asked for has happened, or can't any more."""
    return any(verdict_on(scratch, order) is not None for order in scratch.session.orders)


def some_order_may_begin(scratch: Scratch, _event: Event) -> bool:
    """Whether commands have waited for the conference, and both are in it."""
    return any(order.is_queued for order in scratch.session.orders)


def some_order_may_dial(scratch: Scratch, _event: Event) -> bool:
    """Whether a party is to be dialed in, and no other party's leaving ends the conference any more."""
    clearing = any(order.is_clearing for order in scratch.session.orders)
    return clearing and all(
        not party.ends_conference and party.asked not in FLAGS
        for party in scratch.session.in_room
        # The flag of a held party can't be cleared before the unhold.
        if not (party.is_gone or (party.held and party.hold_wanted))
    )


def supervisor_has_come(scratch: Scratch, _event: Event) -> bool:
    """Whether a supervisor takes part, and Twilio's confirmation of the mode is to be waited for."""
    return any(is_unlimited(scratch.session, order) for order in scratch.session.orders)


def is_unlimited(session: Session, order: Order) -> bool:
    """Whether it waits for a supervisor's mode, and for no end of it."""
    party = session.parties.get(order.party)
    waits = order.name == Supervise.name and not (order.due_ms or order.is_queued or order.is_clearing)
    return waits and party is not None and party.takes_part


def supervisor_has_left(scratch: Scratch, _event: Event) -> bool:
    """Whether whoever supervised is gone, which is not noted yet. One whose call may still show up is waited for."""
    party = scratch.session.parties.get(SUPERVISOR)
    is_new = party is not None and party.is_gone and party.is_supervisor and party.left_reason != "unknown"
    return is_new and not any(order.party == SUPERVISOR for order in scratch.session.orders)


def verdict_on(scratch: Scratch, order: Order) -> Verdict | None:
    """What became of a command; None while that is open."""
    if order.is_queued or order.is_clearing:
        return None
    judge = _JUDGES.get(order.name)
    return judge(scratch, order) if judge is not None else None


def _party_of(scratch: Scratch, order: Order) -> Party | None:
    return scratch.session.parties.get(order.party)


def _left(party: Party | None) -> Verdict:
    word = told_reason(party.left_reason) if party is not None and party.left_reason else "left"
    return CommandStatus.FAILED, word


def _on_held(scratch: Scratch, order: Order) -> Verdict | None:
    party = _party_of(scratch, order)
    if party is None or party.is_gone:
        return _left(party)
    wanted = order.name == "hold"
    if party.hold_wanted != wanted:
        return CommandStatus.FAILED, "overtaken by another command"
    return (CommandStatus.DONE, "") if party.held == wanted and not party.asked else None


def _on_muted(scratch: Scratch, order: Order) -> Verdict | None:
    party = _party_of(scratch, order)
    if party is None or party.is_gone:
        return _left(party)
    wanted = order.name == "mute"
    if party.mute_wanted != wanted:
        return CommandStatus.FAILED, "overtaken by another command"
    return (CommandStatus.DONE, "") if party.muted == wanted and not party.asked else None


def _on_added(scratch: Scratch, order: Order) -> Verdict | None:
    party = _party_of(scratch, order)
    if party is None or party.is_gone:
        return _left(party)
    return (CommandStatus.DONE, "") if party.takes_part else None


def _on_removed(scratch: Scratch, order: Order) -> Verdict | None:
    party = _party_of(scratch, order)
    return (CommandStatus.DONE, "") if party is None or party.is_gone else None


def _on_supervised(scratch: Scratch, order: Order) -> Verdict | None:
    party = _party_of(scratch, order)
    if party is None or party.is_gone:
        return _left(party)
    if party.supervises != order.mode:
        event = scratch.event
        # The refusal after which he listens only is what has just been taken.
        if party.refused_updates >= REFUSED_MAX and isinstance(event, EffectFailed):
            return CommandStatus.FAILED, event.in_words
        return CommandStatus.FAILED, "overtaken by another command"
    is_so = party.takes_part and not party.asked and supervises_as(scratch.session, party) == order.mode
    return (CommandStatus.DONE, "") if is_so else None


def _on_announced(scratch: Scratch, order: Order) -> Verdict | None:
    if not order.playing_to:
        return None
    still = {party.call_sid for party in scratch.session.in_room if not party.is_gone}
    return None if still.intersection(order.playing_to) else (CommandStatus.DONE, "")


_JUDGES = {
    "hold": _on_held,
    "unhold": _on_held,
    "mute": _on_muted,
    "unmute": _on_muted,
    "add": _on_added,
    "remove": _on_removed,
    "supervise": _on_supervised,
    "announce": _on_announced,
}


# ---- about what came of it ---------------------------------------------------------------------------------------


def is_of_announcement(scratch: Scratch, event: AnnouncementEnded) -> bool:
    """Whether an announcement of ours is meant that is being played."""
    for order in scratch.session.orders:
        if order.name == Announce.name:
            # An earlier one, whose end comes after its time was up, tells nothing of this one.
            is_this = event.command == order.command_id if event.command else event.url in ("", order.url)
            return is_this and (event.call_sid in order.playing_to if order.playing_to else not event.call_sid)
    return False
