"""The order in which the engine replaces a machine that a volume is mounted on, with local commands in its place.

The options are those that components/data_volume.py sets (tests/components looks at them there).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.command_stack import Command, Stack, output

REPLACED = {"delete_before_replace": True}


def note(log: Path, what: str) -> str:
    return f"echo {what} $GENERATION >>{log}"


class Machine:
    """A stack with a machine, its volume's attachment and mount, and a service there."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.stack = Stack(folder / "stack")

    def state(self, generation: str, *, gone: bool = False, lost: bool = False) -> None:
        """Sets what the program makes. A machine that is `lost` makes the mount's deletion fail."""
        machine = Command(
            "machine",
            "local",
            {
                "create": f"{note(self.log, 'create machine')}; echo machine-$GENERATION",
                "delete": note(self.log, "delete machine"),
                "environment": {"GENERATION": generation},
                "triggers": [generation],
            },
            REPLACED,
        )
        attached = Command(
            "attached",
            "local",
            {
                "create": note(self.log, "attach"),
                "delete": note(self.log, "detach"),
                "environment": {"GENERATION": output("machine.stdout")},
                "triggers": [output("machine.stdout")],
            },
            REPLACED,
        )
        dead = "false; " if lost else ""
        ignored = ["create", "delete", "environment", "stdin", "triggers"]
        mounted = Command(
            "mounted",
            "local",
            {
                "create": None if gone else note(self.log, "mount"),
                "delete": None if gone else f"{dead and 'exit 1; '}{note(self.log, 'unmount')}",
                "environment": {"GENERATION": output("machine.stdout")},
                "stdin": output("attached.stderr"),
                "triggers": [output("machine.stdout")],
            },
            {**REPLACED, **({"retain_on_delete": True, "ignore_changes": ignored} if gone else {})},
        )
        service = Command(
            "service",
            "local",
            {
                "create": note(self.log, "set up"),
                "delete": note(self.log, "take down"),
                "environment": {"GENERATION": output("machine.stdout")},
                "stdin": output("mounted.stderr"),
            },
        )
        self.stack.program(machine, attached, mounted, service)

    def up(self, *, fails: bool = False) -> list[str]:
        """What was done, in order."""
        self.log.write_text("")
        self.stack.up(fails=fails)
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_another_machine_is_given_the_volume_after_a_clean_end_of_the_first(machine: Machine) -> None:
    machine.state("1")
    assert machine.up() == ["create machine 1", "attach machine-1", "mount machine-1", "set up machine-1"]
    machine.state("2")
    assert machine.up() == [
        "unmount machine-1",
        "detach machine-1",
        "delete machine 1",
        "create machine 2",
        "attach machine-2",
        "mount machine-2",
        "set up machine-2",
    ]
    assert machine.up() == []


def test_a_mount_that_cannot_be_undone_keeps_the_machine(machine: Machine) -> None:
    machine.state("1", lost=True)
    machine.up()
    machine.state("2", lost=True)
    assert machine.up(fails=True) == []


def test_a_machine_that_is_lost_gives_its_place_after_an_up_with_gone(machine: Machine) -> None:
    machine.state("1", lost=True)
    machine.up()
    machine.state("1", gone=True)
    assert machine.up() == []
    machine.state("2")
    done = machine.up()
    assert "unmount machine-1" not in done
    assert done[-3:] == ["attach machine-2", "mount machine-2", "set up machine-2"]
