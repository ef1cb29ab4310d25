"""Answers of Twilio's that no one has seen yet: odd bodies, headers and dates. What was asked for has happened."""

from random import Random

import msgspec

from conferral.telephony.http_client import HttpResponse

#: Bodies instead of a JSON object.
BODIES = (
    b"", b"null", b"[]", b"5", b'"text"', b"{", b"<html>Bad gateway</html>", b"\xff\xfe", b"{}", b'{"calls": "none"}',
    b'{"calls": [5]}', b'{"participants": {}}', b'{"sid": 5, "status": []}', b'{"code": "x"}',
)  # fmt: skip
#: What a Retry-After may say, besides seconds.
RETRIES = (
    "Wed, 21 Oct 99999999999 07:28:00 GMT", "Mon, 1 Jan 2027 00:00:00 -99999999999999", "soon", "-1", "9" * 400, "1e9",
)  # fmt: skip
#: What a date may be.
DATES = ("Fri, 18 Feb 99999999999 21:07:19 +0000", "Fri, 99 Feb 2011 21:07:19 +0000", "yesterday", 5, None, [])
#: None that says that it has not happened.
STATUSES = (200, 201, 206, 299, 408, 500, 503, 504, 599)


class UnknownResponses:
    """Changes some answers on their way."""

    def __init__(self, rate: float, chance: Random) -> None:
        self._rate = rate
        self._chance = chance

    def change(self, answer: HttpResponse) -> HttpResponse:
        """The answer, or an odd one instead."""
        chance = self._chance
        if not self._rate or chance.random() >= self._rate:
            return answer
        match chance.choice(("body", "header", "date", "status")):
            case "body":
                return HttpResponse(answer.status, answer.headers, chance.choice(BODIES))
            case "header":
                status = answer.status if answer.status >= 400 else 503
                return HttpResponse(status, {"Retry-After": chance.choice(RETRIES)}, answer.body)
            case "date":
                return HttpResponse(answer.status, answer.headers, _with_odd_dates(answer.body, chance.choice(DATES)))
        return HttpResponse(chance.choice(STATUSES), answer.headers, answer.body)


def _with_odd_dates(body: bytes, date: object) -> bytes:
    """The same answer, all of whose dates are odd, also those of the records of a list."""
    content = msgspec.json.decode(body or b"{}")
    records = [content, *(one for part in content.values() if isinstance(part, list) for one in part)]
    for record in records:
        if isinstance(record, dict):
            record |= {name: date for name in record if name.startswith("date_")}
    return msgspec.json.encode(content)
