"""Hours of a number that is closed now, for a directory."""

from datetime import UTC, datetime, timedelta


def closed_now(**more: str) -> str:
    """Lines of a number's table: no day near today has hours; `more` are further keys."""
    today = datetime.now(UTC).date()
    days = ", ".join(str(today + timedelta(later)) for later in (-1, 0, 1))
    lines = ['timezone = "UTC"', 'hours = "Mon-Sun 00:00-24:00"', f"holidays = [{days}]"]
    return "\n".join([*lines, *(f'{name} = "{value}"' for name, value in more.items())]) + "\n"
