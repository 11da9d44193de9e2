"""Records the state of a stack that stands in the lab: `make record STACK=oslo`, after `make lab STACK=oslo`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.recorded import write

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Ask the engine for the state, and write it without secrets."""
    (stack,) = sys.argv[1:]
    exported = subprocess.run(
        [str(ROOT / "lab/pulumi.sh"), "stack", "export", "--show-secrets"],
        env={**os.environ, "LAB_STACK": stack},
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    ).stdout
    print(f"recorded {write(stack, json.loads(exported)).relative_to(ROOT)}")


main()
