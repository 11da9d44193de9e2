"""The command line of the measuring room: `python -m bench`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

from bench import commands, dials, edge, galera, nothing, program, rules, stand, tunnel
from bench.figures import Figure, Part, as_json, table
from bench.rivals import part as rivals
from lab.base.errors import LabError
from lab.image import machine

PARTS: dict[str, tuple[Part, str]] = {
    "nothing": (nothing.figures, "`pulumi up` that changes nothing, beside an empty program"),
    "program": (program.figures, "resources, and the program's CPU for each, as workers are added"),
    "rules": (rules.figures, "a preview of the stack on two clouds, beside the same without the rules"),
    "rivals": (rivals.figures, "one change after another, beside Ansible and pyinfra on the same hosts"),
    "dials": (dials.figures, "SSH connections of a first `up`"),
    "commands": (commands.figures, "verify, status, drift and --help"),
    "edge": (edge.figures, "requests through the edge, beside a minimal haproxy.cfg; without hosts"),
    "galera": (galera.figures, "writes of a cluster whose hosts are switched off, and a commit between sites"),
    "tunnel": (tunnel.figures, "throughput of the tunnel, beside one set up by hand"),
}
DONE, UNMET, FAILED, USAGE = 0, 1, 3, 2


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for; gives the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"no part is called {unknown[0]!r}; known: {', '.join(PARTS)}")
    os.environ.setdefault("FORTRESS_LAB", stand.LAB)
    try:
        machine.check_root()
    except LabError as error:
        print(f"bench: {error.problem}\nfix: {error.cure}", file=sys.stderr)
        return FAILED
    if stand.taken():
        lab = os.environ["FORTRESS_LAB"]
        print(
            f"bench: the lab {lab!r} is up, and would be taken down\nfix: FORTRESS_LAB={lab} python -m lab down, "
            "or FORTRESS_LAB=another",
            file=sys.stderr,
        )
        return FAILED
    figures: list[Figure] = []
    failed = False
    for name in given.parts or PARTS:
        began = time.monotonic()
        print(f"bench: {name}: {PARTS[name][1]}", file=sys.stderr, flush=True)
        try:
            for figure in PARTS[name][0](given.repeat):
                figures.append(figure)
        except (stand.BenchError, LabError) as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            failed = True
        print(f"bench: {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    about = {"command_plugin": stand.engine()[1], "cores": os.cpu_count(), "repeat": given.repeat}
    print(f"\n{about['cores']} cores; command plugin: {about['command_plugin']}; medians of {given.repeat}\n")
    print(table(figures), end="")
    if given.json:
        given.json.write_text(as_json(figures, {**about, "machine": platform.machine()}))
    if failed:
        return FAILED
    return UNMET if any(figure.met is False for figure in figures) else DONE


def _parser() -> argparse.ArgumentParser:
    parts = "\n".join(f"  {name:9} {text}" for name, (_, text) in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure what the program costs, beside what it is compared with, on a lab of its own.",
        epilog=f"parts, all when none is named:\n{parts}\n\n"
        "The lab is FORTRESS_LAB, or `bench`; it is made and taken down. Must be run as root.\n"
        "Exit: 0 every goal is met, 1 some are not, 2 wrong usage, 3 something could not be measured.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--repeat", type=_count, default=3, metavar="N", help="runs of each thing, 3 if not given")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
