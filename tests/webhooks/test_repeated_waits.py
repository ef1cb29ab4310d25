"""Someone who waits comes out of the conference, or is left there: what the action of the `<Dial>` is answered."""

import pytest

from conferral.runtime.errors import ProviderUnreachableError, StoreUnreachableError
from tests.webhooks.documents import action_of, conference_of, follow, verbs
from tests.webhooks.webhook_helpers import AGENT, CALLER, a_party, facts, fields, post


def left(party, attempt=1):
    return f"/voice/dial-action?session={CALLER}&party={party}&dial=conference&attempt={attempt}&v=1"


def form(call_sid=CALLER, **changes):
    return fields("dial_into_conference_ends", CallSid=call_sid, **changes)


@pytest.mark.parametrize(("party", "starts"), [("customer", "false"), ("agent", "true")])
async def test_a_session_that_was_not_decided_upon_yet_is_waited_for_and_then_joined_with_twilios_music(
    client, webhook_store, child_lookup, party, starts
):
    documents = await follow(client, left(party), form(), "Redirect")

    assert [verbs(document) for document in documents] == [["Pause", "Redirect"]] * 2 + [["Dial"]]
    joined = conference_of(documents[-1])
    assert (joined.get("waitUrl"), joined.get("startConferenceOnEnter")) == (None, starts)
    assert child_lookup.asked == [CALLER], "the conference's name; who comes out of a conference has no child"


@pytest.mark.parametrize("party", ["customer", "agent"])
async def test_party_of_unknown_session_whose_conference_has_started_is_hung_up(
    client, webhook_store, child_lookup, party
):
    child_lookup.started = True

    documents = await follow(client, left(party).replace("&v=1", "&conference=order-7-00ff&v=1"), form(), "Redirect")

    assert [verbs(document) for document in documents] == [["Pause", "Redirect"]] * 2 + [["Hangup"]]
    assert child_lookup.asked == ["order-7-00ff"]


@pytest.mark.parametrize("error", [ProviderUnreachableError, OverflowError])
async def test_party_of_unknown_session_is_hung_up_if_twilio_does_not_answer(
    client, webhook_store, child_lookup, error
):
    child_lookup.error = error

    documents = await follow(client, left("customer"), form(), "Redirect")

    assert [verbs(document) for document in documents] == [["Pause", "Redirect"]] * 5 + [["Hangup"]]
    assert len(child_lookup.asked) == 4


@pytest.mark.parametrize(("known", "party", "attempt", "starts", "heard", "then"), [
    (facts("transferring"), "customer", 1, "false", "audio=ringback", 2),
    (facts("transferring", customer=a_party(CALLER, wait_audio="music")), "customer", 1, "false", "audio=music", 2),
    (facts("conferenced", phase="parked"), "customer", 1, "false", "audio=music", 2),
    (facts("transferring"), "customer", 2, "false", None, 3),
    (facts("conferenced", opening="arriving"), "customer", 1, "false", None, 2),
    (facts("conferenced", opening="arriving", direction="outbound"), "agent", 1, "true", None, 2),
])  # fmt: skip
async def test_who_waits_in_another_conference_hears_the_same_and_comes_with_the_next_attempt(
    client, webhook_store, known, party, attempt, starts, heard, then
):
    webhook_store.facts = known

    _, document = await post(client, left(party, attempt), form(CALLER if party == "customer" else AGENT))

    joined = conference_of(document)
    assert joined.get("startConferenceOnEnter") == starts
    assert heard in joined.get("waitUrl") if heard else joined.get("waitUrl") is None
    assert action_of(document).attempt == then


class FullRedisError(StoreUnreachableError):
    state = "full (OOM)"


@pytest.mark.parametrize(("error", "refused", "last"), [
    (FullRedisError, {"publish_and_read"}, "Dial"),
    (FullRedisError, {"publish_and_read", "read"}, "Hangup"),
    (StoreUnreachableError, {"publish_and_read"}, "Hangup"),
])  # fmt: skip
async def test_waiting_customer_goes_on_waiting_if_redis_refuses_only_writes(
    client, webhook_store, monkeypatch, error, refused, last
):
    async def refuse(*_args, **_options):
        raise error("refused")

    webhook_store.facts = facts("conferenced", phase="parked", customer=a_party(CALLER, label="customer-2"))
    for name in refused:
        monkeypatch.setattr(webhook_store, name, refuse)

    documents = await follow(client, left("customer"), form(), "Redirect")

    assert [verbs(document) for document in documents] == [["Pause", "Redirect"]] * 2 + [[last]]
