"""Who plays in the demo's stories: people, their phones' addresses, and what they are called."""

from conferral import words

#: Numbers reserved for fiction. Source: North American Numbering Plan, 555-0100 to 555-0199.
BUSINESS = "+14155550100"
CUSTOMER = "+14155550123"
OTHER_CUSTOMER = "+14155550142"
ALICE = "client:alice"
BOB = "client:bob"
CAROL = "client:carol"


def name(address: str) -> str:
    """What somebody is called in the stories."""
    if address in (CUSTOMER, OTHER_CUSTOMER):
        return "the customer"
    return address.removeprefix("client:") if address.startswith("client:") else words.address(address)
