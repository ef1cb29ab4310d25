"""Continue once a request for TwiML was answered, or has failed."""

from conferral.sandbox.model import participant_updates, twiml_interpreter, wait_audio
from conferral.sandbox.model.inputs import TwimlFailed, TwimlFetched
from conferral.sandbox.model.state import Fetch
from conferral.sandbox.model.transaction import Transaction
from conferral.sandbox.model.twiml_parser import TwimlError


def on_twiml_fetched(transaction: Transaction, input_: TwimlFetched) -> None:
    """Continue with a document: TwiML for a call, or participants' audio."""
    fetch = transaction.state.fetches.pop(input_.fetch_id, None)
    if fetch is None:
        return
    if not 200 <= input_.status < 300:
        _fetch_failed(transaction, fetch, 11200, f"HTTP retrieval failure: status {input_.status}")
        return
    base_url = input_.url or fetch.url
    if fetch.purpose in wait_audio.AUDIO_FIELDS:
        participant_updates.on_document(transaction, fetch, input_.content_type, input_.body, base_url)
    elif fetch.purpose != "ignored" and _is_current(transaction, fetch):
        twiml_interpreter.run_document(
            transaction, transaction.call(fetch.call_sid), input_.content_type, input_.body, base_url,
            whisper=fetch.purpose == "whisper", is_fallback=fetch.is_fallback,
        )  # fmt: skip


def on_twiml_failed(transaction: Transaction, input_: TwimlFailed) -> None:
    """Continue without a document that could not be fetched."""
    fetch = transaction.state.fetches.pop(input_.fetch_id, None)
    if fetch is not None:
        _fetch_failed(transaction, fetch, input_.error_code, "HTTP retrieval failure")


def _fetch_failed(transaction: Transaction, fetch: Fetch, code: int, message: str) -> None:
    if fetch.purpose in wait_audio.AUDIO_FIELDS:
        transaction.add_debugger_entry(code, message, fetch.call_sid, fetch.url)
        participant_updates.on_document_failed(transaction, fetch, TwimlError(code, message))
    elif fetch.purpose == "ignored" or not _is_current(transaction, fetch):
        transaction.add_debugger_entry(code, message, fetch.call_sid, fetch.url)
    else:
        twiml_interpreter.on_failure(
            transaction, transaction.call(fetch.call_sid), code, message, fetch.url,
            whisper=fetch.purpose == "whisper", is_fallback=fetch.is_fallback,
        )  # fmt: skip


def _is_current(transaction: Transaction, fetch: Fetch) -> bool:
    call = transaction.state.calls[fetch.call_sid]
    return not call.is_final and call.generation == fetch.generation and call.activity == "fetching"
