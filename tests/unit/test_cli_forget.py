"""`fortress forget`: what belongs to a host, and what is left of a state without it."""

from __future__ import annotations

import copy
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fortress import push
from fortress.cli.base.errors import CannotAskError
from fortress.cli.engine.state import name_of
from fortress.cli.forget import Removal, farewell, listing, removal_of, without

FORTRESS = Path(sys.executable).parent / "fortress"
ROOT = "urn:pulumi:lab::data-fortress::pulumi:pulumi:Stack::data-fortress-lab"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:AAAA"}
"""How an export writes a secret value; the connection of a command is one."""


@dataclass
class State:
    """An exported stack, made as the engine writes it: what others depend on comes first."""

    resources: list[dict[str, Any]] = field(default_factory=lambda: [{"urn": ROOT, "type": "pulumi:pulumi:Stack"}])

    def add(self, kind: str, name: str, parent: str = ROOT, **more: Any) -> str:
        chain = "" if parent == ROOT else parent.split("::")[2] + "$"
        urn = f"urn:pulumi:lab::data-fortress::{chain}{kind}::{name}"
        self.resources.append({"urn": urn, "type": kind, "parent": parent, **more})
        return urn

    def component(self, kind: str, name: str, parent: str = ROOT, **more: Any) -> str:
        return self.add(f"fortress:index:{kind}", name, parent, custom=False, **more)

    def command(self, name: str, parent: str, machine: str, *, needs: tuple[str, ...] = (), **more: Any) -> str:
        inputs = {"connection": SECRET, "create": f"sudo {push.Put('/x', machine=machine, resource=name).render()}"}
        dependencies = {"dependencies": list(needs), "propertyDependencies": {"stdin": list(needs), "create": []}}
        return self.add(
            "command:remote:Command", name, parent, custom=True, id=name, inputs=inputs, **dependencies, **more
        )

    @property
    def exported(self) -> dict[str, Any]:
        return {"version": 3, "deployment": {"manifest": {}, "resources": self.resources, "metadata": {}}}


def standing(*, protect: bool = False, machine: bool = False) -> State:
    """The state of a fortress of three hosts, as its program makes it."""
    state = State()
    hosts, keys, members, parts = {}, {}, {}, {}
    names = ("oslo-db", "oslo-edge", "fra-1")
    for name in names:
        hosts[name] = state.component("Host", name)
        if machine and name == "fra-1":
            state.add("aws:ec2/instance:Instance", f"{name}-machine", hosts[name], custom=True, id="i-0abc")
        learnt = state.add("command:local:Command", f"{name}-host-key", hosts[name], custom=True, id=name)
        ready = f"{name}-ready"
        gate = state.command(ready, hosts[name], f"{name}.1", needs=(learnt,))
        state.resources[-1]["inputs"]["create"] = f"sudo env FORTRESS_MACHINE={name}.1 true"
        keys[name] = state.command(f"{name}-key", hosts[name], f"{name}.1", needs=(gate,))
    mesh = state.component("WireGuardMesh", "mesh")
    peers = {"oslo-db": ["fra-1"], "oslo-edge": ["fra-1"], "fra-1": ["oslo-db", "oslo-edge"]}
    for name in names:
        members[name] = state.component("WireGuardMember", f"mesh-{name}", mesh)
        parts[name] = [state.command(f"mesh-{name}-mtu", members[name], f"{name}.1", needs=(keys[name],))]
        for peer in peers[name]:
            needs = (keys[name], keys[peer])
            parts[name].append(state.command(f"mesh-{name}-peer-{peer}", members[name], f"{name}.1", needs=needs))
    before = [keys["oslo-db"], *parts["oslo-db"]]
    database = state.component("DataFortress", "db", dependencies=before)
    account = state.command("db-account", database, "oslo-db.1", needs=tuple(before), protect=protect)
    before = [keys["fra-1"], *parts["fra-1"], *parts["oslo-db"], account]
    worker = state.component("EphemeralWorker", "fra-1", dependencies=before, deletedWith=hosts["fra-1"])
    healthy = state.command("fra-1-healthy", worker, "fra-1.1", needs=tuple(before))
    before = [keys["oslo-edge"], *parts["oslo-edge"], healthy]
    edge = state.component("HAProxyEdge", "edge", dependencies=before)
    state.command("edge-haproxy.cfg", edge, "oslo-edge.1", needs=(*before, keys["fra-1"]))
    # Of an older version, which had one a host; and today's, with all.
    looked = {"create": push.for_machine("fra-1.1", *push.READY)}
    state.add("command:local:Command", "fra-1-answers", custom=True, id="fra-1", inputs=looked, dependencies=[healthy])
    seen = {"environment": {"HOSTS": "oslo-db 192.0.2.11 22\nfra-1 203.0.113.21 22"}}
    told = {**seen, "stdout": seen["environment"]["HOSTS"]}
    look: dict[str, Any] = {
        "custom": True,
        "id": "all",
        "inputs": {"create": "sh -s remember", **seen},
        "outputs": told,
    }
    state.add("command:local:Command", "hosts-answer", **look, dependencies=[healthy])
    return state


def names(found: Removal) -> list[str]:
    return [f"{resource['type'].rsplit(':')[-1]} {name_of(resource['urn'])}" for resource in found.resources]


def planned(state: State, host: str) -> Removal:
    return removal_of(state.exported["deployment"], host)


def test_a_worker_leaves_with_its_host_mesh_files_and_services() -> None:
    assert sorted(names(planned(standing(), "fra-1"))) == [
        "Command fra-1-answers",
        "Command fra-1-healthy",
        "Command fra-1-host-key",
        "Command fra-1-key",
        "Command fra-1-ready",
        "Command mesh-fra-1-mtu",
        "Command mesh-fra-1-peer-oslo-db",
        "Command mesh-fra-1-peer-oslo-edge",
        "EphemeralWorker fra-1",
        "Host fra-1",
        "WireGuardMember mesh-fra-1",
    ]


def test_what_other_hosts_know_of_it_stays_for_the_next_up() -> None:
    left = without(standing().exported, planned(standing(), "fra-1"))["deployment"]["resources"]
    stays = {name_of(resource["urn"]) for resource in left}
    assert {"mesh-oslo-db-peer-fra-1", "mesh-oslo-edge-peer-fra-1", "edge", "edge-haproxy.cfg", "db", "mesh"} <= stays


def test_a_host_that_is_forgotten_is_not_looked_at_when_it_has_left() -> None:
    left = without(standing().exported, planned(standing(), "fra-1"))["deployment"]["resources"]
    (look,) = [resource for resource in left if name_of(resource["urn"]) == "hosts-answer"]
    assert look["inputs"]["environment"] == look["outputs"]["environment"] == {"HOSTS": "oslo-db 192.0.2.11 22"}
    assert look["outputs"]["stdout"] == "oslo-db 192.0.2.11 22"


def test_the_database_host_takes_its_database_but_not_the_workers() -> None:
    found = names(planned(standing(), "oslo-db"))
    assert {"DataFortress db", "Command db-account", "Host oslo-db"} <= set(found)
    assert not [name for name in found if "fra-1" in name and not name.startswith("Command mesh-oslo-db-")]


def test_those_that_depend_on_others_go_first() -> None:
    for host in ("fra-1", "oslo-db", "oslo-edge"):
        found = planned(standing(), host)
        order = [resource["urn"] for resource in found.resources]
        for resource in found.resources:
            for needed in (*resource.get("dependencies", ()), resource["parent"]):
                assert needed not in order or order.index(resource["urn"]) < order.index(needed)


def test_nothing_that_stays_mentions_what_left() -> None:
    state = standing()
    exported = state.exported
    exported["deployment"]["pending_operations"] = [
        {"resource": state.resources[-3], "type": "updating"},
        {"resource": next(r for r in state.resources if name_of(r["urn"]) == "fra-1-key"), "type": "creating"},
    ]
    before = copy.deepcopy(exported)
    removal = planned(state, "fra-1")
    urns, left = removal.urns, without(exported, removal)
    text = json.dumps(left)
    for urn in urns:
        assert json.dumps(urn) not in text
    assert len(left["deployment"]["pending_operations"]) == 1
    assert exported == before, "the export itself is not changed"
    # Everything else is as it was.
    edge = next(r for r in left["deployment"]["resources"] if name_of(r["urn"]) == "edge-haproxy.cfg")
    assert edge["inputs"]["connection"] == SECRET
    assert edge["propertyDependencies"].keys() == {"stdin", "create"}
    assert left["version"] == 3


def test_what_is_deleted_with_a_host_goes_even_if_no_command_names_its_machine() -> None:
    state = standing()
    host = next(r["urn"] for r in state.resources if r["type"] == "fortress:index:Host" and r["urn"].endswith("fra-1"))
    provider = state.add("pulumi:providers:aws", "of-fra-1", host, custom=True, id="p")
    state.add("aws:ec2/volumeAttachment:VolumeAttachment", "attached", deletedWith=host, custom=True, id="v")
    state.add("aws:ec2/tag:Tag", "made-by-it", provider=f"{provider}::p", custom=True, id="t")
    found = names(planned(state, "fra-1"))
    assert {"VolumeAttachment attached", "Tag made-by-it"} <= set(found)


def test_a_file_that_was_put_on_the_host_by_hand_goes_with_it() -> None:
    state = standing()
    for host in ("fra-1", "fra-11"):
        state.command(f"motd-{host}-push", state.component("HostFile", f"motd-{host}"), f"{host}.1")
    found = names(planned(state, "fra-1"))
    assert "HostFile motd-fra-1" in found
    assert "HostFile motd-fra-11" not in found
    assert "Command motd-fra-11-push" not in found


def test_a_component_with_something_else_in_it_stays_with_that() -> None:
    """A database's volume in a cloud outlives the machine, and is what must not be forgotten."""
    state = standing()
    database = next(r["urn"] for r in state.resources if name_of(r["urn"]) == "db")
    state.add("openstack:blockstorage/volume:Volume", "db-data", database, custom=True, id="vol", protect=True)
    found = planned(state, "oslo-db")
    assert "Command db-account" in names(found)
    assert "DataFortress db" not in names(found)
    assert found.protected == []


def test_an_unknown_host_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(CannotAskError, match=r"^the state has no host 'fra-9'; it has fra-1, oslo-db, oslo-edge$"):
        planned(standing(), "fra-9")
    with pytest.raises(CannotAskError, match="it has none"):
        planned(State(), "fra-1")


def test_words_before_and_after() -> None:
    found = planned(standing(machine=True), "fra-1")
    text = listing("lab", found)
    assert text.startswith(f"{len(found.resources)} resources of fra-1 will leave the state of lab, in this order:\n")
    assert "  fortress:index:Host  fra-1\n" in text
    done = farewell("org/data-fortress/lab", found)
    assert "remove fra-1 from hosts in Pulumi.lab.yaml, or raise its incarnation" in done
    assert "aws:ec2/instance:Instance  fra-1-machine  i-0abc" in done
    assert "delete what this stack made" not in farewell("lab", planned(standing(), "fra-1"))
    assert "  command:remote:Command  db-account  (protected)" in listing(
        "lab", planned(standing(protect=True), "oslo-db")
    )


# The command itself, with an engine that keeps its state in a file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`pulumi` on PATH, in the words of the engine: `stack export` prints state.json, `stack import` replaces it."""
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(
        "#!/bin/sh\n"
        f'cd {tmp_path}; echo "$*" >>asked\n'
        'case "$*" in\n'
        '"stack export --stack lab "*) cat state.json ;;\n'
        '"stack import --stack lab "*) [ ! -e refuse ] || { cat refuse >&2; exit 1; }; cat >state.json ;;\n'
        "*) echo \"error: no stack named 'nope' found\" >&2; exit 6 ;;\nesac\n"
    )
    pulumi.chmod(0o755)
    (tmp_path / "state.json").write_text(json.dumps(standing().exported))
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"PATH": f"{folder}:/usr/bin:/bin"}


def forget(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FORTRESS, "forget", *arguments],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def state(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "state.json").read_text())
    assert isinstance(found, dict)
    return found


def test_forgets_and_says_what_is_left_to_do(folder: Path) -> None:
    done = forget(folder, "fra-1", "--stack", "lab", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert "11 resources of fra-1 will leave the state of lab" in done.stdout
    assert "fra-1 was removed from the state of lab; it was not contacted" in done.stdout
    assert state(folder) == without(standing().exported, planned(standing(), "fra-1"))
    again = forget(folder, "fra-1", "--stack", "lab", "--yes")
    assert (again.returncode, again.stderr) == (
        2,
        "fortress: the state has no host 'fra-1'; it has oslo-db, oslo-edge\n",
    )


def test_without_yes_it_lists_and_changes_nothing(folder: Path) -> None:
    done = forget(folder, "fra-1", "--stack", "lab")
    assert done.returncode == 1
    assert "  fortress:index:Host  fra-1\n" in done.stdout
    assert done.stderr == "fortress: nothing was written; use --yes to do it without confirmation\n"
    assert state(folder) == standing().exported


@pytest.mark.parametrize(("said", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1), ("\x03", 130)])
def test_asks_on_a_terminal(folder: Path, said: str, status: int) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(FORTRESS, ["fortress", "forget", "fra-1", "--stack", "lab"], environment(folder))  # noqa: S606
    seen = b""
    while b"Forget fra-1? [y/N] " not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, said.encode())
    try:
        while part := os.read(terminal, 4096):
            seen += part
    except OSError:
        pass  # how a terminal tells that the other side is gone
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    assert (state(folder) == standing().exported) is (status != 0)
    assert b"Traceback" not in seen


def test_what_is_protected_stays(folder: Path) -> None:
    (folder / "state.json").write_text(json.dumps(standing(protect=True).exported))
    done = forget(folder, "oslo-db", "--stack", "lab", "--yes")
    assert done.returncode == 1
    assert "first run\n  pulumi state unprotect --stack lab 'urn:pulumi:lab::data-fortress::" in done.stderr
    assert state(folder) == standing(protect=True).exported


def test_a_state_that_changed_meanwhile_stays(folder: Path) -> None:
    """Somebody's `up` ends between our reading and our writing."""
    changing = (folder / "pulumi").read_text().replace("cat state.json", "cat state.json; echo ' ' >>state.json")
    changing = changing.replace("echo ' ' >>state.json", "sed -i s/i-0abc/i-0abd/ state.json")
    (folder / "pulumi").write_text(changing)
    (folder / "state.json").write_text(json.dumps(standing(machine=True).exported))
    done = forget(folder, "oslo-edge", "--stack", "lab", "--yes")
    assert (done.returncode, done.stderr) == (
        1,
        "fortress: the state changed in the meantime; nothing was written, run this again\n",
    )
    assert "import" not in (folder / "asked").read_text()


def test_a_state_that_the_engine_refuses_stays(folder: Path) -> None:
    (folder / "refuse").write_text("error: could not deserialize deployment: unknown resource type\n")
    done = forget(folder, "fra-1", "--stack", "lab", "--yes")
    assert done.returncode == 1
    assert done.stderr == (
        "fortress: the engine refused the state without fra-1: pulumi: could not deserialize deployment: "
        "unknown resource type\n"
    )
    assert state(folder) == standing().exported


def test_a_state_that_somebody_else_holds_stays(folder: Path) -> None:
    (folder / "refuse").write_text("error: the stack is currently locked by 1 lock(s)\n")
    done = forget(folder, "fra-1", "--stack", "lab", "--yes")
    assert done.returncode == 1
    assert "stack 'lab' is locked by another `pulumi`; wait for it" in done.stderr
    assert state(folder) == standing().exported


def test_an_unknown_stack_and_one_that_never_stood(folder: Path) -> None:
    done = forget(folder, "fra-1", "--stack", "nope")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fortress: there is no stack 'nope' in this backend")
    (folder / "state.json").write_text('{"version": 3, "deployment": {"manifest": {}, "metadata": {}}}')
    done = forget(folder, "fra-1", "--stack", "lab")
    assert (done.returncode, done.stderr) == (
        2,
        "fortress: stack 'lab' is not up: never created, or destroyed; create it with `pulumi up --stack lab`\n",
    )
