"""The measured processes' settings: the defaults, with a nonexistent account."""

from conferral.storage.keys import Keys

ACCOUNT_SID, AUTH_TOKEN = "AC" + "0" * 32, "12345"
PUBLIC_URL = "https://example.com"
NUMBER, CUSTOMER, AGENT = "+14155550100", "+14155550123", "client:alice"
ENVIRON = {
    "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    "TWILIO_NUMBER": NUMBER,
    "CONFERRAL_PUBLIC_URL": PUBLIC_URL,
    "CONFERRAL_AGENT": AGENT,
    # No one joins the benchmarks' conferences; without this, repairs of the conversions would interfere.
    "CONFERRAL_CONVERT_TIMEOUT": "60",
}
KEYS = Keys("conferral", 16)
