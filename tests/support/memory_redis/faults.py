"""What can go wrong between a client and a Redis in memory."""

from enum import Enum


class Fault(Enum):
    """What becomes of one command."""

    #: The connection breaks before the command arrives.
    UNREACHABLE = "unreachable"
    #: It is done, and the connection breaks before the answer arrives.
    REPLY_LOST = "reply-lost"
    #: Nothing is done and nothing is said, until the client gives up.
    SILENT = "silent"
    #: It is done, and nothing is said.
    SILENT_AFTER = "silent-after"
    #: Redis is full.
    FULL = "full"
    #: It was a primary until just now.
    READ_ONLY = "read-only"
    #: Someone edits the rules of our user, which may do nothing meanwhile.
    FORBIDDEN = "forbidden"
    #: It has just started and still reads its file.
    LOADING = "loading"
