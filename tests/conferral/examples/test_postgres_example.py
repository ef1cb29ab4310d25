"""The example that stores outcomes in Postgres, with a worker, a call, and a Postgres of the test's own."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from unittest.mock import ANY

import psycopg
import pytest
from aiohttp import web

from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.ports import free_port

EXAMPLE = Path(__file__).parents[3] / "examples" / "outcomes_to_postgres.py"
SECRET = f"whsec_{'A' * 32}"
pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(not (shutil.which("initdb") and shutil.which("postgres")), reason="no postgres on PATH"),
]


@pytest.fixture
def postgres(tmp_path):
    """The URL of an empty database, on a socket."""
    # Postgres refuses to run as root.
    user = (
        next((one for one in pwd.getpwall() if one.pw_name in ("postgres", "nobody")), None)
        if os.getuid() == 0
        else None
    )
    options = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    folder = tmp_path / "p"
    folder.mkdir()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        for parent in [tmp_path, *tmp_path.parents]:
            if parent.stat().st_uid == os.getuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    data = folder / "d"
    subprocess.run(
        ["initdb", "--no-sync", "-A", "trust", "-U", "me", data], check=True, capture_output=True, cwd=folder, **options
    )
    flags = ["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    with subprocess.Popen(["postgres", *flags], cwd=folder, stderr=subprocess.PIPE, text=True, **options) as server:
        for line in server.stderr:
            if "ready to accept connections" in line:
                break
        try:
            yield f"host={folder} user=me dbname=postgres"
        finally:
            server.terminate()


def load_example():
    spec = importlib.util.spec_from_file_location("outcomes_to_postgres", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_outcomes_of_a_call_are_stored_once(redis_server, postgres, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", postgres)
    monkeypatch.setenv("CONFERRAL_OUTCOMES_SECRET", SECRET)
    port = free_port()
    runner = web.AppRunner(load_example().app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    settings = {"CONFERRAL_OUTCOMES_URL": f"http://127.0.0.1:{port}/outcomes", "CONFERRAL_OUTCOMES_SECRET": SECRET}

    async def stored():
        async with await psycopg.AsyncConnection.connect(postgres) as connection:
            if await (await connection.execute("SELECT to_regclass('outcomes')")).fetchone() == (None,):
                return []
            return await (await connection.execute("SELECT id, type, data FROM outcomes")).fetchall()

    try:
        async with LocalSystem(redis_server.url, speed=20, **settings) as system:
            customer, _ = await system.talking()
            await system.command("end", customer.sid)
            await system.settled()

            async def has_arrived():
                return len(await stored()) == 1

            await system.eventually(has_arrived, "the outcome is stored")
            ((entry_id, fields),) = await system.client.xrange(system.keys.outcomes)
            await system.client.xadd(system.keys.outcomes, fields)  # a repetition has the same id

            async def is_sent():
                return not await system.client.exists(system.keys.sending) and (
                    await system.client.hget(system.keys.sending_state, "position") != entry_id
                )

            await system.eventually(is_sent, "the repetition is sent")
            ((name, kind, data),) = await stored()
            assert (name, kind, data["session"]) == (fields[b"id"].decode(), "session.ended", customer.sid)
            async with await psycopg.AsyncConnection.connect(postgres) as connection:
                row = await (await connection.execute("SELECT session, customer, number, agents FROM calls")).fetchone()
            assert row == (customer.sid, CUSTOMER, NUMBER, [{"address": AGENT, "talk_s": ANY, "holds": 0}])
    finally:
        await runner.cleanup()
