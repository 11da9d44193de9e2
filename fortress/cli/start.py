"""Entry point of the `fortress` command: it copes with closed streams, odd terminals, signals and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType

from fortress.cli.base.terminal import COULD_NOT_ASK, INTERRUPTED, complain


def main() -> None:
    """Run the command. Exits with its status."""
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, _end)
        _settle_streams()
        _settle_terminal()
        # Loading the rest takes a moment, in which Ctrl-C may come too.
        from fortress.cli import completion
        from fortress.cli.main import app

        completion.tidy_line(os.environ)
        app(prog_name="fortress")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except ModuleNotFoundError as missing:
        if (missing.name or "fortress").startswith("fortress"):
            raise
        complain(f"{missing.name} is not installed; pip install 'data-fortress[cli]'")
        sys.exit(COULD_NOT_ASK)
    except OSError as error:  # in output that is not ours, such as help on a full disk
        complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        # Python would try once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(COULD_NOT_ASK)


def _end(number: int, _frame: FrameType | None) -> None:
    """Exit cleanly, and stop the engine too."""
    sys.exit(128 + number)


def _settle_streams() -> None:
    """Open the null device in place of a closed stream (`2>&-`): otherwise the next file opened takes its number.

    `sys.stdout` stays None where it is closed, so that lost output can be reported.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for as long as the program runs
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Print escapes for characters that the locale lacks, rather than nothing.
        sys.stdout.reconfigure(errors="backslashreplace")


def _settle_terminal() -> None:
    """Remove an invalid width and an unset terminal type: rich, pip and the engine stumble over them."""
    if not os.environ.get("COLUMNS", "80").isdecimal() or int(os.environ.get("COLUMNS", "80")) == 0:
        del os.environ["COLUMNS"]
    os.environ["TERM"] = os.environ.get("TERM") or "dumb"
