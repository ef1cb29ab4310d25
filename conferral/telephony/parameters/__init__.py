"""Parameters of Twilio's REST requests and TwiML nouns, by resource."""
