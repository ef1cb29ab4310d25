# What programs written for Twilio do, with no word of Offhook. Prints what it saw as JSON.
import asyncio
import base64
import http.client
import json
import os
import sys
import urllib.request
from typing import Any

import aiohttp
import httpx  # a small one of the test's own
import requests
import urllib3
import yarl
from twilio.rest import Client

SID, TOKEN = os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]
PATH = f"/2010-04-01/Accounts/{SID}/Calls.json?PageSize=1"
URL = f"https://api.twilio.com{PATH}"
HEADERS = {"Authorization": "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()}


async def by_aiohttp() -> list[int]:
    base = "https://api.twilio.com"
    async with aiohttp.ClientSession(headers=HEADERS) as session, aiohttp.ClientSession(base, headers=HEADERS) as based:
        return [
            (await asked).status
            for asked in (session.get(yarl.URL(URL)), session.request("GET", url=URL), based.get(PATH))
        ]


def by_http_client() -> tuple[int, str]:
    connection = http.client.HTTPSConnection("api.twilio.com")
    connection.request("GET", PATH, headers=HEADERS)
    return connection.getresponse().status, connection.host


seen: dict[str, Any] = {
    "twilio": len(Client(region="ie1", edge="dublin").incoming_phone_numbers.list()),
    "key": len(Client(os.environ["TWILIO_API_KEY"], os.environ["TWILIO_API_SECRET"], SID).calls.list()),
    "aiohttp": asyncio.run(by_aiohttp()),
    "http.client": by_http_client(),
    "httpx": httpx.Request("GET", URL).url.replace(os.environ["OFFHOOK_URL"], "here"),
    "requests": requests.get(URL, headers=HEADERS).status_code,
    "urllib": urllib.request.urlopen(urllib.request.Request(URL, headers=HEADERS)).status,
    "urllib3": urllib3.PoolManager().request("GET", URL, headers=HEADERS).status,
    "others": [httpx.Request("GET", url).url for url in sys.argv[1:]],
}
print(json.dumps(seen))
sys.exit(7)
