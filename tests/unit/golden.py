"""Golden files: the texts that renderers give, kept beside the tests as they read on a host."""

import difflib
import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "goldens"


def check_golden(name: str, text: str, folder: Path = GOLDEN) -> None:
    """Compare `text` with `<folder>/<name>`, byte for byte; AssertionError with the diff if they differ.

    With UPDATE_GOLDEN=1 in the environment a file that differs is rewritten, and the test fails all the same:
    what a host will get is looked at by a person before it is committed.
    """
    path = folder / name
    wanted = path.read_bytes().decode() if path.exists() else ""
    if path.exists() and wanted == text:
        return
    diff = "".join(
        difflib.unified_diff(wanted.splitlines(True), text.splitlines(True), f"goldens/{name}", f"{name} as rendered")
    )
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        raise AssertionError(f"rewrote goldens/{name}: look at the diff, then commit it\n{diff}")
    raise AssertionError(f"goldens/{name} differs (UPDATE_GOLDEN=1 rewrites it)\n{diff or repr(text)}")
