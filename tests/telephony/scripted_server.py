"""A server on loopback that answers by a script, as Twilio or a network that fails would."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: str


Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answered(status: int, body: bytes | dict[str, object], *headers: str, length: int | None = None) -> Reply:
    """An answer; `length` is what Content-Length claims."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)

    async def reply(writer: asyncio.StreamWriter) -> None:
        claimed = len(content) if length is None else length
        lines = (f"HTTP/1.1 {status} Whatever", f"Content-Length: {claimed}", *headers, "", "")
        writer.write("\r\n".join(lines).encode() + content)
        await writer.drain()
        if claimed != len(content):
            writer.close()

    return reply


async def cut(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def cut_in_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    writer.close()


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    await writer.drain()
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@dataclass
class ScriptedTwilio:
    """Answers each request by the next line of its script; the last line serves for all that follow."""

    script: list[Reply] = field(default_factory=lambda: [answered(200, {"sid": "CA1"})])
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    at_once_max: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.strip().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines)
                body = await reader.readexactly(int(headers.get("Content-Length", 0)))
                method, target, _ = first.split(" ")
                self.requests.append(Request(method, target, headers, body.decode()))
                self.at_once += 1
                self.at_once_max = max(self.at_once_max, self.at_once)
                await (self.script.pop(0) if len(self.script) > 1 else self.script[0])(writer)
                self.at_once -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the server is closed while a request hangs
        finally:
            writer.close()
