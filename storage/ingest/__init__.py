"""How webhooks store callbacks: batched writes, load shedding, and the session as TwiML answers need it."""
