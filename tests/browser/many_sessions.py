"""Many sessions at once, and some with hostile names: put into Redis by the codecs that the worker uses."""

from dataclasses import replace

from redis import Redis

from conferral.statemachine.parts import TransferState
from conferral.statemachine.session import Session
from conferral.statemachine.states import PartyStatus, Phase, State, TransferMode, TransferStage, TransferStatus
from conferral.storage.codecs import session_codec
from conferral.storage.keys import Keys
from tests.conferral.cli_helpers import KEYS, conferenced, make_session

#: What a name may hold that is no name: markup, an escape sequence, text that runs backwards, far too much of it.
HOSTILE = (
    "<img src=x onerror=\"document.title='taken over'\">",
    "\x1b[2J\x1b]0;taken over\x07alice",
    "alice\u202egnp.exe\u2066\u2069",
    "</script><script>document.title='taken over'</script>",
    "javascript:document.title='taken over'//",
    "{{7*7}}${7*7}`",
    "\u200b\ufeff\u0000\u0085",
    "a" * 10_000,
)


def put_all(redis: Redis, sessions: list[Session], keys: Keys = KEYS) -> None:
    """Sessions as a worker leaves them, and a commit in each partition, which a console polls for.

    Args:
        redis: Where to, set up for these keys.
        sessions: Live or ended.
        keys: The console's Redis keys.
    """
    with redis.pipeline(transaction=False) as pipeline:
        for session in sessions:
            partition = keys.partition_of(session.id)
            pipeline.hset(keys.session(session.id), mapping=session_codec.encode(session))
            if session.state is State.ENDED:
                pipeline.srem(keys.live(partition), session.id)
                pipeline.zadd(keys.ended(partition), {session.id: session.ended_at_ms})
            else:
                pipeline.sadd(keys.live(partition), session.id)
        for partition in {keys.partition_of(session.id) for session in sessions}:
            pipeline.hincrby(keys.lease(partition), "commit", 1)
        pipeline.execute()


def session_id(number: int) -> str:
    return f"CA{number:032x}"


def crowd(count: int, now_ms: int) -> list[Session]:
    """Live sessions of every kind, the newest first.

    Args:
        count: How many.
        now_ms: When the newest has changed, Unix milliseconds.
    """
    sessions = []
    for number in range(count):
        made = conferenced(session_id(number)) if number % 3 else make_session(session_id(number))
        at_ms = now_ms - number * 1_000
        customer = replace(made.parties["customer"], address=f"+1415555{number % 10_000:04d}")
        parties = {**made.parties, "customer": customer}
        sessions.append(replace(made, parties=parties, created_at_ms=at_ms - 30_000, updated_at_ms=at_ms))
    return sessions


def changed(session: Session, now_ms: int) -> Session:
    """A session one version later."""
    parties = {name: replace(party, muted=not party.muted) for name, party in session.parties.items()}
    return replace(session, version=session.version + 1, updated_at_ms=now_ms, parties=parties)


def hostile(number: int, name: str, now_ms: int) -> Session:
    """A session with a failed transfer, in which everything that comes from outside is one text."""
    made = conferenced(session_id(1_000_000 + number))
    parties = {
        who: replace(party, address=name, call_sid="" if who == "agent" else party.call_sid, left_reason=name)
        for who, party in made.parties.items()
    }
    parties["target"] = replace(
        parties["agent"], name="target", label=f"target-{number}", status=PartyStatus.LEFT, in_conference=False
    )
    transfer = TransferState(
        1,
        TransferMode.CONSULT,
        (name,),
        TransferStatus.FAILED,
        reason=name,
        stage=TransferStage.OVER,
        started_at_ms=now_ms - 20_000,
    )
    return replace(
        made,
        phase=Phase.CONNECTED,
        parties=parties,
        transfer=transfer,
        conference_sid=name,
        created_at_ms=now_ms - 30_000,
        updated_at_ms=now_ms - 1_000,
    )
