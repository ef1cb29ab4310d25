"""The commands under way that are no transfers: kept, changed, and told their outcome."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from conferral.statemachine.events import Command, OrderOverdue, Remove
from conferral.statemachine.order import Order
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.step import CommandStatus


def take(scratch: Scratch, event: Command, **fields: Any) -> Order:
    """The command is accepted, and kept until it has an outcome."""
    order = Order(event.command_id, event.name, **fields)
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    scratch.change(orders=(*scratch.session.orders, order))
    return order


def change_order(scratch: Scratch, order: Order, **changes: Any) -> Order:
    """Changes what is known of a command."""
    after = replace(order, **changes)
    scratch.change(orders=tuple(after if one is order else one for one in scratch.session.orders))
    return after


def end_order(scratch: Scratch, order: Order, status: CommandStatus, reason: str = "") -> None:
    """Whoever gave the command is told what came of it."""
    scratch.report(order.command_id, status, reason)
    scratch.change(orders=tuple(one for one in scratch.session.orders if one.command_id != order.command_id))


def fail_orders(scratch: Scratch, reason: str, *, only: Iterable[Order] | None = None) -> None:
    """What was asked for can't happen any more."""
    for order in tuple(scratch.session.orders) if only is None else tuple(only):
        done = order.name == Remove.name
        end_order(scratch, order, CommandStatus.DONE if done else CommandStatus.FAILED, "" if done else reason)
    watch_orders(scratch)


def fail_queued(scratch: Scratch, reason: str) -> None:
    """The conference does not come about."""
    fail_orders(scratch, reason, only=[order for order in scratch.session.orders if order.is_queued])


def watch_orders(scratch: Scratch) -> None:
    """Sets the timer to the first command whose time is up."""
    due = [order.due_ms for order in scratch.session.orders if order.due_ms]
    if not due:
        scratch.cancel_timer(OrderOverdue.timer)
    elif scratch.session.timers.get(OrderOverdue.timer) != min(due):
        scratch.set_timer(OrderOverdue.timer, max(0, min(due) - scratch.now_ms))
