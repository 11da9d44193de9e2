"""Options that only the engine acts on: a program's transforms reach what a component makes, its aliases keep it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.engine.command_stack import Stack

_HOST = """{
    "name": "a",
    "site": "home",
    "address": "192.0.2.11",
    "port": 22,
    "user": "debian",
    "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    "machine_id": "a.1",
    "mesh_address": "10.9.0.1",
    "public_key": "",
    "ram_mb": 512,
    "gone": True,
}"""
"""Of a machine that is gone, so that an update contacts nobody."""

_PROGRAM = f"""
import pulumi
from pulumi_fortress import HostFile

HOST = {_HOST}


def patient(args):
    if args.type_ != "command:remote:Command":
        return None
    timeouts = pulumi.CustomTimeouts(create="7m")
    opts = pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(custom_timeouts=timeouts))
    return pulumi.ResourceTransformResult(props={{**args.props, "stdin": "transformed"}}, opts=opts)


HostFile(
    "motd",
    {{"host": HOST, "path": "/etc/motd", "content": "Welcome"}},
    pulumi.ResourceOptions(OPTIONS),
)
"""


def planned(stack: Stack) -> dict[str, dict[str, Any]]:
    log = stack.run("preview", "--json")
    return {step["urn"].split("::")[-1]: step for step in json.loads(log[log.index("{\n") :])["steps"]}


def test_transforms_of_a_component_reach_what_it_makes(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    (stack.project / "__main__.py").write_text(_PROGRAM.replace("OPTIONS", "transforms=[patient]"))
    pushed = planned(stack)["motd-push"]["newState"]
    assert pushed["inputs"]["stdin"] == "transformed"
    assert pushed["customTimeouts"]["create"] == 7 * 60


def test_a_component_renamed_with_an_alias_stays(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    program = stack.project / "__main__.py"
    program.write_text(_PROGRAM.replace("OPTIONS", ""))
    stack.up()
    text = _PROGRAM.replace('"motd"', '"welcome"')
    program.write_text(text.replace("OPTIONS", 'aliases=[pulumi.Alias(name="motd")]'))
    # What stays as it is stands in no plan.
    assert {name for name in planned(stack) if name != "double-dev"} == set()
    program.write_text(text.replace("OPTIONS", ""))
    assert planned(stack)["motd-push"]["op"] == "delete"
