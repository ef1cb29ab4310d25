"""`<Connect><ConversationRelay>`: what the bot says, and what the action learns about the end of the session."""

import pytest

from model_scenario import ModelScenario
from offhook.model.state import BotScript

NOUN = "<ConversationRelay url='wss://bot.example/talk' welcomeGreeting='Welcome'><Parameter name='a' value='b'/>"
BOT = f"<Response><Connect action='/bot-over'>{NOUN}</ConversationRelay></Connect></Response>"
CALL_PARAMETERS = {"CallSid", "CallStatus", "From", "To", "Direction", "AccountSid"}


def talk(story: ModelScenario, script: BotScript, twiml: str = BOT) -> str:
    story.model.state.bot = script
    return story.call_in(twiml)


def ending(story: ModelScenario) -> dict[str, str]:
    sent = story.sent_to("/bot-over")
    assert set(sent) >= CALL_PARAMETERS
    return {name: sent[name] for name in sent if name.startswith(("Session", "Handoff", "Error", "CallStatus"))}


def test_bot_says_its_sentences_and_hands_over_with_its_data(story: ModelScenario) -> None:
    sid = talk(story, BotScript(("x" * 50, "y" * 50), '{"to": "client:alice"}'))
    heard = []
    for _ in range(3):
        heard.append(story.said(sid))
        story.passes(3.0)

    assert heard == ["Welcome", "x" * 50, "y" * 50]
    sent = ending(story)
    assert sent.pop("SessionId").startswith("VX")
    assert sent == {
        "SessionStatus": "ended",
        "SessionDuration": "6",
        "HandoffData": '{"to": "client:alice"}',
        "CallStatus": "in-progress",
    }
    story.serve("/bot-over", "<Response><Say>Please wait</Say></Response>")
    assert story.said(sid) == "Please wait"


def test_bot_that_no_one_scripted_is_in_the_debugger_once(story: ModelScenario) -> None:
    sid = story.call_in(BOT)
    story.passes(60.0)

    (entry,) = story.errors
    assert (entry.code, entry.level, entry.call_sid) == (0, "warning", sid)
    assert "plays the bot of <ConversationRelay>, and doesn't connect to wss://bot.example/talk" in entry.message


def test_scripted_bot_is_no_warning(story: ModelScenario) -> None:
    talk(story, BotScript())
    story.passes(60.0)

    assert story.errors == []


def test_broken_websocket_fails_the_session_and_not_the_call(story: ModelScenario) -> None:
    talk(story, BotScript(ends="failed", handoff_data="lost"))
    story.passes(5.0)

    sent = ending(story)
    assert (sent["SessionStatus"], sent["CallStatus"]) == ("failed", "in-progress")
    assert (sent["ErrorCode"], sent["ErrorMessage"], "HandoffData" in sent) == ("64105", "Websocket ended", False)


@pytest.mark.parametrize("script", [BotScript(ends="hangup"), BotScript(("x" * 500,), "data")], ids=["script", "hand"])
def test_caller_who_hangs_up_on_the_bot_completes_the_session(story: ModelScenario, script: BotScript) -> None:
    sid = talk(story, script)
    story.passes(5.0)
    story.hangs_up(sid)

    sent = ending(story)
    assert (sent["SessionStatus"], sent["CallStatus"], "HandoffData" in sent) == ("completed", "completed", False)
    story.serve("/bot-over", BOT)
    assert story.status(sid) == "completed"


def test_without_an_action_the_next_verb_follows(story: ModelScenario) -> None:
    twiml = BOT.replace(" action='/bot-over'", "").replace("</Response>", "<Say>Bye</Say></Response>")
    sid = talk(story, BotScript(()), twiml)
    story.passes(0.5)

    assert (story.said(sid), story.asked_paths()) == ("Bye", [])
