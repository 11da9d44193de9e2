"""The `fortress` command with the real engine and a real sshd: forgetting a host that is off, and SSH itself."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from fortress.cli.base.errors import CannotAskError
from fortress.cli.engine import outputs
from fortress.cli.engine import run as engine
from fortress.cli.hosts.ssh import Credentials, HostKeyError, Login, LoginError, connect, prepare
from fortress.host_keys import fingerprint
from tests.engine.command_stack import ENDS_WITH_ITS_HOST, Stack
from tests.engine.openssh import Server, generate_key, sshd
from tests.ssh_agent import ssh_agent

FORTRESS = Path(sys.executable).parent / "fortress"

# The components of a fortress as to who is whose parent, who waits for whom, and which machine a command is for.
_PROGRAM = (
    ENDS_WITH_ITS_HOST
    + """
import json
from pathlib import Path

import pulumi
from pulumi_command import remote

hosts = json.loads(Path("hosts.json").read_text())


class Component(pulumi.ComponentResource):
    def __init__(self, kind, name, host, files, opts=None):
        super().__init__(f"fortress:index:{kind}", name, {}, opts)
        needs = opts.depends_on if opts else None
        for file, text in files.items():
            last = remote.Command(
                file,
                connection=remote.ConnectionArgs(**hosts[host]),
                create=f"env FORTRESS_MACHINE={host}.1 true",
                delete=f"env FORTRESS_MACHINE={host}.1 true",
                stdin=text,
                add_previous_output_in_env=False,
                opts=pulumi.ResourceOptions(parent=self, depends_on=needs),
            )
            self.stdout = last.stdout
        self.register_outputs({})


made = {name: Component("Host", name, name, {f"{name}-key": "x"}) for name in hosts}
mesh = pulumi.ComponentResource("fortress:index:WireGuardMesh", "mesh")
members = {}
for name in hosts:
    peers = {f"mesh-{name}-peer-{other}": made[other].stdout for other in hosts if other != name}
    members[name] = Component("WireGuardMember", f"mesh-{name}", name, peers, pulumi.ResourceOptions(parent=mesh))


def on(name, *needs):
    return pulumi.ResourceOptions(depends_on=[made[name], members[name], *needs])


db = Component("DataFortress", "db", "oslo-db", {"db-account": "x"}, on("oslo-db"))
workers = [
    Component("EphemeralWorker", name, name, {f"{name}-healthy": db.stdout}, on(name, members["oslo-db"], db))
    for name in hosts
    if name.startswith("fra-")
]
Component("HAProxyEdge", "edge", "oslo-edge", {"haproxy.cfg": json.dumps(list(hosts))}, on("oslo-edge", *workers))
pulumi.export("fortress", {"hosts": list(hosts), "key": pulumi.Output.secret("hidden")})
"""
)


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[tuple[Stack, Server, contextlib.ExitStack]]:
    """A stack of three hosts that stands; fra-1 has an sshd of its own, which the exit stack turns off."""
    with sshd(tmp_path / "home") as home, contextlib.ExitStack() as power:
        away = power.enter_context(sshd(tmp_path / "away"))
        running = Stack(tmp_path / "stack")
        (running.project / "__main__.py").write_text(_PROGRAM)
        write_hosts(running, {"oslo-db": home, "oslo-edge": home, "fra-1": away})
        running.up()
        yield running, home, power


def write_hosts(running: Stack, hosts: dict[str, Server]) -> None:
    text = json.dumps({name: server.connection() for name, server in hosts.items()})
    (running.project / "hosts.json").write_text(text)


def fortress(running: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FORTRESS, *arguments],
        cwd=running.project,
        env=running.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_host_that_is_off_is_forgotten_and_the_rest_goes_on(
    standing: tuple[Stack, Server, contextlib.ExitStack],
) -> None:
    running, home, power = standing
    power.close()  # fra-1 is off for good
    before = home.logins()
    done = fortress(running, "forget", "fra-1", "--stack", "dev", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    # Its Host and key, its member and two peer files, its worker and gate.
    assert "7 resources of fra-1 will leave the state of dev" in done.stdout
    assert home.logins() == before, "nobody was contacted"
    names = {urn.rsplit("::", 1)[-1] for urn in urns(running)}
    assert {"mesh-oslo-db-peer-fra-1", "mesh-oslo-edge-peer-fra-1", "edge", "db"} <= names
    assert not {"fra-1", "fra-1-key", "mesh-fra-1", "fra-1-healthy"} & names

    write_hosts(running, {"oslo-db": home, "oslo-edge": home})
    said = running.up()
    assert "2 deleted" in said
    assert "1 updated" in said
    assert not [urn for urn in urns(running) if "fra-1" in urn]
    running.run("stack", "export")  # the engine still finds the state whole
    running.destroy()
    done = fortress(running, "ssh", "oslo-db", "--stack", "dev")
    says = "stack 'dev' is not up: never created, or destroyed; create it with `pulumi up --stack dev`"
    assert (done.returncode, done.stderr) == (2, f"fortress: {says}\n")


def test_the_database_host_is_forgotten_though_others_wait_for_it(
    standing: tuple[Stack, Server, contextlib.ExitStack],
) -> None:
    running, home, _ = standing
    before = home.logins()
    done = fortress(running, "forget", "oslo-db", "--stack", "dev", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert home.logins() == before
    # The same name comes back: what was forgotten is made again, and only that.
    assert "7 created" in running.up()


def test_what_the_engine_says_of_stacks(
    standing: tuple[Stack, Server, contextlib.ExitStack], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    running, _, _ = standing
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(running.project)
    with pytest.raises(CannotAskError, match=r"^there is no stack 'nope' in this backend; `pulumi stack ls` lists"):
        outputs.read("nope")
    running.run("stack", "init", "fresh", "--no-select")
    with pytest.raises(
        CannotAskError,
        match=r"^stack 'fresh' is not up: never created, or destroyed; create it with `pulumi up --stack",
    ):
        outputs.read("fresh")
    # Without the passphrase too: outputs are read without secrets.
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    assert engine.export("dev")["deployment"]["resources"]
    with pytest.raises(CannotAskError, match=r"^output fortress\.key of stack 'dev' is secret"):
        outputs.read("dev")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(CannotAskError, match=r"no Pulumi\.yaml here or above; run this in the folder that holds it"):
        outputs.read("dev")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere/at/all")
    with pytest.raises(CannotAskError, match=r"^pulumi: unable to open bucket file:///nowhere/at/all"):
        outputs.read("dev")


def test_ssh_to_a_real_sshd(tmp_path: Path) -> None:
    with sshd(tmp_path / "one") as server, sshd(tmp_path / "two") as other:

        def target(host_key: str = server.host_key) -> Login:
            return Login("fra-1", server.host, server.port, server.user, host_key)

        access = prepare(server.private_key, {})
        session = connect(target(), access, 10)
        done = session.run('cat; echo "$0" >&2; exit 3', text="a line\n")
        assert (done.status, done.stdout) == (3, "a line\n")
        assert done.stderr
        assert len(list(session.lines("while read -r _; do date +%s.%N; done", 3))) == 3
        # Far beyond SSH's first window, both ways.
        assert session.run("wc -c; head -c 3000000 /dev/zero | tr '\\0' x", text="y" * 3_000_000).stdout.startswith(
            "3000000\nxxx"
        )
        session.close()

        logins = server.logins()
        with pytest.raises(HostKeyError) as refused:
            connect(target(other.host_key), access, 10)
        assert refused.value.shown == fingerprint(server.host_key)
        assert refused.value.pinned == fingerprint(other.host_key)
        assert server.logins() == logins
        generate_key(tmp_path / "stranger")
        with pytest.raises(LoginError, match=f"refuses user {server.user}"):
            connect(target(), prepare(tmp_path / "stranger", {}), 10)

        many = Credentials(tuple(paramiko.ECDSAKey.generate() for _ in range(9)))
        with pytest.raises(LoginError, match="it hung up after 6 of 9 keys; name the right one with --key FILE"):
            connect(target(), many, 10)

        # `other` as the bastion: its keys are its own.
        jump = connect(
            Login("the bastion", other.host, other.port, other.user, other.host_key),
            prepare(other.private_key, {}),
            10,
        )
        assert connect(target(), access, 10, jump).run("echo behind").stdout == "behind\n"


def test_the_agent_opens_a_real_sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sshd(tmp_path / "one") as server:
        generate_key(tmp_path / "stranger")
        # A key that does not fit comes first.
        with ssh_agent(tmp_path / "agent", tmp_path / "stranger", server.private_key) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
            target = Login("fra-1", server.host, server.port, server.user, server.host_key)
            assert connect(target, prepare(None, os.environ), 10).run("echo in").stdout == "in\n"


def urns(running: Stack) -> list[str]:
    """What the state holds."""
    return [resource["urn"] for resource in running.resources()]
