"""What people on the page have done: commands, and dead letters that are tried again or dropped."""

from collections.abc import Coroutine
from typing import Any

import structlog
from aiohttp import web

from conferral.console.doors import Door, json_object
from conferral.console.refusals import Refused, answer
from conferral.console.store import Store
from conferral.operations.dead_letters import CountChanged, DeadLetters, Done
from conferral.operations.errors import CommandsFull, IdTaken, SessionTaken, UnknownSession
from conferral.operations.giving import TOKEN_NAME, Giver
from conferral.operations.reader import Reader
from conferral.storage import command_models, commands
from conferral.storage.command_models import BadCommandError, CommandModel

log = structlog.get_logger()


class Orders:
    """Answers requests that change something. Each is let in by the door first."""

    def __init__(self, store: Store, door: Door) -> None:
        """Binds Redis and the door.

        Args:
            store: Of Redis.
            door: Knows who may act.
        """
        self._store = store
        self._door = door

    async def command(self, request: web.Request) -> web.Response:
        """Publishes a command; what becomes of it is told over the socket, as Redis says it."""
        self._door.act(request)
        model = _model(await json_object(request))
        reader = await self._store.ask(_itself)
        try:
            given = await Giver(reader, self._store.turns).give(
                model.entry() | {"by": TOKEN_NAME}, model.id, looks_up=True
            )
        except (IdTaken, SessionTaken) as error:
            raise Refused("taken", error.reason) from None
        except CommandsFull as error:
            raise Refused("full", error.reason) from None
        except UnknownSession as error:
            raise Refused("unknown", str(error)) from None
        log.info(
            "command_published",
            command=given.kind,
            command_id=commands.shown_id(given.command_id),
            session_id=commands.shown_id(given.session),
        )
        return answer({"command": given.command_id}, 202)

    async def dead(self, request: web.Request) -> web.Response:
        """Puts dead letters back or drops them: those that are named, or all of a reason."""
        self._door.act(request)
        asked = await json_object(request)
        act = asked.get("act")
        if act not in ("retry", "drop"):
            raise Refused("invalid", "act must be retry or drop")
        reader = await self._store.ask(_itself)
        letters = DeadLetters(reader.client, reader.keys)
        if "ids" in asked:
            done = await self._store.turns(_some(letters, act, asked["ids"]))
        else:
            done = await self._store.turns(_all(letters, act, asked))
        log.info("dead_letters_handled", outcome=act, count=done.done)
        return answer({"done": done.done, "left": done.left, "refused": done.refused})


def _some(letters: DeadLetters, act: str, ids: object) -> Coroutine[Any, Any, Done]:
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise Refused("invalid", "ids must be a list of letters' ids")
    return letters.retry(ids) if act == "retry" else letters.drop(ids)


async def _all(letters: DeadLetters, act: str, asked: dict[str, Any]) -> Done:
    reason, count = asked.get("reason", ""), asked.get("count")
    if not isinstance(reason, str) or not isinstance(count, int) or isinstance(count, bool):
        raise Refused("invalid", "needs ids, or reason and count: how many there are by what the page shows")
    try:
        return await (letters.retry_all(reason, count) if act == "retry" else letters.drop_all(reason, count))
    except CountChanged as error:
        raise Refused("changed", str(error), count=error.count) from None


async def _itself(reader: Reader) -> Reader:
    return reader


def _model(fields: dict[str, Any]) -> CommandModel:
    try:
        return command_models.validate(fields)
    except BadCommandError as error:
        raise Refused("invalid", str(error)) from None
