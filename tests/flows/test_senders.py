"""Who did it: the name of a token, and of who used it, wherever a command leaves a trace."""

import pytest

from tests.flows.command_channels import api_of
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
from tests.support.token_files import bearer_of, table, write_tokens

pytestmark = pytest.mark.redis


async def test_a_tokens_name_is_in_the_session_its_log_its_outcomes_and_the_commands(redis_server, tmp_path):
    path = write_tokens(tmp_path / "tokens.toml", table("desk", ["all"], "client:, US"))
    async with LocalSystem(redis_server.url, CONFERRAL_TOKENS=str(path)) as system:
        for phone in (AGENT, CUSTOMER, TARGET):
            system.sandbox.phone(phone).script(answer_after_s=0)
        async with api_of(system, bearer_of("desk")) as channel:
            api = channel.session

            async def send(path, **fields):
                async with api.post(path, json=fields) as answer:
                    body = await answer.json()
                assert answer.status == 202, body
                assert (await system.result_of(body["command"])).status == "done"
                async with api.get(f"/commands/{body['command']}") as answer:
                    return (await answer.json())["by"], body.get("session")

            by, session = await send("/sessions", agent=AGENT, customer=CUSTOMER)
            assert by == "desk"
            commands = f"/sessions/{session}/commands"
            assert await send(commands, type="transfer", to=TARGET, mode="warm", by="alice") == ("desk/alice", None)
            async with api.get(f"/sessions/{session}") as answer:
                found = await answer.json()
            assert (found["by"], found["transfer"]["by"]) == ("desk", "desk/alice")
            assert (await send(commands, type="end", by="bob"))[0] == "desk/bob"

            entries = [one for one in await system.log(session) if one.get("by")]
            assert [(one["event"], one["by"]) for one in entries] == [
                ("call", "desk"), ("transfer", "desk/alice"), ("end", "desk/bob"),
            ]  # fmt: skip
            async with api.get("/outcomes") as answer:
                outcomes = (await answer.json())["outcomes"]
            assert [(one["kind"], one["by"]) for one in outcomes] == [("transfer", "desk/alice"), ("session", "desk")]
