"""Places of a fallback that are URLs of your app: a caller goes on there."""

import re
from urllib.parse import unquote_plus, urlencode

from conferral.statemachine.reasons import EndReason, Reason


def is_url(place: str) -> bool:
    """Whether a place of a fallback is a URL."""
    return place.lower().startswith(("http://", "https://"))


#: What a URL says of our word: a caller may have talked a bot into writing it. Servers differ in how they read names.
_OUR_NAMES = re.compile(r"\s*(session|reason|ref)\s*([\[\0].*)?", re.IGNORECASE | re.DOTALL)


def return_url(url: str, session_id: str, why: Reason | EndReason, ref: str) -> str:
    """Return the URL at which a customer continues: its query says why."""
    query = {"session": session_id, "reason": str(why if why.words.is_in_urls else Reason.FAILED)}
    if ref:
        query["ref"] = ref
    page, _, given = url.partition("?")
    # Some servers also take a semicolon for a separator.
    kept = (";".join(one for one in part.split(";") if not _is_ours(one)) for part in given.split("&"))
    return f"{page}?{'&'.join([*filter(None, kept), urlencode(query)])}"


def _is_ours(parameter: str) -> bool:
    return _OUR_NAMES.fullmatch(unquote_plus(parameter.partition("=")[0])) is not None
