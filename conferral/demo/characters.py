"""The demo's cast: people, their phones' addresses, and their names."""

from conferral.runtime.redaction import display_address

#: Numbers reserved for fiction. Source: North American Numbering Plan, 555-0100 to 555-0199.
BUSINESS = "+14155550100"
CUSTOMER = "+14155550123"
ALICE = "client:alice"
BOB = "client:bob"
CAROL = "client:carol"
DAVE = "client:dave"
#: After the story, you answer the first by hand; the others keep answering automatically.
MANUAL_PHONES = (CUSTOMER, ALICE, DAVE)
AUTOMATIC_PHONES = (BOB, CAROL)
#: These agents have a desk in a browser, too.
DESKS = (ALICE, DAVE)
#: All answer automatically during the story, unless it says otherwise. In the order of the phones' page.
ALL_PHONES = MANUAL_PHONES + AUTOMATIC_PHONES


def name(address: str) -> str:
    """Return a person's name in the story."""
    if address == CUSTOMER:
        return "the customer"
    return address.removeprefix("client:") if address.startswith("client:") else display_address(address)
