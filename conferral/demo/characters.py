"""The demo's cast: people, their phones' addresses, and their names."""

from conferral.operations import wording

#: Numbers reserved for fiction. Source: North American Numbering Plan, 555-0100 to 555-0199.
BUSINESS = "+14155550100"
#: Callers to this number wait in a conference.
WAITING_LINE = "+14155550101"
#: Conferences on this number are recorded.
RECORDED_LINE = "+14155550102"
#: Callers to this number get a survey after the agent has left.
AFTER_CALL_LINE = "+14155550103"
LINE_NAMES = {BUSINESS: "alice", WAITING_LINE: "waiting room", RECORDED_LINE: "recorded", AFTER_CALL_LINE: "survey"}
CUSTOMER = "+14155550123"
ALICE = "client:alice"
BOB = "client:bob"
CAROL = "client:carol"
DAVE = "client:dave"
#: Phones that you play by hand after the story, and phones that keep answering automatically.
MANUAL_PHONES = (CUSTOMER, ALICE, DAVE)
ANSWERING_LATER = (BOB, CAROL)
#: Phones that answer automatically unless the story says otherwise, in the order of the phones' page.
ANSWERING = MANUAL_PHONES + ANSWERING_LATER
GREETING = "Thank you for calling. Someone will be with you in a moment."
AFTER_CALL_TEXT = "What did you think of us? Please say it after the tone."


def name(address: str) -> str:
    """Return a person's name in the stories."""
    if address == CUSTOMER:
        return "the customer"
    return address.removeprefix("client:") if address.startswith("client:") else wording.display_address(address)
