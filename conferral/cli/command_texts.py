"""What the command line says of each command."""

from collections.abc import Mapping

#: Options of a command's examples, as typed after the command and the session.
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "call": (
        "--agent client:alice --customer +14155550123",
        "--agent client:alice --customer +14155550123 --mode conference",
        '--agent +14155550145 --customer +14155550123 --confirm --brief "A call to a customer"',
    ),
    "transfer": (
        "--to +14155550145 --mode warm",
        "--to client:bob,client:carol --mode consult",
        "--to +14155550145 --mode blind --confirm",
    ),
    "retrieve": ("--to client:bob", "--to +14155550145 --confirm"),
    "add": ("--to client:carol --party expert", "--to +14155550145 --party listener --muted"),
    "remove": ("--party expert", "--party supervisor --yes"),
    "mute": ("--party agent", "--party agent --no-wait"),
    "unmute": ("--party agent", "--party agent --no-wait"),
    "supervise": ("--to client:dave --mode monitor", "--to client:dave --mode whisper"),
    "announce": ('--say "This call is being recorded."', "--url https://media.example.com/closing.mp3"),
    "press": ("--party target --digits 2", "--party bank --digits 1ww4711#"),
    "record": ("--action start", "--action pause"),
    "end": ("", "--yes"),
}
#: The same for commands without any.
OTHER_EXAMPLES, PARTY_EXAMPLES = ("", "--no-wait"), ("--party customer", "--party customer --no-wait")
#: What has happened once it is done, in a word or two; for some commands by the value of `mode` or `action`.
_DONE: Mapping[str, str | Mapping[str, str]] = {
    "call": "connected",
    "convert": "converted",
    "transfer": {"warm": "joined", "consult": "consulting", "blind": "transferred"},
    "complete": "completed",
    "cancel": "cancelled",
    "swap": "swapped",
    "merge": "merged",
    "park": "parked",
    "retrieve": "retrieved",
    "add": "added",
    "remove": "removed",
    "hold": "on hold",
    "unhold": "off hold",
    "mute": "muted",
    "unmute": "unmuted",
    "supervise": {"monitor": "listening", "whisper": "whispering", "barge": "heard by everyone"},
    "announce": "announced",
    "press": "pressed",
    "record": {
        "start": "recording",
        "pause": "recording paused",
        "resume": "recording resumed",
        "stop": "recording stopped",
    },
    "end": "ended",
}
#: What a command asks before it is sent.
QUESTIONS = {"end": "{whom} will be disconnected. End the call?", "remove": "{whom} will be disconnected. Continue?"}


def done_word(fields: Mapping[str, str]) -> str:
    """Return what has happened once a command with these fields is done."""
    done, variant = _DONE[fields["type"]], fields.get("mode") or fields.get("action", "")
    return done if isinstance(done, str) else done.get(variant, "done")
