"""Words of the command line for commands: examples, and what was done."""

from collections.abc import Mapping

from conferral.statemachine.events import (
    Add,
    Announce,
    Call,
    Cancel,
    Command,
    Complete,
    Convert,
    End,
    Hold,
    Merge,
    Mute,
    Park,
    PartyCommand,
    Record,
    Remove,
    Retrieve,
    Supervise,
    Swap,
    Transfer,
    Unhold,
    Unmute,
)

#: Options of examples, as typed after the command and the session; a command without any has its base class's.
_EXAMPLES: Mapping[type[Command], tuple[str, ...]] = {
    Command: ("", "--no-wait"),
    PartyCommand: ("--party customer", "--party customer --no-wait"),
    Call: (
        "--agent client:alice --customer +14155550123",
        "--agent client:alice --customer +14155550123 --mode conference",
        '--agent +14155550145 --customer +14155550123 --confirm --brief "A call to a customer"',
    ),
    Transfer: (
        "--to +14155550145 --mode warm",
        "--to client:bob,client:carol --mode consult",
        "--to +14155550145 --mode blind --confirm",
    ),
    Retrieve: ("--to client:bob", "--to +14155550145 --confirm"),
    Add: (
        "--to client:carol --party expert",
        "--to +14155550145 --party interpreter --confirm",
    ),
    Remove: ("--party expert", "--party supervisor --yes"),
    Mute: ("--party agent", "--party agent --no-wait"),
    Unmute: ("--party agent", "--party agent --no-wait"),
    Supervise: ("--to client:dave --mode monitor", "--to client:dave --mode whisper"),
    Announce: (
        '--say "This call is being recorded."',
        "--url https://media.example.com/closing.mp3",
    ),
    Record: ("--action start", "--action pause"),
    End: ("", "--yes"),
}
#: What has happened once it is done, in a word or two; for some commands by the value of `mode` or `action`.
_DONE: Mapping[type[Command], str | Mapping[str, str]] = {
    Call: "connected",
    Convert: "converted",
    Transfer: {"warm": "joined", "consult": "consulting", "blind": "transferred"},
    Complete: "completed",
    Cancel: "cancelled",
    Swap: "swapped",
    Merge: "merged",
    Park: "parked",
    Retrieve: "retrieved",
    Add: "added",
    Remove: "removed",
    Hold: "on hold",
    Unhold: "off hold",
    Mute: "muted",
    Unmute: "unmuted",
    Supervise: {
        "monitor": "listening",
        "whisper": "whispering",
        "barge": "heard by everyone",
    },
    Announce: "announced",
    Record: {
        "start": "recording",
        "pause": "recording paused",
        "resume": "recording resumed",
        "stop": "recording stopped",
    },
    End: "ended",
}


def done_word(command: type[Command], fields: Mapping[str, str]) -> str:
    """Return what has happened once a command with these fields is done."""
    done, variant = _DONE[command], fields.get("mode") or fields.get("action", "")
    return done if isinstance(done, str) else done.get(variant, "done")


def examples_of(command: type[Command]) -> tuple[str, ...]:
    """Return options of examples, as typed after the command and the session."""
    return next(_EXAMPLES[one] for one in command.__mro__ if one in _EXAMPLES)
