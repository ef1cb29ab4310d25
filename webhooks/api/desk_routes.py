"""Route table of the desk, whose requests need a desk token."""

from typing import Annotated

from aiohttp import hdrs
from pydantic import Field, TypeAdapter

from conferral.runtime.web.tokens import Permission
from conferral.statemachine import events
from conferral.webhooks.api import desk_models, models
from conferral.webhooks.api.parameters import WAIT, ErrorType, Parameter
from conferral.webhooks.api.routes import ResponseSpec, Route

DESK = Parameter(
    "desk",
    desk_models.DESK_ABOUT,
    f"must be {desk_models.DESK_ID_RULE}",
    TypeAdapter(Annotated[str, Field(pattern=f"^{desk_models.DESK_ID}$")]),
    desk_models.DESK_DEFAULT,
)
#: What a desk may send to its sessions.
DESK_COMMANDS = (
    events.Transfer, events.Complete, events.Cancel, events.Swap, events.Merge, events.Park, events.Hold, events.Unhold,
    events.Mute, events.Unmute, events.Record, events.Press, events.Add, events.Remove, events.End,
)  # fmt: skip
_SENT = (ErrorType.UNKNOWN, ErrorType.REJECTED, ErrorType.ID_CONFLICT, ErrorType.FULL)

#: With an API token.
PRESENCE_ROUTES = (
    Route(
        hdrs.METH_POST,
        "/desk/tokens",
        "make_desk_token",
        "Make an agent's desk token",
        "Your server requests it for an authenticated agent. It is valid for an hour, for this agent's own calls, and "
        "ends when the token that requested it is removed, changed, or may no longer make any.",
        {200: ResponseSpec(models.IssuedToken, "The token")},
        body=desk_models.DeskTokenRequest,
        permission=Permission.DESK,
    ),
    Route(
        hdrs.METH_GET,
        "/agents",
        "list_agents",
        "List the agents with a desk",
        "Presence: a desk renews it every 9 to 15 s. After 30 s of silence, it is gone if other desks renew theirs.",
        {200: ResponseSpec(desk_models.AgentList, "The agents")},
    ),
)
#: For the desk's own page, which has a cookie or is about to get one.
SESSION_ROUTES = (
    Route(
        hdrs.METH_POST,
        "/desk/session",
        "start_desk_session",
        "Sign an agent in at the desk",
        "With the identity and the code of a link of `conferral desk-link`, or without fields behind a sign-in proxy. "
        "The answer sets a cookie, which only `/desk/session` and `/desk/session/token` take. Only the page at "
        "`CONFERRAL_DESK_URL` may send it, with `Origin` and `X-Conferral: desk`.",
        {200: ResponseSpec(desk_models.DeskSession, "Who is signed in, and until when")},
        body=desk_models.SessionRequest,
        is_for_own_page=True,
    ),
    Route(
        hdrs.METH_DELETE,
        "/desk/session",
        "end_desk_session",
        "Sign an agent out",
        "Ends the sign-in of this browser, and within a second its desk tokens, streams, and presence.",
        {204: ResponseSpec(None, "The sign-in has ended", is_empty=True)},
        body=desk_models.OwnSessionRequest,
        is_for_own_page=True,
    ),
    Route(
        hdrs.METH_POST,
        "/desk/session/token",
        "make_own_desk_token",
        "Make a desk token for who is signed in",
        "As `POST /desk/tokens`, with the cookie. It ends with the sign-in.",
        {200: ResponseSpec(models.IssuedToken, "The token")},
        body=desk_models.OwnSessionRequest,
        is_for_own_page=True,
    ),
)
#: With a desk token.
DESK_ROUTES = (
    Route(
        hdrs.METH_POST,
        "/desk/access-token",
        "make_own_access_token",
        "Make this agent's access token",
        "For the `Device` of Twilio's Voice SDK, whose option is `edge`. The token takes calls of `client:IDENTITY`, "
        "and can place none.",
        {200: ResponseSpec(desk_models.OwnAccessToken, "The token")},
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_GET,
        "/desk/events",
        "follow_own_calls",
        "Follow this agent's calls",
        "An event stream alone; open it by `fetch`, which sends the token in a header. There are no event ids: a new "
        "connection starts over. An agent has three streams at most: a fourth ends the oldest that is not the "
        "registered desk's, with an event `replaced`, after which a page connects again only if the agent asks for it.",
        {200: ResponseSpec(None, "Only as an event stream")},
        query=(DESK,),
        events="Event `presence` (this agent's, as in `PUT /desk/presence`), the live sessions in which the agent "
        "takes part or is being rung (event `session`), the calls that its team has parked (event `parked`, each with "
        "`id`, and `session` as in `GET /desk/parked`, with `names`, and `parked_by`, an agent's address), the callers "
        "who wait in a queue for this agent (event `queued`, the same with `queued_since`), the "
        "directory (event `directory`, as in `GET /desk/directory`, with `is_all`), `ready`, then each change of "
        "these: of a call that waits no more, `session` is null, and if `is_all` is false, only these names have "
        "changed. Then also the commands that "
        "this agent's desks have sent (event `command`: `command`, `status`, `reason`, `code`, from `accepted` or "
        "`rejected` on). A session is as in `GET /sessions/ID`, with `refused`: why each command that it would refuse "
        "now can't be sent; `recording`: the status of its recording, or null; `names`: what the directory calls its "
        "agents, by address; `old_holds`: who is on hold since before an outage of Redis; and in this agent's own "
        "party `brief`, `params` (an object), `from_agent`, the address of the agent who hands over: null where "
        "there is none; and `is_lost`: whether it is rung again because it was lost. A "
        "session that the agent leaves is sent once more.",
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_POST,
        "/desk/sessions/{session}/commands",
        "command_own_call",
        "Send one of this agent's calls a command",
        "As `POST /sessions/ID/commands`, for sessions in which the agent takes part or is being rung. `destinations` "
        "of the token that requested the desk token apply; `by` is always `TOKEN/IDENTITY`.",
        {
            200: ResponseSpec(models.CommandOutcome, "The outcome: done or failed"),
            202: ResponseSpec(models.CommandAccepted, "Published; no outcome yet"),
        },
        query=(WAIT,),
        body=DESK_COMMANDS,
        body_without=("session",),
        more_error_types=_SENT,
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_POST,
        "/desk/sessions/{session}/take-over",
        "take_over_own_call",
        "Hang up this agent's own line, and be rung again",
        "For a browser that is gone, whose line Twilio keeps open for a while. No command: the line counts as lost. "
        "Have the new phone registered first. The desk that is named takes the call, whichever was registered.",
        {204: ResponseSpec(None, "The line is hung up", is_empty=True)},
        body=desk_models.TakeOverRequest,
        more_error_types=(ErrorType.UNKNOWN, ErrorType.REJECTED, ErrorType.TWILIO),
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_GET,
        "/desk/calls",
        "list_own_calls",
        "List this agent's calls",
        "Those of the last day, newest first, at most 200: each ring and each talk that is over.",
        {200: ResponseSpec(desk_models.OwnCalls, "The calls")},
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_GET,
        "/desk/commands/{command}",
        "show_own_command",
        "Show the status of one of this desk's commands",
        "As `GET /commands/ID`, for commands that this agent's desks have sent; any other is unknown.",
        {200: ResponseSpec(models.CommandOutcome, "The status")},
        more_error_types=(ErrorType.UNKNOWN,),
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_POST,
        "/desk/calls",
        "call_out",
        "Call someone",
        "The command `call` in mode `conference`, with this agent first. It answers once a worker has accepted or "
        "rejected the call, or after 2 s.",
        {202: ResponseSpec(models.SessionAccepted, "The session's id")},
        body=desk_models.DeskCallRequest,
        more_error_types=_SENT,
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_GET,
        "/desk/directory",
        "list_names",
        "List the names that calls may be transferred to",
        "Those of the directory, without this agent's own.",
        {200: ResponseSpec(desk_models.NameList, "The names")},
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_GET,
        "/desk/parked",
        "list_parked_calls",
        "List this team's parked calls",
        "Those that desks of the same issuing token have parked.",
        {200: ResponseSpec(desk_models.ParkedSessions, "The sessions")},
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_POST,
        "/desk/parked/{session}/retrieve",
        "retrieve_parked_call",
        "Take a parked call",
        "The command `retrieve`, to this agent. It answers once a worker has accepted or rejected it, or after 2 s.",
        {202: ResponseSpec(models.CommandAccepted, "The command's id")},
        body=desk_models.RetrieveRequest,
        more_error_types=_SENT,
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_POST,
        "/desk/rings/{call}",
        "note_busy_ring",
        "Say that this agent is busy",
        "Before a desk rejects a ring by itself because its agent has another call: the result is then `busy`, not "
        "`rejected`. Unknown unless this call rings this agent.",
        {204: ResponseSpec(None, "Noted", is_empty=True)},
        body=desk_models.RingRequest,
        more_error_types=(ErrorType.UNKNOWN,),
        is_for_desks=True,
    ),
    Route(
        hdrs.METH_PUT,
        "/desk/presence",
        "renew_presence",
        "Say that this agent is ready, or away",
        "To be renewed every 10 s. If several desks of an agent are ready, Twilio would ring all: only the one that "
        "the answer names as `registered`, the newest or, during a call, the one before it, may be registered there.",
        {200: ResponseSpec(desk_models.OwnPresence, "This agent's presence")},
        body=desk_models.PresenceRequest,
        is_for_desks=True,
    ),
)
