"""The house: which room imports which, that no circle arises, and that no verb of the command imports another."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fortress.cli.main import app
from tests.unit.stack_file import ROOT

WORK = ("audit", "backup", "drift", "forget", "preview", "record", "report", "roles", "status", "verify")
"""Rooms in which the work of a verb, or of several that are alike, is done."""
VERBS = {
    **{verb: {verb} for verb in ("audit", "backup", "drift", "forget", "preview", "record", "status", "verify")},
    **{verb: {"backup"} for verb in ("backups", "drill", "restore")},
    **{verb: {"roles"} for verb in ("promote", "recover", "reseed", "switchover")},
    "report": {"report", "status", "verify"},  # one page about all of it
    "ssh": set[str](),
}
"""Every verb, a file each, and the rooms that it uses."""
COMMAND = {"fortress", "fortress.cli.base", "fortress.cli.check", "fortress.cli.engine", "fortress.cli.hosts"}
MAY_IMPORT: Mapping[str, set[str]] = {
    "__main__": {"program", "components"},
    "program": {"components", "fortress", "fortress.settings", "fortress.sovereignty"},
    "package": {"components"},
    "policy": {"fortress.sovereignty"},
    "components": {"fortress", "fortress.sovereignty"},
    "fortress": set(),
    "fortress.sovereignty": {"fortress"},
    "fortress.settings": {"fortress", "fortress.sovereignty"},
    "fortress.cli": set(),
    "fortress.cli.base": set(),
    "fortress.cli.engine": {"fortress", "fortress.sovereignty", "fortress.cli.base"},
    "fortress.cli.hosts": {"fortress", "fortress.cli.base", "fortress.cli.engine"},
    "fortress.cli.check": COMMAND - {"fortress.cli.check"},
    "fortress.cli.probes": set(),  # each is sent to hosts as it is
    **{f"fortress.cli.{room}": COMMAND for room in WORK},
    "fortress.cli.preview": {*COMMAND, "fortress.settings", "fortress.sovereignty"},
    "fortress.cli.record": {*COMMAND, "fortress.sovereignty"},
    "fortress.cli.report": {*COMMAND, "fortress.sovereignty"},
    "fortress.cli.audit": {*COMMAND, "fortress.sovereignty"},
    "fortress.cli.completion": {"fortress.cli.engine"},
    "fortress.cli.options": {"fortress.cli.completion"},
    "fortress.cli.verbs": set(),
    **{
        f"fortress.cli.verbs.{verb}": {*COMMAND, "fortress.cli.options", *(f"fortress.cli.{room}" for room in rooms)}
        for verb, rooms in VERBS.items()
    },
    "fortress.cli.main": {"fortress.cli.base", *(f"fortress.cli.verbs.{verb}" for verb in VERBS)},
    "fortress.cli.start": {"fortress.cli.base", "fortress.cli.completion", "fortress.cli.main"},
    "lab.base": set(),
    "lab.image": {"lab.base"},
    "lab.net": {"lab.base", "lab.image"},
    "lab.host": {"lab.base", "lab.image", "lab.net"},
    "lab": {"lab.base", "lab.host", "lab.image", "lab.net"},
    "docs": {"fortress", "fortress.cli.check", "fortress.settings", "fortress.sovereignty"},
    "release": set(),
    "bench": {
        *("fortress", "fortress.settings", "fortress.cli.engine", "lab", "lab.base", "lab.host", "lab.image"),
        *("tests.engine", "tests.ports"),  # the programs that tests unpack
    },
}
"""Every room, and the rooms whose modules its own may import."""

Modules = Mapping[str, Path]


def modules(root: Path) -> dict[str, Path]:
    """Every module of the project outside its tests and examples, by its name."""
    rooms = ("program", "components", "package", "fortress", "lab", "docs", "release", "bench")
    programs = [root / "__main__.py", root / "policy/__main__.py"]  # beside the second, its environment
    files = [*programs, *(file for room in rooms for file in sorted((root / room).rglob("*.py")))]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(name: str, known: Modules) -> Iterator[str]:
    """The project's modules that one imports, at its top or inside a function; as it runs or for its types alone."""
    package = name if known[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(known[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                found = f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base
                if found in known or found.partition(".")[0] in ("tests", "examples"):
                    yield found


def room(module: str) -> str:
    """The longest name of a room that a module is in."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in MAY_IMPORT), module)


def wrong(known: Modules) -> list[str]:
    """Imports that the plan of the house does not have."""
    return [
        f"{name} imports {other}"
        for name in known
        for other in sorted(set(imports(name, known)))
        if room(other) != room(name) and room(other) not in MAY_IMPORT.get(room(name), set())
    ]


def test_every_import_goes_the_way_that_the_house_has() -> None:
    assert wrong(modules(ROOT)) == []


def test_every_room_is_there() -> None:
    rooms = {room(name) for name in modules(ROOT)}
    assert rooms == set(MAY_IMPORT)


def test_a_verb_has_a_file_of_its_own() -> None:
    verbs = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    verbs |= {str(group.name) for group in app.registered_groups}
    assert verbs == {file.stem for file in (ROOT / "fortress/cli/verbs").glob("*.py")} - {"__init__"} == set(VERBS)


def test_what_a_verb_needs_is_loaded_when_it_runs() -> None:
    """So that `--help` and completion answer at once: no model, no SSH, no table, none of the rooms of work."""
    program = "import sys, fortress.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    found = set(loaded.stdout.split())
    assert not found & {"pydantic", "asyncssh", "rich", "jinja2", "cryptography", "yaml"}
    ours = {name for name in found if name.startswith("fortress.cli.") and not name.startswith("fortress.cli.verbs")}
    assert {name.removeprefix("fortress.cli.") for name in ours} == {
        *("base", "base.errors", "base.terminal", "base.verb", "completion", "engine", "engine.project", "main"),
        *("options", "preview", "preview.forge"),
    }


def test_modules_import_each_other_in_no_circle() -> None:
    known = modules(ROOT)
    order = graphlib.TopologicalSorter({name: {*imports(name, known)} & {*known} for name in known}).static_order()
    assert set(order) == set(known)


def test_a_class_name_means_one_thing() -> None:
    known = modules(ROOT)
    places: dict[str, list[str]] = {}
    for name, file in known.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_what_a_function_raises_is_said_in_a_section_of_its_docstring() -> None:
    prose = re.compile(r"\bRaises? [A-Z]\w+|\bRaises:[^\n]*\S")
    found = [
        f"{name}: {node.name}"
        for name, file in modules(ROOT).items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and prose.search(ast.get_docstring(node) or "")
    ]
    assert found == []


def test_fortress_and_the_command_import_no_sdk_of_the_engine() -> None:
    known = modules(ROOT)
    found = [
        f"{name}: {node.module if isinstance(node, ast.ImportFrom) else alias.name}"
        for name, file in known.items()
        if name.startswith("fortress")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if ((node.module if isinstance(node, ast.ImportFrom) else alias.name) or "").partition(".")[0].partition("_")[0]
        == "pulumi"
    ]
    assert found == []


@pytest.mark.parametrize(
    ("module", "text", "said"),
    [
        ("fortress/cli/verify/extra.py", "from fortress.cli.report import page", "imports fortress.cli.report.page"),
        ("fortress/cli/status.py", "from fortress.cli import forget", "imports fortress.cli.forget"),
        ("fortress/cli/verbs/drill.py", "from fortress.cli.verbs import restore", "imports fortress.cli.verbs.restore"),
        ("fortress/haproxy.py", "from fortress.cli.base.errors import clipped", "imports fortress.cli.base.errors"),
        (
            "components/host.py",
            "def late():\n    from fortress.settings.model import Settings",
            "fortress.settings.model",
        ),
        ("components/host.py", "from program import load", "imports program.load"),
        ("fortress/text.py", "from tests.unit import golden", "imports tests.unit"),
        ("lab/api.py", "from bench import stand", "imports bench.stand"),
    ],
)
def test_an_import_that_goes_another_way_is_found(tmp_path: Path, module: str, text: str, said: str) -> None:
    for file in modules(ROOT).values():
        there = tmp_path / file.relative_to(ROOT)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.touch()
    (tmp_path / module).write_text(f"{text}\n")
    assert [line for line in wrong(modules(tmp_path)) if said in line]
