"""The people of the tests, and the addresses at which phones ring: each of these is written here alone.

Numbers are reserved for fiction. Source: North American Numbering Plan, 555-0100 to 555-0199.
"""

#: Agents and others with a browser or an app.
ALICE = "client:alice"
BOB = "client:bob"
CAROL = "client:carol"
DAVE = "client:dave"
EVE = "client:eve"
LAWYER = "client:lawyer"
CHIEF = "client:chief"
#: The agent whom calls reach unless a test says otherwise.
AGENT = ALICE
#: The installation's number, and others of its account.
NUMBER = "+14155550100"
SALES = "+14155550101"
HELP = "+14155550102"
#: Who calls, or is called.
CUSTOMER = "+14155550123"
#: Phones to which calls are transferred.
TARGET = "+14155550177"
SECOND = "+14155550178"
#: Phones of agents, which a gate screens.
AGENT_PHONE = "+14155550188"
SECOND_AGENT_PHONE = "+14155550189"
