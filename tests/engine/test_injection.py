"""What a program gives to components, as an attacker would: it is refused, or becomes a value and nothing more.

Whatever is accepted is also read by the programs that read it on a host: sh, nft, and of both releases of Debian
HAProxy and systemd.
"""

from __future__ import annotations

import contextlib
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
from fortress import backup, galera, haproxy, mariadb, monitoring, push, replication
from lab.base.folders import RELEASES
from tests.components.engine import BASTION_KEY, HOST_KEY, WIREGUARD_KEY, member
from tests.components.test_wireguard_mesh import FLOWS, members
from tests.doubles.pulumi_mocks import Run, plain, run
from tests.engine.readers import UNITS, Readers, readers
from tests.unit import test_workload as unit

Path = tuple[str | int, ...]

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
SERVERS = {
    "oslo-db": {"address": "10.100.0.1", "ca_pem": CA},
    "oslo-db2": {"address": "10.100.0.6", "ca_pem": CA},
}
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
        "backup": {
            "site": "oslo",
            "password": "the key of all backups",
            "directory": "/srv/backup",
            "daily_at": "02:30",
        },
    },
    "DatabaseReplica": {
        "host": member(),
        "servers": SERVERS,
        "network": "10.100.0.0/24",
        "password": "p",
        "first": True,
        "endpoint": "10.100.0.1:3306",
    },
    "DatabaseReplica of a cluster": {
        "host": member(),
        "servers": SERVERS,
        "network": "10.100.0.0/24",
        "cluster": ["10.100.0.1", "10.100.0.6", "10.100.0.3"],
        "witness": {"address": "10.100.0.3", "ca_pem": CA},
        "first": True,
        "endpoint": "10.100.0.1:3306",
    },
    "DatabaseWitness": {
        "host": member("oslo-edge", mesh_address="10.100.0.3"),
        "servers": SERVERS,
        "members": ["10.100.0.1", "10.100.0.6", "10.100.0.3"],
    },
    "HostExporters": {"host": member(), "scrapers": ["10.100.0.3"], "database": True},
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
    "EphemeralWorker of several servers": {
        "host": member("fra-1", mesh_address="10.100.0.2"),
        "workload": {"name": "app", "command": "/usr/bin/app", "port": 80, "health": "/health"},
        "clients": ["10.100.0.3"],
        "database": {
            "address": "10.100.0.1",
            "port": 3306,
            "name": "app",
            "user": "web",
            "ca_pem": "CA\n",
            "servers": {name: server["address"] for name, server in SERVERS.items()},
        },
        "database_password": "p",
    },
    "HAProxyEdge": {
        "host": member("oslo-edge", mesh_address="10.100.0.3"),
        "server_name": "www.example.org",
        "other_names": ["example.org"],
        "home_paths": ["/own"],
        "home_methods": ["POST"],
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
"""By component, and what else tells it from another of that kind."""
CONTENT = {"content", "password", "database_password", "ca_pem", "/opt/app/app.py"}
"""What lands as it is, whatever it holds: a file's text, and secrets, which go by standard input."""
CHOSEN = {"/opt/app/app.py", "/etc/note"}
"""Files that may be put into any folder; all others stay in theirs, whatever they are called."""
COMMAND = r"""/usr/bin/app '; touch /tmp/x' ; 'a"b\\' %n $HOME "\${HOME}" {{ 7*7 }} '# x' "it's" """
"""One that is right, and full of what a unit's reader would take for something else."""
WORDS = st.sampled_from(
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
        COMMAND,
    ]
)
HOSTILE = st.one_of(
    WORDS,
    WORDS.map("/{}".format),  # as a path
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
    ("EphemeralWorker of several servers", ("database", "servers")),
    ("DatabaseReplica", ("servers",)),
    ("DatabaseWitness", ("servers",)),
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
        getattr(components, component.partition(" ")[0])("it", args())

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

    A workload's command has as many as it was given, and a unit's description is prose.
    """
    whole = ("ExecStart=", "Description=")
    return [1 if line.startswith(whole) else len(shlex.split(line, comments=True)) for line in text.splitlines()]


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


def landed(done: Run) -> dict[str, str]:
    """Every file that lands, by path."""
    found = {}
    for one in done.resources.values():
        if "create" in one.inputs and one.inputs.get("stdin") is not None:
            for command, sent in push.parts(str(one.inputs["create"]), str(plain(one.inputs["stdin"]))):
                if isinstance(command, push.Put):
                    found[command.path] = push.received(str(sent))
    return found


def check_readers(args: Any, done: Run, hosts: list[Readers]) -> None:
    """HAProxy and systemd take what they get, and a workload has the words and the environment that were given."""
    files = landed(done)
    programs = check_workload(args["workload"], files) if "workload" in args else ()
    for host in hosts:
        assert host.objections(frozenset(files.items()), programs) == ""


def check_workload(work: Any, files: Mapping[str, str]) -> tuple[str, ...]:
    """A unit says what was meant; gives the program that it starts."""
    text = files[f"{UNITS}{work['name']}.service"]
    (command,) = unit.values(text, "ExecStart")
    meant = shlex.split(work["command"])
    assert [unit.variables(unit.specifiers(word)) for word in unit.words(command)] == meant
    assignments = [unit.words(value) for value in unit.values(text, "Environment")]
    found = dict(unit.specifiers(word).split("=", 1) for (word,) in assignments)
    assert work.get("environment", {}).items() <= found.items()
    return (meant[0],)


def check_outcome(component: str, done: Run | str, args: Any, hosts: list[Readers]) -> None:
    if isinstance(done, str):
        named = f'{component.partition(" ")[0]} "it": ' in done
        assert named or re.search(r'host "[a-z0-9-]+": machine_id: ', done), (
            "the error says which component refuses it, or which host"
        )
    else:
        check_shape(done, usual(component))
        check_readers(args, done, hosts)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Readers]]:
    """HAProxy and systemd of each release of Debian."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(readers(tmp_path_factory.mktemp(release), release)) for release in RELEASES]


@pytest.mark.parametrize("component", ARGUMENTS)
def test_what_is_usual_is_taken(hosts: list[Readers], component: str) -> None:
    check_readers(ARGUMENTS[component], usual(component), hosts)


@pytest.mark.parametrize(
    ("component", "path", "right", "wrong", "said"),
    [
        ("HAProxyEdge", haproxy.CONFIG_PATH, "default_backend oslo", "default_backend other", "'other'"),
        (
            "EphemeralWorker of several servers",
            haproxy.CONFIG_PATH,
            "verifyhost ",
            "verify-host ",
            "verify-host",
        ),
        ("EphemeralWorker", f"{UNITS}app.service", "Type=exec", "Type=twice", "twice"),
        ("EphemeralWorker", f"{UNITS}app.service", "ExecStart=/usr/bin/app", "ExecStart=/usr/bin/other", "other"),
        ("DatabaseWitness", galera.WITNESS_UNIT_PATH, 'options "', "options '", "Unbalanced quoting"),
        ("DatabaseReplica", replication.UNIT_PATH, "UMask=0007", "UMask=9", "Failed to parse"),
        ("DataFortress", backup.SERVICE_PATH, "ReadWritePaths=/", "ReadWritePaths=", "not absolute"),
        ("DataFortress", backup.TIMER_PATH, "OnCalendar=", "OnCalendar=x", "Failed to parse"),
        ("DataFortress", mariadb.DROP_IN_PATH, "Restart=", "Restarts=", "Unknown key"),
        ("HostExporters", monitoring.drop_in_path(monitoring.NODE), "Restart=", "Restarts=", "Unknown key"),
        ("HostExporters", monitoring.drop_in_path(monitoring.MYSQLD), "Restart=", "Restarts=", "Unknown key"),
        ("HostExporters", f"{UNITS}{monitoring.FIGURES_TIMER}", "AccuracySec=1s", "AccuracySec=x", "Failed to parse"),
    ],
)
def test_what_would_not_be_taken_is_found(
    hosts: list[Readers], component: str, path: str, right: str, wrong: str, said: str
) -> None:
    files = landed(usual(component))
    assert right in files[path]
    files[path] = files[path].replace(right, wrong)
    for host in hosts:
        assert said in host.objections(frozenset(files.items()), ("/usr/bin/app",))


@pytest.mark.parametrize("component", ARGUMENTS)
def test_a_word_that_only_its_reader_refuses_is_refused_in_every_place(hosts: list[Readers], component: str) -> None:
    """What changes neither lines nor words: the search below comes to few places with it."""
    for path in (path for each, path in PLACES if each == component):
        for value in ("-x", "%n", "a;b"):
            args = with_value(ARGUMENTS[component], path, value)
            check_outcome(component, made(component, lambda args=args: args), args, hosts)  # type: ignore[misc]


@given(place=st.sampled_from(PLACES), value=HOSTILE, later=st.booleans())
@example(place=("EphemeralWorker", ("workload", "name")), value="app; touch /tmp/x; true", later=False)
@example(place=("EphemeralWorker", ("workload", "name")), value="e0", later=False)
@example(place=("EphemeralWorker", ("workload", "command")), value=COMMAND, later=False)
@example(place=("EphemeralWorker", ("workload", "environment", "GREETING")), value=COMMAND, later=True)
@example(place=("WireGuardMesh", ("flows", 0, "protocol")), value="tcp dport 22 accept\n accept #", later=False)
@example(
    place=("WireGuardMesh", ("members", "fra-1", "public_key")),
    value=f"{WIREGUARD_KEY}\nAllowedIPs = 10.100.0.5/32",
    later=True,
)
@example(place=("HostFile", ("host", "machine_id")), value="\0", later=True)
@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_argument_is_refused_or_stays_one_value(
    hosts: list[Readers], place: tuple[str, Path], value: str, later: bool
) -> None:
    component, path = place
    given = pulumi.Output.from_input if later else str
    args = with_value(ARGUMENTS[component], path, value)
    done = made(component, lambda: with_value(ARGUMENTS[component], path, given(value)))
    if path == ("workload", "name") and isinstance(done, Run):
        # It is in names of resources, files and folders, which are others then: it may be nothing that needs a quote.
        assert re.fullmatch("[a-z][a-z0-9-]*[a-z0-9]", value)
        check_readers(args, done, hosts)
    else:
        check_outcome(component, done, args, hosts)


@given(place=st.sampled_from(NAMED), name=HOSTILE)
@example(place=("WireGuardMesh", ("members",)), name="x\n# y")
@example(place=("WireGuardMesh", ("members",)), name="../../cron.d/x")
@example(place=("EphemeralWorker", ("workload", "files")), name="/0")
@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_name_that_a_program_chooses_is_refused_or_stays_a_name(
    hosts: list[Readers], place: tuple[str, Path], name: str
) -> None:
    component, path = place
    args = with_name(ARGUMENTS[component], path, name)
    check_outcome(component, made(component, lambda: args), args, hosts)


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
