"""The account that exists only here."""

ACCOUNT_SID = "AC" + "5a" * 16
AUTH_TOKEN = "sandbox-auth-token"  # noqa: S105  for an account that exists only here
#: Of the programs that `offhook run` runs; the sandbox has it only there.
API_KEY = ("SK" + "5a" * 16, "sandbox-api-secret")
NUMBER = "+14155550100"  #: The number that the commands add, if they have no other; reserved for fiction.
