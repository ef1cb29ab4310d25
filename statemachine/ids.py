"""Format of ids of sessions and commands, and of labels, in keys and URLs.

A caller may come back to a voice URL during the same call: each visit is a session.
"""

import re

#: Ids that refer to an existing session or command.
REFERENCE_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: New ids: not 7 to 15 digits alone, which could be a phone number in keys, logs, and conference names. On a command
#: line, a text that begins with `-` is an option.
ID_PATTERN = re.compile(r"(?![0-9]{7,15}(?![A-Za-z0-9_-]))[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
#: Sessions that one call may open, count: it may come back to a voice URL again and again.
VISITS_MAX = 20
#: A session's id that is made from its caller's call SID: the SID, with `-2`, `-3`... on further visits.
_VISIT = re.compile(r"(CA[0-9a-fA-F]{32})(?:-([0-9]{1,2}))?")
_PHONE_NUMBER = re.compile(r"[0-9]{7,15}")
#: No one may choose the SID of a resource (Twilio docs, "What is a String Identifier (SID)?") or a visit's id.
RESERVED_PATTERN = re.compile(r"[A-Z]{2}[0-9A-Fa-f]{32}(?:-[0-9]{1,2})?")
#: A participant label of Conferral's: the party's name, and a number that no other leg has had.
LABEL = re.compile(r"([a-z][A-Za-z0-9_-]{0,50})-([1-9][0-9]{0,5})", re.ASCII)
ID_RULE = "must be 1 to 64 letters, digits, _, or -"
NO_PHONE_NUMBER_RULE = "must not be 7 to 15 digits alone, which could be a phone number"
NO_DASH_RULE = "must not begin with -"
NO_SID_RULE = "must not have the form of a SID (two capitals and 32 hex digits), or of one with a visit's number"


def id_error(text: str) -> str:
    """Return why a text is no valid id, to follow the field's name; or empty.

    >>> id_error("order-7"), id_error("14155550123")
    ('', 'must not be 7 to 15 digits alone, which could be a phone number')
    """
    if ID_PATTERN.fullmatch(text):
        return ""
    if _PHONE_NUMBER.fullmatch(text):
        return NO_PHONE_NUMBER_RULE
    return NO_DASH_RULE if REFERENCE_PATTERN.fullmatch(text) else ID_RULE


def safe_id(text: str) -> str:
    """Return an id for a reason; digits alone may be a phone number."""
    return "(digits alone)" if text.isdigit() else text


def no_call_found(named: str) -> str:
    """Return the reason for rejecting a command whose session is unknown."""
    return f"no call {safe_id(named) if REFERENCE_PATTERN.fullmatch(named) else 'with this id'} found"


def call_of_visit(session_id: str) -> str:
    """Return the call SID that a session's id is made from; empty for others.

    >>> call_of_visit(f"CA{'1' * 32}-2") == f"CA{'1' * 32}", call_of_visit("order-7")
    (True, '')
    """
    match = _VISIT.fullmatch(session_id)
    return match[1] if match else ""


def visit_number(session_id: str) -> int:
    """Return which visit of its call a session is, from 1; 1 for other ids."""
    match = _VISIT.fullmatch(session_id)
    return int(match[2]) if match and match[2] else 1


def next_visit_id(call_sid: str, newest_id: str) -> str:
    """Return the id of a call's visit after its newest session.

    >>> next_visit_id(f"CA{'1' * 32}", "order-7") == f"CA{'1' * 32}-2"
    True
    """
    number = visit_number(newest_id) if call_of_visit(newest_id) == call_sid else 1
    return visit_id(call_sid, number + 1)


def visit_id(call_sid: str, number: int) -> str:
    """Return the id of a call's visit, from 1."""
    return call_sid if number == 1 else f"{call_sid}-{number}"


def split_label(label: str) -> tuple[str, int]:
    """Return a label's name and number; "" and 0 if not Conferral's."""
    found = LABEL.fullmatch(label)
    return (found[1], int(found[2])) if found else ("", 0)
