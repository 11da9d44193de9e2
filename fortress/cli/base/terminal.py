"""What the command says on standard error, and the exit statuses of what never ran."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

COULD_NOT_ASK = 2


def complain(text: str) -> None:
    """Say on standard error what is wrong, if anybody is there to hear it."""
    try:
        print(f"fortress: {text}", file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
