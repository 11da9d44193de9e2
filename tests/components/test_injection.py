"""What a program gives to components, as an attacker would: it is refused, or becomes a value and nothing more."""

from __future__ import annotations

import copy
import functools
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pulumi
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import components
from fortress import push
from tests.components.engine import BASTION_KEY, HOST_KEY, WIREGUARD_KEY, member
from tests.components.test_wireguard_mesh import FLOWS, members
from tests.doubles.pulumi_mocks import Run, plain, run

Path = tuple[str | int, ...]

ARGUMENTS: dict[str, dict[str, Any]] = {
    "Host": {
        "address": "192.0.2.11",
        "site": "oslo",
        "mesh_address": "10.100.0.1",
        "mesh_network": "10.100.0.0/24",
        "operators": ["192.0.2.10/32"],
        "user": "ops",
        "host_key": HOST_KEY,
        "bastion": {"address": "192.0.2.9", "user": "jump", "port": 22, "host_key": BASTION_KEY},
    },
    "WireGuardMesh": {"members": members(), "hubs": ["db", "edge"], "flows": FLOWS, "mtu": 1360},
    "DataFortress": {
        "host": member(),
        "database": "app",
        "user": "web",
        "password": "p",
        "clients": "10.100.0.0/24",
        "privileges": ["SELECT"],
        "volume": {"device": "/dev/nvme1n1"},
    },
    "EphemeralWorker": {
        "host": member("fra-1", mesh_address="10.100.0.2"),
        "workload": {
            "name": "app",
            "command": "/usr/bin/app --fast",
            "port": 80,
            "health": "/health",
            "packages": ["jq"],
            "files": {"/opt/app/app.py": "x\n"},
            "environment": {"GREETING": "hei"},
        },
        "clients": ["10.100.0.3"],
        "database": {"address": "10.100.0.1", "port": 3306, "name": "app", "user": "web", "ca_pem": "CA\n"},
        "database_password": "p",
    },
    "HAProxyEdge": {
        "host": member("oslo-edge", mesh_address="10.100.0.3"),
        "server_name": "www.example.org",
        "primary": {"site": "oslo", "servers": {"web": "10.100.0.4:80"}, "maxconn": 40},
        "overflow": {"site": "frankfurt", "servers": {"fra-1": "10.100.0.2:80"}, "maxconn": 40},
        "health_path": "/health",
    },
    "HostFile": {
        "host": member(),
        "path": "/etc/note",
        "content": "x\n",
        "mode": "0640",
        "owner": "root:root",
        "unit": "cron",
    },
}
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
CONTENT = {"content", "password", "database_password", "ca_pem", "/opt/app/app.py"}
"""What lands as it is, whatever it holds: a file's text, and secrets, which go by standard input."""
CHOSEN = {"/opt/app/app.py", "/etc/note"}
"""Files that may be put into any folder; all others stay in theirs, whatever they are called."""
HOSTILE = st.one_of(
    st.sampled_from(
        [
            "app; touch /tmp/x; true",
            "tcp dport 22 accept\n accept #",
            "x\n# y",
            "../../cron.d/x",
            "/etc/cron.d/x\n",
            "$(id)",
            "`id`",
            "a'b",
            'a"b',
            "%n",
            "$HOME",
            "{{ 7*7 }}",
            "10.100.0.3 accept",
            "-x",
            "--apply",
            "",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.from_regex(r"[a-z0-9./:@ -]{1,12}", fullmatch=True),
)


def texts(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all texts in arguments, and of the names in mappings that a program chooses."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, Mapping | list):
        for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            if key not in CONTENT:
                yield from texts(part, (*path, key))


NAMED: list[tuple[str, Path]] = [
    ("EphemeralWorker", ("workload", "files")),
    ("EphemeralWorker", ("workload", "environment")),
    ("HAProxyEdge", ("primary", "servers")),
    ("WireGuardMesh", ("members",)),
]
PLACES = [(component, path) for component, args in ARGUMENTS.items() for path in texts(args)]


def with_value(args: Any, path: Path, value: Any) -> Any:
    """The arguments with another value at a path."""
    changed = copy.deepcopy(args)
    place = changed
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return changed


def with_name(args: Any, path: Path, name: str) -> Any:
    """The arguments with another name for the first entry of the mapping at a path."""
    changed = copy.deepcopy(args)
    names = changed
    for part in path:
        names = names[part]
    names[name] = names.pop(next(iter(names)))
    return changed


def printed(name: str) -> str:
    return {"it-key": f"{WIREGUARD_KEY}\n", "it-facts": "1987\n", "it-authority": CA}.get(name, "")


def made(component: str, args: Callable[[], Any]) -> Run | str:
    """What the component makes, or the words in which it refuses."""

    def program() -> None:
        getattr(components, component)("it", args())

    try:
        return run(program, stdout=printed)
    except ValueError as refused:
        return str(refused)


@functools.cache
def usual(component: str) -> Run:
    done = made(component, lambda: ARGUMENTS[component])
    assert isinstance(done, Run), done
    return done


def shape(text: str) -> list[int]:
    """How many words each line has, as the file's readers take it apart: quotes hold together, comments are none.

    A workload's command has as many as it was given.
    """
    return [1 if line.startswith("ExecStart=") else len(shlex.split(line, comments=True)) for line in text.splitlines()]


def check_shape(done: Run, usual: Run) -> None:
    """There is not a resource, a command's word, a line or a word of a file more or less than there would be."""
    found = {name: one for name, one in done.resources.items() if "create" in one.inputs}
    expected = {name: one for name, one in usual.resources.items() if "create" in one.inputs}
    for (name, one), other in zip(sorted(found.items()), (expected[key] for key in sorted(expected)), strict=True):
        for verb in ("create", "delete"):
            line, meant = str(one.inputs.get(verb)), str(other.inputs.get(verb))
            assert subprocess.run(["sh", "-n", "-c", line], capture_output=True, check=False).returncode == 0, line
            assert len(shlex.split(line)) == len(shlex.split(meant)), name
            text, usual_text = (plain(made.inputs.get("stdin")) if verb == "create" else None for made in (one, other))
            parts, usual_parts = push.parts(line, text), push.parts(meant, usual_text)
            for (command, sent), (usual_command, usual_sent) in zip(parts, usual_parts, strict=True):
                check_part(name, command, usual_command)
                assert sent == usual_sent or shape(str(sent)) == shape(str(usual_sent)), name
                if ".nft" in command.render() and isinstance(command, push.Put):
                    check_rules(push.received(str(sent)))


def check_part(name: str, command: push.Command, usual_command: push.Command) -> None:
    """One thing that a resource does on a host."""
    assert len(shlex.split(command.render())) == len(shlex.split(usual_command.render())), name
    for path, usual_path in zip(push.paths(command), push.paths(usual_command), strict=True):
        folder, usual_folder = (each.rpartition("/")[0] for each in (path, usual_path))
        assert folder == usual_folder or usual_path in CHOSEN, name
    if isinstance(command, push.Push) and isinstance(usual_command, push.Push):
        assert shape(command.apply or "") == shape(usual_command.apply or ""), name


def check_rules(text: str) -> None:
    """nft reads a fragment, where it may be asked on this machine."""
    lines = f"table inet fortress {{\n chain input {{}}\n chain forward {{}}\n}}\n{text}"
    done = subprocess.run(["nft", "-c", "-f", "-"], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_outcome(component: str, done: Run | str) -> None:
    if isinstance(done, str):
        named = f'{component} "it": ' in done or re.search(r'host "[a-z0-9-]+": machine_id: ', done)
        assert named, "the error says which component refuses it, or which host"
    else:
        check_shape(done, usual(component))


@given(place=st.sampled_from(PLACES), value=HOSTILE, later=st.booleans())
@example(place=("EphemeralWorker", ("workload", "name")), value="app; touch /tmp/x; true", later=False)
@example(place=("EphemeralWorker", ("workload", "name")), value="e0", later=False)
@example(place=("WireGuardMesh", ("flows", 0, "protocol")), value="tcp dport 22 accept\n accept #", later=False)
@example(
    place=("WireGuardMesh", ("members", "fra-1", "public_key")),
    value=f"{WIREGUARD_KEY}\nAllowedIPs = 10.100.0.5/32",
    later=True,
)
@example(place=("HostFile", ("host", "machine_id")), value="\0", later=True)
@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_argument_is_refused_or_stays_one_value(place: tuple[str, Path], value: str, later: bool) -> None:
    component, path = place
    given = pulumi.Output.from_input if later else str
    done = made(component, lambda: with_value(ARGUMENTS[component], path, given(value)))
    if path == ("workload", "name") and isinstance(done, Run):
        # It is in names of resources, files and folders, which are others then: it may be nothing that needs a quote.
        assert re.fullmatch("[a-z][a-z0-9-]*[a-z0-9]", value)
    else:
        check_outcome(component, done)


@given(place=st.sampled_from(NAMED), name=HOSTILE)
@example(place=("WireGuardMesh", ("members",)), name="x\n# y")
@example(place=("WireGuardMesh", ("members",)), name="../../cron.d/x")
@example(place=("EphemeralWorker", ("workload", "files")), name="/0")
@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_name_that_a_program_chooses_is_refused_or_stays_a_name(place: tuple[str, Path], name: str) -> None:
    component, path = place
    check_outcome(component, made(component, lambda: with_name(ARGUMENTS[component], path, name)))


@pytest.mark.parametrize(
    "value", ["app; touch /tmp/x; true", "fortress-push-revert", "emergency", "sudo", "rsyslog", "cloud-init"]
)
def test_a_workload_is_refused_by_its_name_whatever_else_is_unknown(value: str) -> None:
    """An environment that comes later once had the refusal wait until the name was in commands already."""
    known = ARGUMENTS["EphemeralWorker"]
    registered = []

    def program() -> None:
        later = {"GREETING": pulumi.Output.from_input("hei")}
        args = {**known, "workload": {**known["workload"], "name": value, "environment": later}}
        with pytest.raises(ValueError, match=r'^EphemeralWorker "it": workload\.name: '):
            components.EphemeralWorker("it", args)  # type: ignore[arg-type]
        registered.append(True)

    assert dict(run(program).resources) == {}
    assert registered
