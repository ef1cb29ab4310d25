"""Paths of the control API under `/sandbox`."""

ROUTES = (
    ("POST", "/sandbox/numbers", "add_number"),
    ("POST", "/sandbox/phones", "script_phone"),
    ("POST", "/sandbox/bots", "script_bot"),
    ("POST", "/sandbox/calls", "call_in"),
    ("POST", "/sandbox/browser-calls", "browser_calls"),
    ("GET", "/sandbox/calls", "calls"),
    ("POST", "/sandbox/messages", "text_in"),
    ("POST", "/sandbox/calls/{sid}/{act}", "call_action"),
    ("GET", "/sandbox/requests", "request_log"),
    ("GET", "/sandbox/debugger", "debugger"),
    ("GET", "/sandbox/hearing", "audibility"),
    ("GET", "/sandbox/recordings", "recordings"),
    ("GET", "/sandbox/faults", "pending_faults"),
    ("POST", "/sandbox/faults", "faults"),
    ("DELETE", "/sandbox/faults", "clear_faults"),
    ("POST", "/sandbox/webhook-rules", "webhook_rule"),
    ("POST", "/sandbox/reset", "reset"),
    ("GET", "/sandbox/snapshot", "snapshot"),
    ("GET", "/sandbox/openapi.json", "openapi"),
)
"""Method, path, and the handler's name in `ControlHandlers`."""
