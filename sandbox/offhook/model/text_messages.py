"""Text messages, their status callbacks, and documents that answer.

No carrier takes part: each is sent, and delivered. Source: Twilio docs: Message resource; Outbound Message Status in
Status Callbacks; Twilio's request to your incoming message Webhook URL; TwiML <Message>; TwiML <Sms>.
"""

from xml.etree.ElementTree import Element

from offhook.model import callback_parameters, calls, twiml_parser
from offhook.model.formats import is_number, is_url, resolve, with_query
from offhook.model.messages import NOT_MODELED, FetchRequest, Params, TwimlFetched
from offhook.model.numbers import Number, Subscription
from offhook.model.remarks import Remark, not_modeled
from offhook.model.state import Call, Fetch, TextMessage
from offhook.model.transaction import Transaction
from offhook.model.twiml_grammar import SCHEMA_WARNING
from offhook.model.twiml_parser import TwimlError, Verb

STATUSES_AFTER_S = {"sent": 1.0, "delivered": 2.0}  #: From the creation; Twilio's depend on carriers.
EVENTS = (*STATUSES_AFTER_S, "failed", "undelivered")


def send(transaction: Transaction, message: TextMessage) -> TextMessage:
    """Store a new message; one to a number of the account arrives there."""
    transaction.state.messages[message.sid] = message
    for status, after_s in STATUSES_AFTER_S.items():
        transaction.set_timer(message.sid, status, after_s)
    return message


def set_status(transaction: Transaction, sid: str, status: str) -> None:
    """Report the next status, unless the message was deleted."""
    message = transaction.state.messages.get(sid)
    if message is None:
        return
    message.status, message.updated_at_s = status, transaction.now_s
    if status == "sent":
        message.sent_at_s = transaction.now_s
    if message.subscription is not None:
        form = (
            *_addresses(transaction, message),
            ("MessageStatus", status),
            ("SmsStatus", status),
        )
        calls.emit_callback(transaction, message.subscription, "message", status, form)
    if status == "delivered" and transaction.state.is_own_number(message.to):
        receive(transaction, message.from_, message.to, message.body, message.media_urls)


def receive(transaction: Transaction, from_: str, to: str, body: str, media_urls: tuple[str, ...] = ()) -> TextMessage:
    """Store a message to a number of the account, and ask its application."""
    state, now_s = transaction.state, transaction.now_s
    sid = transaction.new_sid("MM" if media_urls else "SM")
    message = TextMessage(sid, from_, to, body, "inbound", "received", now_s, now_s, now_s, media_urls)
    state.messages[sid] = message
    number = state.numbers[to]
    if number.sms_url:
        _fetch(transaction, message, number.sms_url, number.sms_method)
    return message


def _fetch(
    transaction: Transaction,
    message: TextMessage,
    url: str,
    method: str,
    extra: Params = (),
    *,
    is_fallback: bool = False,
) -> None:
    if not is_url(url):
        transaction.add_debugger_entry(11100, "Invalid URL format", url=url)
        return
    state = transaction.state
    state.fetch_count += 1
    state.fetches[state.fetch_count] = Fetch(state.fetch_count, message.sid, "message", 0, url, is_fallback=is_fallback)
    places = callback_parameters.places(("From",), message.from_) | callback_parameters.places(("To",), message.to)
    form = (
        *_addresses(transaction, message),
        ("SmsMessageSid", message.sid),
        ("SmsStatus", "received"),
        ("Body", message.body),
        ("NumMedia", str(len(message.media_urls))),
        *((f"MediaUrl{number}", it) for number, it in enumerate(message.media_urls)),
        ("NumSegments", str(message.segment_count)),
        *places.items(),
        *extra,
    )
    is_get = method == "GET"
    given = () if is_get else form
    address = with_query(url, form) if is_get else url
    transaction.outputs.append(FetchRequest(state.fetch_count, "", address, method, given, "message"))


def _addresses(transaction: Transaction, message: TextMessage) -> Params:
    return (
        ("MessageSid", message.sid),
        ("SmsSid", message.sid),
        ("AccountSid", transaction.state.account_sid),
        ("ApiVersion", callback_parameters.API_VERSION),
        ("From", message.from_),
        ("To", message.to),
        *((("MessagingServiceSid", message.service_sid),) if message.service_sid else ()),
    )


def on_document(transaction: Transaction, fetch: Fetch, answer: TwimlFetched) -> None:
    """Run what answers a message; if it failed, ask the fallback URL once."""
    message = transaction.state.messages.get(fetch.call_sid)
    if message is None:
        return
    try:
        _run(transaction, message, answer, answer.url or fetch.url)
    except TwimlError as error:
        transaction.add_debugger_entry(error.code, error.message, url=fetch.url, level="error")
        number = transaction.state.numbers.get(message.to, Number(message.to))
        if number.sms_fallback_url and not fetch.is_fallback:
            extra = (("ErrorCode", str(error.code)), ("ErrorUrl", fetch.url))
            _fetch(
                transaction, message, number.sms_fallback_url, number.sms_fallback_method, extra, is_fallback=True
            )  # fmt: skip


def _run(transaction: Transaction, message: TextMessage, answer: TwimlFetched, base_url: str) -> None:
    if not 200 <= answer.status < 300:
        code = 11200 if answer.status else answer.error_code
        raise TwimlError(code, f"HTTP retrieval failure: {answer.failure}")
    if answer.content_type.startswith("text/plain"):
        if text := answer.body.decode(errors="replace").strip():
            _reply(transaction, message, text, {}, base_url)
        return
    for element in twiml_parser.parse_root(answer.content_type, answer.body):
        if element.tag in {"Message", "Sms"}:
            _reply(transaction, message, *_content(transaction, element), base_url)
        elif element.tag == "Redirect":
            url = resolve(base_url, (element.text or "").strip())
            _fetch(transaction, message, url, element.get("method", "POST").upper())
            return
        else:
            said = f"Twilio does not allow <{element.tag}> in the answer to a message; it is ignored"
            transaction.add_remarks([Remark(SCHEMA_WARNING, said, "error")], url=base_url)


def _content(transaction: Transaction, element: Element) -> tuple[str, dict[str, str]]:
    """Return a reply's text and attributes."""
    ignored = [f"{name} of <{element.tag}>" for name in element.attrib if name in {"action", "method"}]
    ignored += [f"<{child.tag}> in <{element.tag}>" for child in element if child.tag != "Body"]
    transaction.add_remarks([Remark(NOT_MODELED, not_modeled(it)) for it in ignored])
    body = "".join((child.text or "") for child in element if child.tag == "Body")
    return (body or element.text or "").strip(), dict(element.attrib)


def _reply(
    transaction: Transaction, message: TextMessage, text: str, attributes: dict[str, str], base_url: str
) -> None:
    callback = attributes.get("statusCallback", "")
    to, from_ = attributes.get("to", message.from_), attributes.get("from", message.to)
    subscription = Subscription(resolve(base_url, callback), "POST", EVENTS) if callback else None
    send(transaction, new_message(transaction, from_, to, text, "outbound-reply", subscription))


def send_from_call(transaction: Transaction, call: Call, verb: Verb, base_url: str) -> None:
    """Run a `<Sms>`: by default, from the called number to the caller."""
    caller, called = (call.from_, call.to) if call.direction == "inbound" else (call.to, call.from_)
    to, from_ = verb.get("to", caller), verb.get("from", called)
    callback = verb.get("statusCallback")
    subscription = Subscription(resolve(base_url, callback), "POST", EVENTS) if callback else None
    if is_number(to) and is_number(from_):
        message = send(transaction, new_message(transaction, from_, to, verb.text, "outbound-call", subscription))
        extra: Params = (("SmsSid", message.sid), ("SmsStatus", message.status))
    else:
        transaction.add_debugger_entry(14101, "Sms: both addresses must be numbers", call.sid)
        extra = (("SmsStatus", "failed"),)
    transaction.end_verb(call, verb, base_url, extra if verb.has("action") else None)


def new_message(
    transaction: Transaction,
    from_: str,
    to: str,
    body: str,
    direction: str,
    subscription: Subscription | None = None,
    media_urls: tuple[str, ...] = (),
) -> TextMessage:
    """Return a message that the account sends; `send` stores it."""
    sid, now_s = transaction.new_sid("MM" if media_urls else "SM"), transaction.now_s
    return TextMessage(
        sid, from_, to, body, direction, "queued", now_s, now_s, None, media_urls, subscription=subscription,
        number=transaction.state.created_counts[sid[:2]],
    )  # fmt: skip
