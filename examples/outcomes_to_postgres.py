"""Receive outcomes over HTTP, and store each once in Postgres.

Needs CONFERRAL_OUTCOMES_SECRET, DATABASE_URL, and `pip install aiohttp psycopg[binary] standardwebhooks`. Run it where
CONFERRAL_OUTCOMES_URL points to.
"""

import os

import psycopg
from aiohttp import web
from psycopg.types.json import Jsonb
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

TABLE = "CREATE TABLE IF NOT EXISTS outcomes (id text PRIMARY KEY, type text NOT NULL, data jsonb NOT NULL)"
INSERT = "INSERT INTO outcomes VALUES (%s, %s, %s) ON CONFLICT (id) DO NOTHING"


async def receive(request: web.Request) -> web.Response:
    """Store an outcome; only then answer 204, since Conferral sends it no more."""
    try:
        secret = os.environ["CONFERRAL_OUTCOMES_SECRET"].split(" ")[0]
        event = Webhook(secret).verify(await request.read(), dict(request.headers))
    except WebhookVerificationError:
        return web.Response(status=400)
    async with await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"]) as connection:
        await connection.execute(TABLE)
        await connection.execute(INSERT, (request.headers["webhook-id"], event["type"], Jsonb(event["data"])))
    return web.Response(status=204)


app = web.Application()
app.router.add_post("/outcomes", receive)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=8090)
