"""A look at a host that is taken out, in any program; what it does in the stack's own is in test_stack.py."""

from __future__ import annotations

from typing import Any

import pytest

from components import Host, HostFile, look_before_removal
from tests.components.test_facts import BASTION, HOST, printed
from tests.components.test_options import EC2
from tests.doubles.pulumi_mocks import Run, run

pytestmark = pytest.mark.usefixtures("agent")


def looked(**more: Any) -> Run:
    def program() -> None:
        host = Host("one", {**HOST, **more})  # type: ignore[typeddict-item]
        note = HostFile("note", {"host": host.member, "path": "/etc/motd", "content": "x\n"})
        look_before_removal(host, note)

    return run(program, stdout=printed)


def test_it_is_removed_before_all_that_stands_on_the_host() -> None:
    done = looked(port=2222, incarnation=3)
    look = done.resources["one-answers"]
    assert look.waits >= {*done.below("one"), *done.below("note")}
    assert look.inputs["create"] == "env FORTRESS_MACHINE=one.3 true"
    assert look.inputs["environment"] == {"HOST": "one", "ADDRESS": "192.0.2.11", "PORT": "2222"}
    assert not look.retain_on_delete


def test_a_host_that_is_gone_is_not_asked_any_more() -> None:
    look = looked(gone=True).resources["one-answers"]
    assert (look.retain_on_delete, look.ignore_changes) == (True, ("create", "stdin", "environment"))


@pytest.mark.parametrize("more", [{"bastion": BASTION}, {"address": None, "host_key": None, "aws": EC2}])
def test_there_is_none_at_what_is_out_of_sight_or_goes_as_a_whole(more: dict[str, Any]) -> None:
    assert "one-answers" not in looked(**more).resources
