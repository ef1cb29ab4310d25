"""Scripts, run by the Lua that Redis has in it, with Redis's own conversions between its values and Lua's."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from lupa.lua51 import LuaRuntime, lua_type  # type: ignore[import-untyped]

from tests.support.memory_redis.values import Refusal, Reply, Status

#: What scripts see. What none of ours uses (cmsgpack, bit, struct) is missing, and said to be. Errors
#: travel as tables, as in Redis 7, with the place where the script was.
_PRELUDE = b"""
local call, try, explained, decode, encode, version, version_num = ...
local error, type, tostring, pcall_of_lua, xpcall, getinfo = error, type, tostring, pcall, xpcall, debug.getinfo
local redis = {call = call, pcall = try, REDIS_VERSION = version, REDIS_VERSION_NUM = version_num}
function redis.error_reply(text) return {err = text} end
function redis.status_reply(text) return {ok = text} end

local function text_first(went_well, problem, ...)
  if went_well then return went_well, problem, ... end
  if type(problem) == 'userdata' then problem = explained(problem) or problem end
  if type(problem) == 'table' and problem.err then problem = problem.err end
  return went_well, problem
end

local function at_fault(problem)
  if type(problem) == 'userdata' then
    local text = explained(problem)
    if not text then return problem end  -- a mistake of ours, which goes through as it is
    problem = {err = text}
  end
  if type(problem) ~= 'table' then problem = {err = 'ERR ' .. tostring(problem)} end
  local level = 2
  local place = getinfo(level, 'Sl')
  while place and place.source ~= '@user_script' do
    level = level + 1
    place = getinfo(level, 'Sl')
  end
  if place then problem.line = place.currentline end
  return problem
end

local globals = _G
for _, name in ipairs({'dofile', 'loadfile', 'print', 'io', 'os', 'package', 'require', 'module', 'python', 'newproxy',
  'coroutine', 'getfenv', 'setfenv'}) do globals[name] = nil end
globals.debug = false  -- asked for by the binding whenever something fails, so it can't be missing
globals.pcall = function(...) return text_first(pcall_of_lua(...)) end
globals.cjson = {decode = decode, encode = encode}
globals.redis, globals.KEYS, globals.ARGV = redis, false, false
setmetatable(globals, {
  __newindex = function(_, name)
    error("Script attempted to create global variable '" .. tostring(name) .. "'", 2)
  end,
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
})

return function(script, keys, arguments)
  globals.KEYS, globals.ARGV = keys, arguments
  local went_well, answer = xpcall(script, at_fault)
  return went_well, answer
end
"""


class Scripts:
    """The scripts that a server knows, and the machine that runs them."""

    def __init__(self, call: Callable[[list[bytes]], Reply], version: tuple[int, int, int]) -> None:
        """Starts the machine.

        Args:
            call: Runs one command for a script; raises Refusal.
            version: The Redis version that scripts see.
        """
        self._call = call
        self._lua = LuaRuntime(encoding=None, unpack_returned_tuples=True, register_eval=False, register_builtins=False)
        self._table = self._lua.table_from
        number = version[0] << 16 | version[1] << 8 | version[2]
        text = b"%d.%d.%d" % version
        self._status = self._lua.eval(b"function(text) return {ok = text} end")
        given = (self._call_of, self._pcall_of, _explained, self._decode, self._encode, text, number)
        self._run = self._lua.execute(_PRELUDE, *given)
        #: Compiled scripts by digest. A server that has forgotten them need not compile them again.
        self._compiled: dict[bytes, Any] = {}
        self._known: set[bytes] = set()

    def forget(self) -> None:
        """As SCRIPT FLUSH and a restart do."""
        self._known.clear()

    def knows(self, digest: bytes) -> bool:
        """Whether a script was loaded, by its digest in lower case."""
        return digest in self._known

    def load(self, text: bytes) -> bytes:
        """Compiles a script; its digest."""
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        if digest not in self._compiled:
            self._compiled[digest] = self._lua.compile(text, name=b"@user_script")
        self._known.add(digest)
        return digest

    def run(self, digest: bytes, keys: list[bytes], arguments: list[bytes]) -> Reply:
        """Runs a script that was loaded.

        Raises:
            Refusal: it failed.
        """
        went_well, found = self._run(self._compiled[digest], self._table(keys), self._table(arguments))
        if went_well:
            reply = self._reply_of(found)
            if type(reply) is Refusal:
                raise reply
            return reply
        if isinstance(found, Exception):
            raise found
        text, line = bytes(found[b"err"]).decode(errors="replace"), found[b"line"]
        raise Refusal(f"{text} script: {digest.decode()}, on @user_script:{line}." if line is not None else text)

    def _call_of(self, *words: Any) -> Any:
        """`redis.call`: what a script gets for a command. Lua takes it for one written in C, in tail calls too."""
        # A number is handed on as Redis writes it.
        argv = [word if type(word) is bytes else b"%.17g" % word for word in words]
        reply = self._call(argv)
        kind = type(reply)
        return reply if kind is bytes or kind is int else self._lua_of(reply)

    def _pcall_of(self, *words: Any) -> Any:
        """`redis.pcall`: an error is a table."""
        try:
            return self._call_of(*words)
        except Refusal as refusal:
            return self._table({b"err": str(refusal).encode()})

    def _decode(self, text: bytes) -> Any:
        """`cjson.decode`, of objects, lists, and texts."""
        return self._from_json(json.loads(text))

    def _from_json(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._table({name.encode(): self._from_json(one) for name, one in value.items()})
        if isinstance(value, list):
            return self._table([self._from_json(one) for one in value])
        return value.encode() if isinstance(value, str) else value

    def _encode(self, table: Any) -> bytes:
        """`cjson.encode`, of an object of texts, numbers, and such objects."""
        return json.dumps(self._to_json(table), separators=(",", ":")).encode()

    def _to_json(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        if lua_type(value) == "table":
            return {bytes(name).decode(): self._to_json(one) for name, one in value.items()}
        return int(value)

    def _lua_of(self, reply: Reply) -> Any:
        if reply is None:
            return False
        if type(reply) is Status:
            return self._status(bytes(reply))
        if type(reply) is list:
            return self._table([self._lua_of(one) for one in reply])
        return reply

    def _reply_of(self, found: Any) -> Reply:
        if type(found) is bytes or found is None:
            return found
        if found is True or found is False:
            return 1 if found else None
        if type(found) is int or type(found) is float:
            return int(found)
        if lua_type(found) != "table":
            return None
        for name, kind in ((b"err", Refusal), (b"ok", Status)):
            text = found[name]
            if type(text) is bytes:
                return Status(text) if kind is Status else Refusal(text.decode(errors="replace"))
        answer: list[Reply] = []
        while (one := found[len(answer) + 1]) is not None:
            answer.append(self._reply_of(one))
        return answer


def _explained(problem: object) -> bytes | None:
    """Redis's words for an error reply that went through Lua; None for anything else."""
    return str(problem).encode() if type(problem) is Refusal else None
