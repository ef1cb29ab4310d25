"""The sweep: what is live at Twilio, compared with what is live here, so that a lost callback costs one interval."""
