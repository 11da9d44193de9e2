"""Runs on a host (python3, standard library only): several commands at the same time, told apart afterwards.

`python3 -I -c PROGRAM`, which is this text. Standard input is JSON, for each command its words and its standard input.
Prints a line of JSON for each, in the same order: `status`, `stdout`, `stderr`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def run(command: tuple[list[str], str]) -> dict[str, object]:
    """What comes of one; a program that is missing ends with 127, as in a shell."""
    words, text = command
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        return {"status": 127, "stdout": "", "stderr": f"{error.filename}: command not found\n"}
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def main() -> None:
    """Run them."""
    known = json.load(sys.stdin)
    with ThreadPoolExecutor(max_workers=max(1, len(known))) as side_by_side:
        for result in side_by_side.map(run, known):
            print(json.dumps(result))


if __name__ == "__main__":
    main()
