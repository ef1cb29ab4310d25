"""Receive outcomes over HTTP, and store each once in Postgres.

Needs CONFERRAL_OUTCOMES_SECRET, DATABASE_URL, and `pip install aiohttp psycopg[binary] standardwebhooks`. Run it where
CONFERRAL_OUTCOMES_URL points to.
"""

import os

import psycopg
from aiohttp import web
from psycopg.types.json import Jsonb
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (id text PRIMARY KEY, type text NOT NULL, data jsonb NOT NULL);
CREATE OR REPLACE VIEW calls AS SELECT  -- one row for each ended session
  data->>'session' AS session, data->>'direction' AS direction, data->>'customer' AS customer,
  data->>'number' AS number,  -- ours: which brand
  data->>'reason' AS reason, (data->>'code')::int AS twilio_code, data->>'ref' AS ref,
  (data->>'started_at')::timestamptz AS started_at, (data->>'ended_at')::timestamptz AS ended_at,
  data->'agents' AS agents
FROM outcomes WHERE type = 'session.ended'
"""
INSERT = "INSERT INTO outcomes VALUES (%s, %s, %s) ON CONFLICT (id) DO NOTHING"


async def set_up(_app: web.Application) -> None:
    """Create the table and the view."""
    async with await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"]) as connection:
        await connection.execute(SCHEMA)


async def receive(request: web.Request) -> web.Response:
    """Store an outcome; only then answer 204, since Conferral sends it no more."""
    try:
        secret = os.environ["CONFERRAL_OUTCOMES_SECRET"].split(" ")[0]
        event = Webhook(secret).verify(await request.read(), dict(request.headers))
    except WebhookVerificationError:
        return web.Response(status=400)
    async with await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"]) as connection:
        await connection.execute(INSERT, (request.headers["webhook-id"], event["type"], Jsonb(event["data"])))
    return web.Response(status=204)


app = web.Application()
app.on_startup.append(set_up)
app.router.add_post("/outcomes", receive)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=8090)
