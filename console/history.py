"""The history of a session as a file: what `conferral replay` reads on any machine."""

from aiohttp import web

from conferral.console.doors import Door
from conferral.console.looker import is_session
from conferral.console.refusals import NOT_KEPT, Refused
from conferral.console.shown import shown
from conferral.console.store import Store
from conferral.operations import replaying
from conferral.operations.reader import LogEntry
from conferral.statemachine.ids import NAME_PATTERN


class History:
    """Answers requests for such files."""

    def __init__(self, store: Store, door: Door) -> None:
        """Binds Redis and the door.

        Args:
            store: Of Redis.
            door: Knows who may look.
        """
        self._store = store
        self._door = door

    async def handle(self, request: web.Request) -> web.Response:
        """The file of one session; with `full=true` its numbers are whole."""
        self._door.look_in(request)
        named, full = request.match_info["session"], request.query.get("full") == "true"
        found = await self._store.ask(lambda reader: reader.look_for(named)) if NAME_PATTERN.fullmatch(named) else ""
        fields = await self._store.ask(lambda reader: reader.session(found)) if found else {}
        if not is_session(fields):
            raise Refused("unknown", "no session and no call of this id is known")
        log = await self._store.ask(lambda reader: reader.log(found))
        entries = tuple(LogEntry(one.entry_id, shown(dict(one.fields), full=full)) for one in log)
        body = replaying.write(replaying.History(shown(fields, full=full), entries))
        headers = {**NOT_KEPT, "Content-Disposition": f'attachment; filename="{found}.json"'}
        return web.Response(body=body, content_type="application/json", headers=headers)
