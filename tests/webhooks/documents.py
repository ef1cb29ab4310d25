"""What the TwiML of an answer says."""

import xml.etree.ElementTree as ET
from urllib.parse import urlsplit

from conferral.telephony.callback_urls import DialAction
from tests.webhooks.webhook_helpers import post


def verbs(document):
    return [verb.tag for verb in ET.fromstring(document)]


def said(document):
    return " ".join(say.text for say in ET.fromstring(document).iter("Say"))


def key_timeout_s(document):
    """For how long a `<Gather>` waits for a key after its question."""
    return int(ET.fromstring(document).find("Gather").get("timeout"))


def dial_of(document):
    return ET.fromstring(document).find("Dial")


def conference_of(document):
    return ET.fromstring(document).find("Dial/Conference")


def rung(document):
    """Whom a bridge rings."""
    (noun,) = dial_of(document)
    return noun.text


def next_url(document, path, attribute=None):
    """The URL in an element, as a target that can be asked."""
    element = ET.fromstring(document).find(path)
    url = urlsplit(element.get(attribute) if attribute else element.text)
    return f"{url.path}?{url.query}"


def action_of(document):
    """What the action of the `<Dial>` says."""
    return DialAction.parse(next_url(document, "Dial", "action").partition("?")[2])


async def follow(client, target, form, path, attribute=None):
    """Asks, and asks the URL that each document has in an element, up to one without; gives the documents."""
    documents = []
    while not documents or ET.fromstring(documents[-1]).find(path) is not None:
        assert len(documents) < 10, "there is no end"
        target = next_url(documents[-1], path, attribute) if documents else target
        documents.append((await post(client, target, form))[1])
    return documents
