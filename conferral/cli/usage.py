"""The look of every command's help."""

from typing import Any

import typer


class App(typer.Typer):
    """An app whose commands have plain help, and `-h`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **settings,
        )
