"""Who plays in the demo's stories: people, their phones' addresses, and what they are called."""

from conferral.operations import wording

#: Numbers reserved for fiction. Source: North American Numbering Plan, 555-0100 to 555-0199.
BUSINESS = "+14155550100"
#: Whoever calls it waits in a conference.
WAITING_LINE = "+14155550101"
#: Its conferences are recorded.
RECORDED_LINE = "+14155550102"
#: Whoever calls it is asked something when the agent has left.
AFTER_CALL_LINE = "+14155550103"
#: What the phones' page calls each of them.
LINE_NAMES = {
    BUSINESS: "alice",
    WAITING_LINE: "waiting room",
    RECORDED_LINE: "recorded",
    AFTER_CALL_LINE: "survey",
}
CUSTOMER = "+14155550123"
ALICE = "client:alice"
BOB = "client:bob"
CAROL = "client:carol"
DAVE = "client:dave"
#: Whose phones are played by hand once the story is told, and whose are picked up by themselves then too.
MANUAL_PHONES = (CUSTOMER, ALICE, DAVE)
ANSWERING_LATER = (BOB, CAROL)
#: Whose phones are picked up when they ring, where the story does not say otherwise; in the order of the phones' page.
ANSWERING = MANUAL_PHONES + ANSWERING_LATER
#: What the waiting line says first, and what the survey asks.
GREETING = "Thank you for calling. Somebody will be with you in a moment."
AFTER_CALL_TEXT = "What did you think of us? Please say it after the tone."


def name(address: str) -> str:
    """What somebody is called in the stories."""
    if address == CUSTOMER:
        return "the customer"
    return address.removeprefix("client:") if address.startswith("client:") else wording.display_address(address)
