"""Commands under way that are no transfers: taken, begun when both are in the conference, and told their outcome."""

from typing import Any

from conferral.statemachine.actions.asking import want_ends, want_everybody_unheld, want_nobody_ends
from conferral.statemachine.actions.commands import LAST_UNHELD
from conferral.statemachine.actions.converting import begin_converting
from conferral.statemachine.actions.dialling import dial, let_party_go, must_confirm, options_of
from conferral.statemachine.actions.looking import look_at_calls
from conferral.statemachine.actions.order_book import change_order, end_order, take, watch_orders
from conferral.statemachine.effects import PlayAnnouncement
from conferral.statemachine.events import (
    Add,
    Announce,
    AnnouncementEnded,
    Command,
    EffectFailed,
    EffectOutcome,
    EffectUnknown,
    Event,
    Hold,
    Mute,
    OrderOverdue,
    PartyCommand,
    Remove,
    Supervise,
    Unhold,
    Unmute,
)
from conferral.statemachine.guards.company import company
from conferral.statemachine.guards.orders import (
    REFUSED_MAX,
    audience,
    is_last_to_hear,
    is_unlimited,
    party_meant,
    supervisor,
    verdict_on,
)
from conferral.statemachine.order import Order
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, SUPERVISOR
from conferral.statemachine.states import Phase, State, SuperviseMode, Tune
from conferral.statemachine.step import CommandStatus

# ---- taken -------------------------------------------------------------------------------------------------------


def convert_for_order(scratch: Scratch, event: Command) -> None:
    """The two are brought into a conference first."""
    queue_order(scratch, event)
    begin_converting(scratch)


def queue_order(scratch: Scratch, event: Command) -> None:
    """The two are on their way into the conference already: it begins when both are in."""
    take(scratch, event, is_queued=True, **_fields_of(scratch, event))


def begin_order(scratch: Scratch, event: Command) -> None:
    """Both are in the conference."""
    _begin(scratch, take(scratch, event, **_fields_of(scratch, event)))


def begin_queued(scratch: Scratch, _event: Event) -> None:
    """Both are in the conference now: what was asked for meanwhile begins, in its order."""
    for order in scratch.session.orders:
        if order.is_queued:
            _begin(scratch, change_order(scratch, order, is_queued=False))


def _fields_of(scratch: Scratch, event: Command) -> dict[str, Any]:
    if isinstance(event, PartyCommand):
        party = party_meant(scratch, event)
        assert party is not None  # the guard has found it
        return {"party": party.name}
    if isinstance(event, Add):
        return {"party": event.party, "to": event.to, "options": options_of(event)}
    if isinstance(event, Supervise):
        return {"party": SUPERVISOR, "to": event.to, "mode": event.mode, "options": options_of(event)}
    assert isinstance(event, Announce)
    return {"url": event.url, "say": event.say}


def _begin(scratch: Scratch, order: Order) -> None:
    if order.name == Announce.name:
        _play(scratch, order)
    elif order.name in (Add.name, Supervise.name):
        _clear(scratch, order)
    else:
        _want(scratch, order)
    watch_orders(scratch)


# ---- hold, mute, and the like ------------------------------------------------------------------------------------


def _want(scratch: Scratch, order: Order) -> None:
    party = scratch.session.parties.get(order.party)
    if party is None or party.is_gone:
        return  # has left while both were brought into the conference; it is told so
    if order.name == Hold.name and is_last_to_hear(scratch.session, party):
        end_order(scratch, order, CommandStatus.FAILED, LAST_UNHELD)  # what was asked for before it leaves nobody else
        return
    if order.name == Hold.name:
        scratch.change_party(party, hold_wanted=True, tune=Tune.MUSIC)
    elif order.name == Unhold.name:
        scratch.change_party(party, hold_wanted=False, tune=Tune.NONE)
    elif order.name in (Mute.name, Unmute.name):
        scratch.change_party(party, mute_wanted=order.name == Mute.name)
    change_order(scratch, order, due_ms=scratch.now_ms + scratch.policy.order_timeout_ms)


def let_all_back(scratch: Scratch, _event: Event) -> None:
    """The last one who was not on hold has left: those who are left hear each other."""
    want_everybody_unheld(scratch)


# ---- somebody else comes in --------------------------------------------------------------------------------------


def _clear(scratch: Scratch, order: Order) -> None:
    """Nobody's leaving may end the conference, before anybody is dialled."""
    if order.name == Add.name:
        scratch.change(is_group=True)
    want_nobody_ends(scratch)
    change_order(scratch, order, is_clearing=True, due_ms=scratch.now_ms + scratch.policy.hold_timeout_ms)


def dial_cleared(scratch: Scratch, _event: Event) -> None:
    """Twilio has confirmed it: whoever is to come in is dialled."""
    for order in scratch.session.orders:
        if order.is_clearing:
            change_order(scratch, order, is_clearing=False, due_ms=0)
            _forget(scratch, order.party)
            options = order.options
            dial(
                scratch,
                order.party,
                order.to,
                label=f"{order.party}-{scratch.session.dials + 1}",
                options=options,
                gated=bool(options.brief or options.confirm or options.digits) or must_confirm(scratch, order.to),
                supervises=order.mode,
                is_attempt=False,
            )
    watch_orders(scratch)


def _forget(scratch: Scratch, name: str) -> None:
    """Somebody who had that name before and has left makes room."""
    party = scratch.session.parties.get(name)
    if party is None:
        return
    rest = {one.name: one for one in scratch.session.parties.values() if one.name != name}
    former = scratch.session.former_calls
    scratch.change(parties=rest, former_calls=(*former, party.call_sid) if party.call_sid else former)


def switch_mode(scratch: Scratch, event: Supervise) -> None:
    """Whoever supervises does so in another way."""
    there = supervisor(scratch.session)
    assert there is not None  # the guard has found it
    due_ms = scratch.now_ms + scratch.policy.order_timeout_ms if there.takes_part else 0
    take(scratch, event, party=there.name, to=event.to, mode=event.mode, due_ms=due_ms)
    scratch.change_party(there, supervises=event.mode, refused_updates=0)
    watch_orders(scratch)


def await_supervisor(scratch: Scratch, _event: Event) -> None:
    """A supervisor takes part: what was asked for about the mode is waited for, but not for ever."""
    for order in scratch.session.orders:
        if is_unlimited(scratch.session, order):
            change_order(scratch, order, due_ms=scratch.now_ms + scratch.policy.order_timeout_ms)
    watch_orders(scratch)


def note_supervisor_left(scratch: Scratch, _event: Event) -> None:
    """Whoever supervised has left, and stays readable: where two are left, the leaving of each ends it again."""
    scratch.change_party(scratch.session.parties[SUPERVISOR], supervises="")
    if scratch.state is State.CONFERENCED and scratch.session.phase is Phase.NONE and len(company(scratch.session)) > 1:
        want_ends(scratch)


def note_supervisor_refused(scratch: Scratch, event: EffectFailed) -> None:
    """Twilio did not take what was asked for about a supervisor, for instance because nobody is there to be coached."""
    party = next(one for one in scratch.session.parties.values() if one.updating == event.effect_id)
    refused = party.refused_updates + 1
    mode = SuperviseMode.MONITOR.value if refused >= REFUSED_MAX else party.supervises
    scratch.change_party(party, asked="", updating="", refused_updates=refused, supervises=mode)


# ---- removing ----------------------------------------------------------------------------------------------------


def remove_party(scratch: Scratch, event: Remove) -> None:
    """One is hung up; the others go on."""
    party = party_meant(scratch, event)
    assert party is not None  # the guard has found it
    due_ms = scratch.now_ms + scratch.policy.part_timeout_ms
    take(scratch, event, party=party.name, due_ms=due_ms)
    if party.name == AGENT and not scratch.session.first_left:
        scratch.change(first_left=AGENT)
    let_party_go(scratch, party)
    watch_orders(scratch)


# ---- announcements -----------------------------------------------------------------------------------------------


def _play(scratch: Scratch, order: Order) -> None:
    """Everybody who is not on hold hears it: by the conference's own announcement where nobody is."""
    hear = audience(scratch.session)
    inside = [party for party in scratch.session.in_room if not party.is_gone]
    if not hear:
        end_order(scratch, order, CommandStatus.FAILED, "nobody is there to hear it")
        return
    to_each = len(hear) < len(inside)
    effects = tuple(
        scratch.order(
            PlayAnnouncement,
            party=name,
            conference_sid=scratch.session.conference_sid,
            call_sid=call_sid,
            url=order.url,
            command_id=order.command_id,
        )
        for name, call_sid in ([(party.name, party.call_sid) for party in hear] if to_each else [("", "")])
    )
    change_order(
        scratch,
        order,
        effects=effects,
        playing_to=tuple(party.call_sid for party in hear) if to_each else (),
        due_ms=scratch.now_ms + scratch.policy.announce_timeout_ms,
    )


def note_announced(scratch: Scratch, event: AnnouncementEnded) -> None:
    """An announcement was played to its end, or could not be."""
    order = next(one for one in scratch.session.orders if one.name == Announce.name)
    rest = tuple(call for call in order.playing_to if call != event.call_sid)
    if event.failed:
        reason = f"the announcement could not be played ({event.reason})" if event.reason else "failed"
        end_order(scratch, order, CommandStatus.FAILED, reason)
    elif rest:
        change_order(scratch, order, playing_to=rest)
    else:
        end_order(scratch, order, CommandStatus.DONE)
    watch_orders(scratch)


def note_not_announced(scratch: Scratch, event: EffectOutcome) -> None:
    """Twilio did not take an announcement; one of unknown outcome may still tell of its end."""
    order = _order_of(scratch, event)
    if order is None or isinstance(event, EffectUnknown):
        return
    assert isinstance(event, EffectFailed)
    there = scratch.session.parties.get(event.party)
    rest = tuple(call for call in order.playing_to if there is not None and call != there.call_sid)
    if event.gone and rest:
        change_order(scratch, order, playing_to=rest)  # who has left needs not hear it
    else:
        reason = "nobody is there to hear it" if event.gone else event.in_words
        end_order(scratch, order, CommandStatus.FAILED, reason)
    watch_orders(scratch)


def _order_of(scratch: Scratch, event: EffectOutcome) -> Order | None:
    return next((order for order in scratch.session.orders if event.effect_id in order.effects), None)


# ---- told --------------------------------------------------------------------------------------------------------


def close_orders(scratch: Scratch, _event: Event) -> None:
    """What was asked for has happened, or can't any more."""
    for order in scratch.session.orders:
        verdict = verdict_on(scratch, order)
        if verdict is not None:
            end_order(scratch, order, *verdict)
    watch_orders(scratch)


def give_up_orders(scratch: Scratch, event: OrderOverdue) -> None:
    """Twilio has not confirmed what was asked for."""
    for order in scratch.session.orders:
        if not 0 < order.due_ms <= scratch.now_ms:
            continue
        if order.name == Remove.name and not order.is_looked_after:
            due_ms = scratch.now_ms + scratch.policy.order_timeout_ms
            change_order(scratch, order, is_looked_after=True, due_ms=due_ms)
        else:
            end_order(scratch, order, CommandStatus.FAILED, _overdue(scratch, order))
    watch_orders(scratch)
    # A callback may be lost that tells of somebody who has left: nobody is to be alone for that.
    look_at_calls(scratch, event)


def _overdue(scratch: Scratch, order: Order) -> str:
    if order.is_clearing:
        return "flag"
    party = scratch.session.parties.get(order.party)
    if order.name == Hold.name and party is not None and not party.held:
        scratch.change_party(party, hold_wanted=False, tune=Tune.NONE)
        return "hold-failed"
    if order.name == Supervise.name and party is not None and party.supervises == order.mode:
        scratch.change_party(party, supervises=SuperviseMode.MONITOR.value, refused_updates=0)
    return "unknown: Twilio has not confirmed it"
