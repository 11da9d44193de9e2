"""A look at hosts that are taken out, in any program; what it does in the stack's own is in test_stack.py."""

from __future__ import annotations

from typing import Any

import pytest

from components import Host, HostFile, look_before_removal
from fortress import text
from tests.components.test_facts import BASTION, HOST, printed
from tests.components.test_options import EC2
from tests.doubles.pulumi_mocks import Run, run

pytestmark = pytest.mark.usefixtures("agent")


def looked(**more: Any) -> Run:
    def program() -> None:
        hosts = [
            Host("one", {**HOST, **more}),  # type: ignore[typeddict-item]
            Host("two", {**HOST, "address": "192.0.2.12", "mesh_address": "10.9.0.9"}),
        ]
        note = HostFile("note", {"host": hosts[0].member, "path": "/etc/motd", "content": "x\n"})
        look_before_removal(hosts, note)

    return run(program, stdout=printed)


def test_it_comes_after_all_that_stands_on_the_hosts_and_goes_before() -> None:
    done = looked(port=2222)
    look = done.resources["hosts-answer"]
    assert look.waits >= {*done.below("one"), *done.below("two"), *done.below("note")}
    verbs = [look.inputs[verb] for verb in ("create", "update", "delete")]
    assert verbs == ["sh -s remember", "sh -s left", "sh -s all"]
    assert look.inputs["stdin"] == text.script("host-answers")
    assert look.inputs["environment"] == {"HOSTS": "one 192.0.2.11 2222\ntwo 192.0.2.12 22"}


def test_a_host_that_is_gone_is_not_asked_any_more() -> None:
    assert looked(gone=True).resources["hosts-answer"].inputs["environment"] == {"HOSTS": "one gone\ntwo 192.0.2.12 22"}


@pytest.mark.parametrize("more", [{"bastion": BASTION}, {"address": None, "host_key": None, "aws": EC2}])
def test_what_is_out_of_sight_or_goes_as_a_whole_is_not_asked(more: dict[str, Any]) -> None:
    assert looked(**more).resources["hosts-answer"].inputs["environment"] == {"HOSTS": "two 192.0.2.12 22"}
