"""Who plays in the demo's stories: people, their phones' addresses, and what they are called."""

from conferral.operations import words

#: Numbers reserved for fiction. Source: North American Numbering Plan, 555-0100 to 555-0199.
BUSINESS = "+14155550100"
#: Whoever calls it waits in a conference.
WAITING_LINE = "+14155550101"
#: Its conferences are recorded.
RECORDED_LINE = "+14155550102"
#: Whoever calls it is asked something when the agent has left.
SURVEY_LINE = "+14155550103"
#: What the phones' page calls each of them.
LINES = {
    BUSINESS: "alice",
    WAITING_LINE: "waiting room",
    RECORDED_LINE: "recorded",
    SURVEY_LINE: "survey",
}
CUSTOMER = "+14155550123"
ALICE = "client:alice"
BOB = "client:bob"
CAROL = "client:carol"
DAVE = "client:dave"
#: Whose phones are played by hand once the story is told, and whose are picked up by themselves then too.
BY_HAND = (CUSTOMER, ALICE, DAVE)
ANSWERING_LATER = (BOB, CAROL)
#: Whose phones are picked up when they ring, where the story does not say otherwise; in the order of the phones' page.
ANSWERING = BY_HAND + ANSWERING_LATER
#: What the waiting line says first, and what the survey asks.
GREETING = "Thank you for calling. Somebody will be with you in a moment."
SURVEY = "What did you think of us? Please say it after the tone."


def name(address: str) -> str:
    """What somebody is called in the stories."""
    if address == CUSTOMER:
        return "the customer"
    return address.removeprefix("client:") if address.startswith("client:") else words.address(address)
