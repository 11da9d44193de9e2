"""The stack's own program under a double of the engine: what the lab's settings make, and what stops it at once."""

from __future__ import annotations

import functools
import json
import shlex
import socket
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fortress import access, push
from fortress.facts import parse as parse_output
from fortress.settings.parse import SettingsError, parse
from fortress.settings.secrets import SECRETS
from tests.components import whole_stack
from tests.components.engine import LOCAL, REMOTE, files, sent, ssh_key
from tests.components.whole_stack import PASSWORD, PEM, PRIVATE, commands, made_of, made_once, part_of_mesh, serving
from tests.doubles.pulumi_mocks import Registration, Run, holds_unknown, plain, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Secret
from tests.keys import wireguard_key
from tests.unit.stack_file import GONE, KEY, ROOT, changed, lab

HOSTS: dict[str, dict[str, Any]] = lab()["hosts"]
WORKERS = ["oslo-web", "fra-1", "fra-2"]

pytestmark = pytest.mark.usefixtures("agent")


def fortress(
    changes: Mapping[str, Any] | None = None,
    *,
    preview: bool = False,
    secrets: Mapping[str, str] | None = None,
) -> Run:
    return made_once(changed(changes or {}), secrets or {}, preview)


def host_of(found: Registration) -> str:
    """The host that a command goes to, by its address."""
    places = {host["address"]: name for name, host in HOSTS.items()}
    return places[str(plain(found.inputs["connection"])["host"])]


def test_the_components_of_the_lab() -> None:
    components = {name: found.type for name, found in fortress().children(None).items() if found.type != LOCAL}
    assert components == {
        **dict.fromkeys(HOSTS, "fortress:index:Host"),
        "mesh": "fortress:index:WireGuardMesh",
        "db": "fortress:index:DataFortress",
        **{f"app-{name}": "fortress:index:EphemeralWorker" for name in WORKERS},
        "db-passwords": "fortress:index:PasswordRotation",
        "edge": "fortress:index:HAProxyEdge",
    }


def test_how_many_commands_go_to_each_host() -> None:
    """Host 3 (memory is given); mesh: files, and peers that dial a hub; database 4 and 1, worker 3, edge 3."""
    done = fortress()
    assert Counter(map(host_of, commands(done).values())) == {
        "oslo-db": 3 + (1 + 3) + 4 + 1,
        "oslo-edge": 3 + (1 + 3) + 3,
        **dict.fromkeys(WORKERS, 3 + 1 + 3),
    }
    assert sorted(name for name, found in done.resources.items() if found.type == LOCAL) == sorted(
        ["hosts-answer", *(f"{name}-host-key" for name in HOSTS)]
    )


def test_hosts_are_looked_at_before_anything_is_removed_from_them() -> None:
    """What depends on all that stands on the hosts is removed first, or updated last."""
    done = fortress()
    looked = done.resources["hosts-answer"]
    assert looked.waits >= {name for name, found in done.resources.items() if found.type == REMOTE}
    where = "\n".join(f"{name} {HOSTS[name]['address']} 22" for name in HOSTS)
    assert looked.inputs["environment"] == {"HOSTS": where}
    assert not any("hosts-answer" in found.waits for found in done.resources.values()), "nothing waits for it"
    lost = fortress({"hosts/fra-2/gone": True}).resources["hosts-answer"]
    assert lost.inputs["environment"] == {"HOSTS": where.replace("fra-2 203.0.113.22 22", "fra-2 gone")}
    keys = {f"hosts/{name}/host_key": KEY for name in HOSTS}
    behind = fortress({**keys, "ssh/bastion": {"address": "198.51.100.1", "host_key": KEY}})
    assert "hosts-answer" not in behind.resources, "they are out of sight"


def test_each_component_speaks_to_its_own_host_with_the_pinned_key() -> None:
    done = fortress()
    places = {"db": "oslo-db", "db-passwords": "oslo-db", "edge": "oslo-edge"}
    places |= {f"app-{name}": name for name in WORKERS} | {name: name for name in HOSTS}
    for name, found in commands(done).items():
        assert found.parent is not None
        host = places.get(found.parent) or next(host for host in HOSTS if name in part_of_mesh(done, host))
        assert host_of(found) == host, name
        assert plain(found.inputs["connection"])["hostKey"] == ssh_key(len(f"{host}-host-key")), name
        assert plain(found.inputs["connection"])["user"] == "ops", name
        assert f"{host}.1" in str(found.inputs["create"]), name


def test_services_come_after_their_host_and_what_serves_after_its_part_of_the_mesh() -> None:
    done = fortress()
    places = {"db": "oslo-db", "edge": "oslo-edge", **{f"app-{name}": name for name in WORKERS}}
    every = serving().union(*map(serving, WORKERS))
    assert every < set(done.resources)
    for component, host in places.items():
        for name in done.children(component):
            assert {f"{host}-wg0.conf", f"{host}-key"} <= done.before(name), name
            assert (part_of_mesh(done, host) <= done.before(name)) == (name in every), name


def test_workers_come_after_the_database_and_the_edge_after_the_workers() -> None:
    done = fortress()
    database, mesh = set(done.children("db")), part_of_mesh(done, "oslo-db")
    rollout = ["fra-1", "fra-2", "oslo-web"]
    for place, worker in enumerate(rollout):
        does = push.parts(str(done.resources[f"{worker}-push"].inputs["create"]), None)
        assert [command for command, _ in does if isinstance(command, push.Packages)] == [
            push.Packages(machine=f"{worker}.1", names=("nftables", "wireguard-tools", "python3", "python3-pymysql"))
        ], "which are installed meanwhile"
        for name in serving(worker):
            assert database | mesh <= done.before(name), name
            healthy = {other for other in WORKERS if f"app-{other}-healthy" in done.before(name) - {name}}
            assert healthy - {worker} == set(rollout[:place]), "one after the other, the primary site last"
    for name in done.children("edge"):
        waits = {f"app-{worker}-healthy" for worker in WORKERS} <= done.before(name)
        assert waits == (name in serving()), name


def test_workers_come_up_side_by_side_where_there_is_nothing_to_lose() -> None:
    done = made_of(changed({}), has_come_up=False)
    for worker in WORKERS:
        others = {name for other in WORKERS if other != worker for name in done.children(f"app-{other}")}
        for name in serving(worker):
            assert "db-account" in done.before(name), name
            assert not done.before(name) & others, name
    assert {f"app-{worker}-healthy" for worker in WORKERS} <= done.before("edge-files")


def test_a_state_that_cannot_be_read_counts_as_something_to_lose() -> None:
    done = made_of(changed({}), has_come_up=None)
    assert "app-fra-1-healthy" in done.before("app-fra-2-files")


def test_hosts_wait_for_nobody_and_the_mesh_for_no_service() -> None:
    done = fortress()
    for host in HOSTS:
        for name in done.children(host):
            assert done.before(name) <= set(done.children(host)), name
    services = {name for parent in ("db", "edge", *(f"app-{w}" for w in WORKERS)) for name in done.children(parent)}
    for name in done.below("mesh"):
        assert not done.before(name) & services, name


def test_outputs() -> None:
    done = fortress()
    assert {name: seen.secret for name, seen in done.outputs.items()} == {
        "url": False,
        "fortress": False,
        "sovereignty": False,
    }
    assert done.outputs["url"].value == "https://192.0.2.12"
    facts = done.outputs["fortress"].value
    peers = {worker: ["oslo-db", "oslo-edge"] for worker in WORKERS}
    peers |= {hub: ["fra-1", "fra-2", "oslo-web"] for hub in ("oslo-db", "oslo-edge")}
    ports = {"oslo-db": [22], "oslo-edge": [22, 80, 443], **{worker: [22, 80] for worker in WORKERS}}
    assert facts == {
        "version": 10,
        "flows": [],
        "sites": {
            "oslo": {"operator": "A Norwegian cloud", "country": "NO", "sovereign": True},
            "frankfurt": {"operator": "Amazon Web Services", "country": "DE", "sovereign": False},
        },
        "hosts": {
            name: {
                "address": host["address"],
                "port": 22,
                "user": "ops",
                "host_key": ssh_key(len(f"{name}-host-key")),
                "public_key": wireguard_key(name),
                "mesh_address": f"10.100.0.{host['slot']}",
                "site": host["site"],
                "role": host["role"],
                "peers": peers[name],
                "egress": "closed" if host["site"] == "frankfurt" else "open",
                "open_tcp": [22, 80, 443] if name == "oslo-edge" else [22],
                "listens": [f"tcp/{port}" for port in ports[name]] + ["udp/51820"],
                "exporters": {},
            }
            for name, host in HOSTS.items()
        },
        "mesh": {
            "network": "10.100.0.0/24",
            "port": 51820,
            "mtu": 1360,
            "path_mtu": 1450,
            "hubs": ["oslo-db", "oslo-edge"],
            "interface": "wg0",
        },
        "database": {
            "host": "oslo-db",
            "address": "10.100.0.1",
            "port": 3306,
            "name": "app",
            "user": "app",
            "accounts": ["app"],
            "ca_pem": PEM,
            "copy_wanted": False,
            "servers": {},
            "clients": ["fra-1", "fra-2", "oslo-web"],
        },
        "edge": {
            "host": "oslo-edge",
            "url": "https://192.0.2.12",
            "server_name": "lab.fortress.example",
            "other_names": [],
            "health_path": "/health",
            "stats_socket": "/run/haproxy/admin.sock",
            "backends": {
                "oslo": {"oslo-web": "10.100.0.4:80"},
                "frankfurt": {"fra-1": "10.100.0.2:80", "fra-2": "10.100.0.5:80"},
            },
            "silent_ms": 2000,
            "refused_ms": 1200,
        },
        "bastion": None,
        "limits": {
            "rtt_ms": {"frankfurt-oslo": [20.0, 30.0]},
            "loss_percent": 1.0,
            "handshake_s": 180,
            "certificate_days": 14,
            "key_age_days": 365,
            "clock_offset_ms": 100,
            "failover_s": 3.0,
            "replication_lag_s": 10.0,
            "disk_percent": 99.0,
            "iowait_percent": 60.0,
            "iops_4k": 1000,
            "iops_16k": 1000,
            "commit_ms": 10.0,
            "ports": facts["limits"]["ports"],
            "firewall_tables": [],
            "log_days": None,
            "listeners": {},
            "containers": {},
        },
    }
    assert json.loads(json.dumps(facts)) == facts, "other stacks read it as JSON"
    assert parse_output(facts).model_dump(mode="json", exclude_unset=True) == facts, "and the command as its model"


@pytest.mark.parametrize("preview", [False, True])
def test_an_output_that_the_model_does_not_have_stops_the_program(
    preview: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, whether or not hosts have answered yet."""
    monkeypatch.setattr("components.facts.VERSION", 11)
    with pytest.raises(ValueError, match=r"^export_facts: version: 11 must be 1, 2, 3, 4, 5, 6, 7, 8, 9 or 10$"):
        made_of(changed({}), preview=preview)


def test_only_passwords_are_secret() -> None:
    done = fortress(secrets={"ssh_private_key": PRIVATE})
    secret = {name for name, found in done.resources.items() if "stdin" in secret_paths(found.inputs)}
    assert secret == {"db-account", *(f"app-{worker}-credentials" for worker in WORKERS)}
    for name, found in done.resources.items():
        allowed = {"connection"} if found.type == REMOTE else set()
        assert secret_paths(found.inputs) - {"stdin"} == allowed, name
        hidden = {**found.inputs, "connection": None, "stdin": None if name in secret else found.inputs.get("stdin")}
        assert PASSWORD not in repr(hidden), name
        assert PRIVATE not in repr(hidden), name
        if found.type == REMOTE:
            assert plain(found.inputs["connection"])["privateKey"] == PRIVATE, name
    assert PRIVATE not in repr([seen.value for seen in done.outputs.values()])


def test_without_a_key_none_stands_in_any_connection() -> None:
    """The agent's path differs from one operator to the next: it is not written down either."""
    for name, found in commands(fortress()).items():
        assert set(plain(found.inputs["connection"])) == {
            *("host", "port", "user", "hostKey", "dialErrorLimit", "perDialTimeout")
        }, name


def test_at_first_preview_everything_shows_and_what_is_unknown_stays_unknown() -> None:
    done, made = fortress(preview=True), fortress()
    assert set(done.resources) == set(made.resources)
    unknown = {name for name, found in done.resources.items() if holds_unknown(found.inputs.get("stdin"))}
    assert unknown == {
        *(name for name in made.resources if "-peer-" in name),
        *(f"mesh-{worker}-files" for worker in WORKERS),  # with the keys of the hubs
        *(f"app-{worker}-credentials" for worker in WORKERS),
        "edge-drained",  # after each put of what HAProxy reads
        "db-passwords-ended",  # after each look at the accounts
        *(f"app-{worker}-healthy" for worker in WORKERS),
    }
    for name, found in done.resources.items():
        for key, value in found.inputs.items():
            if not holds_unknown(value):
                assert value == made.resources[name].inputs[key], f"{name}.{key}"
        assert set(found.inputs) == set(made.resources[name].inputs), name
        assert all(not holds_unknown(found.inputs.get(key)) for key in ("create", "delete")), name
    assert done.outputs["url"].known
    assert not done.outputs["fortress"].known


def test_an_unknown_memory_hides_the_databases_configuration_only() -> None:
    changes = {f"hosts/{name}/memory_mb": GONE for name in HOSTS}
    given, asked = fortress(preview=True), fortress(changes, preview=True)
    assert set(asked.resources) - set(given.resources) == {f"{name}-facts" for name in HOSTS}
    hidden = {
        name
        for name, found in given.resources.items()
        if holds_unknown(asked.resources[name].inputs.get("stdin")) != holds_unknown(found.inputs.get("stdin"))
    }
    assert hidden == {"db-90-fortress.cnf"}
    assert asked.resources["db-90-fortress.cnf"].inputs["stdin"] is UNKNOWN


def test_a_worker_more_touches_the_edges_configuration_and_nothing_else_that_stands() -> None:
    fra_3 = {"site": "frankfurt", "role": "worker", "slot": 6, "address": "203.0.113.23", "memory_mb": 512}
    before, after = fortress(), fortress({"hosts/fra-3": fra_3})
    changes = {name for name in before.resources if before.resources[name].inputs != after.resources[name].inputs}
    assert changes == {"edge-files", "hosts-answer"}
    added = set(after.resources) - set(before.resources)
    own = set(after.below("fra-3")) | part_of_mesh(after, "fra-3") | set(after.below("app-fra-3"))
    own |= {"fra-3", "app-fra-3"}
    assert added - own == {"mesh-oslo-db-peer-fra-3", "mesh-oslo-edge-peer-fra-3"}


def test_a_guest_is_a_line_of_the_edges_configuration_and_nothing_else() -> None:
    before, after = fortress(), fortress({"edge/guests": {"fra-8": "10.100.0.8:80"}})
    changes = {name for name in before.resources if before.resources[name].inputs != after.resources[name].inputs}
    assert changes == {"edge-files"}
    assert set(after.resources) == set(before.resources)
    config = sent(before.resources["edge-files"]).removesuffix(push.END + push.FILES_END)
    last = "    server fra-2 10.100.0.5:80 tcp-ut 2s\n"
    assert config.endswith(last), "the overflow site's servers"
    more = f"{config}    server fra-8 10.100.0.8:80 tcp-ut 2s\n"
    assert sent(after.resources["edge-files"]) == more + push.END + push.FILES_END
    assert after.outputs["fortress"] == before.outputs["fortress"], "its own stack answers for it"


def test_a_workers_other_address_touches_its_own_commands_only() -> None:
    before, after = fortress(), fortress({"hosts/fra-1/address": "203.0.113.99"})
    changes = {name for name in before.resources if before.resources[name].inputs != after.resources[name].inputs}
    own = {*before.below("fra-1"), *part_of_mesh(before, "fra-1"), *before.below("app-fra-1")}
    assert changes == own | {"hosts-answer"}


def test_another_machine_under_a_name_is_updates_of_its_own_and_replaces_nothing_but_the_learnt_key() -> None:
    before, after = fortress(), fortress({"hosts/fra-1/incarnation": 2})
    changes = {name for name in before.resources if before.resources[name].inputs != after.resources[name].inputs}
    own = {*before.below("fra-1"), *part_of_mesh(before, "fra-1"), *before.below("app-fra-1")}
    assert changes == own
    assert {name for name, found in after.resources.items() if "triggers" in found.inputs} == {
        f"{name}-host-key" for name in HOSTS
    }
    for name in changes - {"fra-1-host-key"}:
        assert "fra-1.2" in str(after.resources[name].inputs["create"]), name


def test_the_edge_is_asked_unless_all_workers_are_gone() -> None:
    gone = {f"hosts/{name}/gone": True for name in WORKERS}
    one = {path: value for path, value in gone.items() if "fra-1" not in path}
    asked = [
        "edge-answers" in str(fortress(changes).resources["edge-drained"].inputs["create"])
        for changes in (one, gone, {"edge/answers_within_s": 0})
    ]
    assert asked == [True, False, False]


def test_a_host_that_is_gone_is_forgotten_and_the_others_do_not_notice() -> None:
    standing, done = fortress(), fortress({"hosts/fra-2/gone": True})
    own = {"fra-2", "app-fra-2"}
    own |= {name for parent in set(own) for name in done.below(parent)}
    own |= part_of_mesh(done, "fra-2")
    for name, found in done.resources.items():
        assert found.retain_on_delete is (name in own or bool(found.asked_again_on)), name
        if name not in own | {"hosts-answer"}:
            assert found == standing.resources[name], name
        elif found.type == REMOTE:
            assert found.ignore_changes == ("connection", "create", "delete", "stdin"), name
    assert "fra-2" not in done.outputs["fortress"].value["hosts"]


def test_a_bastion_stands_in_front_of_every_host() -> None:
    changes = {
        "ssh/bastion": {"address": "198.51.100.1", "host_key": KEY, "user": "jump", "port": 2222},
        **{f"hosts/{name}/host_key": KEY for name in HOSTS},
    }
    done = fortress(changes)
    assert not any(found.type == LOCAL for found in done.resources.values()), "no key is learnt through a bastion"
    for name, found in commands(done).items():
        proxy = plain(found.inputs["connection"])["proxy"]
        assert (proxy["host"], proxy["port"], proxy["user"], proxy["hostKey"]) == ("198.51.100.1", 2222, "jump", KEY)
        assert plain(found.inputs["connection"])["hostKey"] == KEY, name
    assert done.outputs["fortress"].value["bastion"] == changes["ssh/bastion"]


def registered(source: str, destination: str, port: int) -> dict[str, Any]:
    """A flow that carries nothing about people, in the register."""
    ends = {"source": source, "destination": destination, "port": port}
    why = {"purpose": "metrics", "basis": "adequacy", "review": "2028-06-30"}
    return {"sovereignty/flows/another": {**ends, "data_class": "none", **why}}


def test_a_flow_that_is_declared_opens_its_port_and_no_other() -> None:
    flow = {"source": "fra-1", "destination": "oslo-web", "port": 9100}
    before, after = fortress(), fortress({"mesh/flows": [flow], **registered("frankfurt", "oslo", 9100)})
    added = set(after.resources) - set(before.resources)
    assert added == set()
    standing = files(before.resources["mesh-oslo-db-files"])
    assert set(files(after.resources["mesh-oslo-db-files"])) - set(standing) == {"/etc/sysctl.d/60-fortress-relay.conf"}
    rules = [line.strip() for line in sent(after.resources["mesh-oslo-web-files"]).splitlines() if "accept" in line]
    assert rules == ['iifname "wg0" ip saddr { 10.100.0.2 } tcp dport 9100 accept  # from fra-1']
    changes = {name for name in before.resources if before.resources[name].inputs != after.resources[name].inputs}
    assert changes == {"mesh-fra-1-files", "mesh-oslo-web-files", "mesh-oslo-db-files"}
    facts = parse_output(after.outputs["fortress"].value)
    assert [each.model_dump() for each in facts.flows] == [{**flow, "protocol": "tcp"}]


def test_a_given_certificate_goes_to_the_edge_with_its_key() -> None:
    secret = ec.derive_private_key(7, ec.SECP256R1())  # of the certificate, which is for nothing else
    key = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    done = fortress({"edge/certificate": {"file": "tests/doubles/site.pem"}}, secrets={"edge_tls_key": key})
    text = (ROOT / "tests/doubles/site.pem").read_text()
    assert sent(done.resources["edge-certificate"]) == f"{text}\n{key}"
    assert secret_paths(done.resources["edge-certificate"].inputs) == {"connection", "stdin"}


REACHED: dict[str, tuple[dict[str, Any], str, str]] = {
    "SSH's port": ({"ssh/port": 2222}, "fra-1-push", "ip saddr 192.0.2.10/32 tcp dport 2222 accept"),
    "operators": ({"ssh/operators": ["198.51.100.0/24"]}, "fra-1-push", "ip saddr 198.51.100.0/24 tcp dport 22"),
    "the mesh's network": ({"mesh/network": "10.9.0.0/20"}, "fra-1-wg0.conf", "Address = 10.9.0.2/20\n"),
    "the mesh's port": ({"mesh/port": 51821}, "fra-1-wg0.conf", "ListenPort = 51821\n"),
    "the mesh's port at hubs": ({"mesh/port": 51821}, "mesh-fra-1-files", "Endpoint = 192.0.2.11:51821\n"),
    "the MTU": ({"mesh/mtu": 1300}, "mesh-fra-1-files", "mtu = 1300\n"),
    "keepalives": ({"mesh/keepalive_s": 20}, "mesh-fra-1-files", "PersistentKeepalive = 20\n"),
    "hubs": ({"mesh/hubs": ["oslo-edge", "fra-1"]}, "mesh-oslo-web-files", "Endpoint = 192.0.2.12:51820\n"),
    "a variable": ({"database/variables/wait_timeout": 600}, "db-90-fortress.cnf", "\nwait_timeout = 600\n"),
    "who may use the database": ({}, "db-prepared", "ip saddr { 10.100.0.0/24 } tcp dport 3306 accept"),
    "memory": ({"hosts/oslo-db/memory_mb": 2048}, "db-90-fortress.cnf", "innodb_buffer_pool_size = 1432M\n"),
    "the pool": ({"database/buffer_pool_mb": 256}, "db-90-fortress.cnf", "innodb_buffer_pool_size = 256M\n"),
    "durability": (
        {"database/flush_log_at_commit": 2, "database/cross_cloud_copy": True},
        "db-90-fortress.cnf",
        "innodb_flush_log_at_trx_commit = 2\n",
    ),
    "who may use a worker": ({}, "app-fra-1-files", "ip saddr { 10.100.0.3 } tcp dport 80 accept"),
    "a worker's port": (
        {"workload/port": 8080, "sovereignty/flows/frankfurt-requests/port": 8080},
        "app-fra-1-files",
        "tcp dport 8080 accept",
    ),
    "a worker's command": ({"workload/command": "/bin/x y"}, "app-fra-1-files", "ExecStart=/bin/x y\n"),
    "a worker's variables": (
        {"workload/environment": {"GREETING": "hi"}},
        "app-fra-1-files",
        "Environment=GREETING=hi\n",
    ),
    "a worker's database": (
        {"database/name": "data", "database/user": "web"},
        "app-fra-1-files",
        "Environment=FORTRESS_DATABASE_NAME=data\nEnvironment=FORTRESS_DATABASE_PORT=3306\n"
        "Environment=FORTRESS_DATABASE_USER=web\n",
    ),
    "a worker's file": ({}, "app-fra-1-files", (ROOT / "examples/app/app.py").read_text()),
    "the edge's name": ({"edge/server_name": "x.example"}, "edge-files", "hdr Host x.example\n"),
    "the health check's path": ({"workload/health": "/up"}, "edge-files", "send meth GET uri /up ver"),
    "connections": ({"edge/maxconn": 777}, "edge-files", "    maxconn 777\n"),
    "a server's requests": ({"edge/server_maxconn": 77}, "edge-files", " fall 2 rise 2 maxconn 77\n"),
    "patience with clients": ({"edge/timeout_client_ms": 7100}, "edge-files", "timeout client 7100ms\n"),
    "patience with connections": ({"edge/timeout_connect_ms": 310}, "edge-files", "timeout connect 310ms\n"),
    "patience with workers": ({"edge/timeout_server_ms": 7200}, "edge-files", "timeout server 7200ms\n"),
    "patience in the queue": ({"edge/timeout_queue_ms": 1900}, "edge-files", "timeout queue 1900ms\n"),
    "patience with a WebSocket": ({"edge/timeout_tunnel_ms": 60500}, "edge-files", "timeout tunnel 60500ms\n"),
    "a client's connections": ({"edge/client_maxconn": 99}, "edge-files", "reject if { sc0_conn_cur gt 99 }\n"),
    "other names": ({"edge/other_names": ["x.example"]}, "edge-files", "redirect prefix https://x.example code"),
    "a site that is closed": (
        {"sites/oslo/egress": "closed"},
        "oslo-db-push",
        "hook output priority filter; policy drop;",
    ),
    "where a closed host may connect to": (
        {"egress": {"pay": {"source": "fra-1", "address": "198.51.100.7", "port": 443, "purpose": "To be paid."}}},
        "fra-1-push",
        "ip daddr 198.51.100.7/32 tcp dport 443 accept  # To be paid.\n",
    ),
    "paths at home": ({"edge/home_paths": ["/me"]}, "edge-files", "acl stays_home path,url_dec -m beg -i /me\n"),
    "methods at home": ({"edge/home_methods": ["PUT"]}, "edge-files", "acl stays_home method PUT\n"),
    "HTTPS only": ({"edge/hsts_s": 300}, "edge-files", "Strict-Transport-Security max-age=300\n"),
    "checks": (
        {"edge/checks": {"inter_ms": 900, "fastinter_ms": 190, "timeout_ms": 390, "rise": 1, "fall": 3}},
        "edge-files",
        "check inter 900ms fastinter 190ms fall 3 rise 1 ",
    ),
    "a check's patience": ({"edge/checks/timeout_ms": 390}, "edge-files", "timeout check 390ms\n"),
    "which site is first": (
        {"edge/primary": "frankfurt", "edge/overflow": "oslo"},
        "edge-files",
        "default_backend frankfurt\n",
    ),
}


@pytest.mark.parametrize("setting", REACHED)
def test_a_setting_reaches_its_file(setting: str) -> None:
    changes, file, fragment = REACHED[setting]
    assert fragment in sent(fortress(changes).resources[file])


@pytest.mark.parametrize(
    ("changes", "command", "end"),
    [
        ({"workload/packages": ["jq"]}, "app-fra-1-files", " python3 jq"),
        (
            {"workload/port": 8080, "workload/health": "/up", "sovereignty/flows/frankfurt-requests/port": 8080},
            "app-fra-1-healthy",
            " http://10.100.0.2:8080/up 60 app",
        ),
        ({"workload/healthy_within_s": 90}, "app-fra-1-healthy", " http://10.100.0.2:80/health 90 app"),
        ({"workload/name": "web"}, "web-fra-1-healthy", " http://10.100.0.2:80/health 60 web"),
        ({"edge/server_name": "x.example"}, "edge-certificate", " x.example"),
        ({"edge/other_names": ["x.example"]}, "edge-certificate", " lab.fortress.example x.example"),
        ({"edge/answers_within_s": 90, "workload/health": "/up"}, "edge-drained", " lab.fortress.example /up 90"),
    ],
)
def test_a_setting_reaches_its_command(changes: dict[str, Any], command: str, end: str) -> None:
    assert end in str(fortress(changes).resources[command].inputs["create"])


def test_settings_of_accounts() -> None:
    changes = {
        "database/privileges": ["SELECT"],
        "database/connections_per_client": 90,
        "database/name": "data",
        "database/user": "web",
        "database/databases": ["orders"],
        "database/roles": {"reader": {"orders": ["SELECT"]}},
        "database/accounts": {"billing": {"role": "reader", "clients": ["oslo-web"], "connections_per_client": 9}},
    }
    hidden = {"database_password": PASSWORD, "database_account_passwords": json.dumps({"billing": "BILLING"})}
    for keep, word in ((False, "overlap"), (True, "keep")):
        done = fortress({**changes, "database/keep_old_passwords": keep}, secrets=hidden)
        written = json.loads(files(done.resources["db-prepared"])[access.PATH][1])
        mesh, web = "10.100.0.0/255.255.255.0", "10.100.0.4/255.255.255.255"
        assert written == {
            "databases": ["data", "orders"],
            "roles": {"reader": {"orders": ["SELECT"]}},
            "accounts": {
                "billing": {"networks": [web], "connections": 9, "privileges": {}, "role": "reader"},
                "web": {"networks": [mesh], "connections": 90, "privileges": {"data": ["SELECT"]}, "role": None},
            },
            "old_passwords": word,
        }
        assert done.resources["db-account"].inputs["stdin"] == Secret(f"billing BILLING\nweb {PASSWORD}\n")


def test_old_passwords_end_after_the_last_worker() -> None:
    done = fortress()
    assert {"db-account", *(f"app-{worker}-healthy" for worker in WORKERS)} <= done.before("db-passwords-ended")
    waiting = [name for name, found in done.resources.items() if "db-passwords-ended" in found.waits]
    assert waiting == ["hosts-answer"], "no service waits for it"


def test_settings_of_connections_and_of_the_end() -> None:
    done = fortress({"ssh/port": 2222, "ssh/user": "root", "database/keep_data": False})
    for name, found in commands(done).items():
        reached = plain(found.inputs["connection"])
        assert (reached["port"], reached["user"]) == (2222, "root"), name
        assert not str(found.inputs["create"]).startswith("sudo"), name
    assert str(done.resources["db-account"].inputs["delete"]).endswith("mariadb-access wipe")
    assert {host["port"] for host in done.outputs["fortress"].value["hosts"].values()} == {2222}


# --- what a value may not do ---

# All that is accepted on one line; what is refused is in test_settings.py.
ONE_LINE = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=20) | st.sampled_from(
    ["';reboot;'", '" "', "\\n[Service]", "%n $HOME $$", "{{ 7*7 }}{% if %}", "# }", "\\", "`id`$(id)", "a accept; }"]
)


def lines(done: Run) -> dict[str, int]:
    return {name: str(plain(found.inputs.get("stdin", ""))).count("\n") for name, found in done.resources.items()}


@given(operator=ONE_LINE, argument=ONE_LINE, variable=ONE_LINE, label=st.from_regex(r"[a-z0-9.-]{1,40}"), path=ONE_LINE)
@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_adds_a_line_to_any_file(operator: str, argument: str, variable: str, label: str, path: str) -> None:
    def hostile() -> Run:
        changes = {
            "sites/oslo/operator": f"x{operator}",
            "workload/command": f"/usr/bin/app {argument}",
            "workload/environment": {"GREETING": f"x{variable}"},
            "edge/server_name": f"x{label}",
            "workload/health": f"/{path}",
        }
        # One that is refused must not keep the others from being tried.
        for place in list(changes):
            try:
                parse(changed({place: changes[place]}), ROOT)
            except SettingsError:
                del changes[place]
        return fortress({"workload/environment": {"GREETING": "x"}, "sovereignty": GONE, **changes})

    done, standing = hostile(), _standing()
    assert lines(done) == lines(standing)
    for name, found in commands(done).items():
        words, expected = (shlex.split(str(run.resources[name].inputs["create"])) for run in (done, standing))
        assert len(words) == len(expected), name
        assert str(found.inputs["create"]).isprintable(), name


@functools.cache
def _standing() -> Run:
    return fortress({"workload/environment": {"GREETING": "x"}, "sovereignty": GONE})


# --- what stops it at once ---


def stopped(changes: Mapping[str, Any] | None = None, **how: Any) -> list[str]:
    return whole_stack.stopped(changed(changes or {}), **how)


def test_a_password_that_is_missing() -> None:
    assert stopped(secrets={}) == [
        "data-fortress:database_password: missing; "
        "set it with `pulumi config set --secret data-fortress:database_password`"
    ]


def test_a_password_that_everyone_can_read() -> None:
    assert stopped(secret_names=[]) == [
        "data-fortress:database_password: is stored in plain text in the stack file; "
        "set it with `pulumi config set --secret data-fortress:database_password`"
    ]


def test_a_secret_inside_other_settings() -> None:
    """It would make all that is made from its neighbours unreadable in previews."""
    assert stopped(secret_names=["database_password", "mesh"]) == [
        "data-fortress:mesh: is encrypted, which would make everything derived from it unreadable in previews; "
        f"only these settings may be secret: {', '.join(SECRETS)}"
    ]


def test_a_certificate_without_its_key_and_a_key_without_its_certificate() -> None:
    assert stopped({"edge/certificate": {"file": "examples/app/README.md"}}) == [
        "data-fortress:edge_tls_key: missing; edge.certificate is set and needs its private key"
    ]
    assert stopped(secrets={"database_password": PASSWORD, "edge_tls_key": "KEY"}) == [
        "data-fortress:edge.certificate: missing; edge_tls_key is set, but there is no certificate for it"
    ]


def test_everything_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    assert stopped({"mesh/mut": 1, "hosts/fra-1/slot": GONE}, secrets={}) == [
        "data-fortress:database_password: missing; "
        "set it with `pulumi config set --secret data-fortress:database_password`",
        "data-fortress:hosts.fra-1.slot: missing; add it to the stack file",
        "data-fortress:mesh.mut: unknown setting; did you mean mtu?",
        f"SSH_AUTH_SOCK: {tmp_path / 'gone'}: the SSH agent does not answer (No such file or directory); "
        "start one with `eval $(ssh-agent)` and `ssh-add`, or unset SSH_AUTH_SOCK",
    ]


@pytest.mark.parametrize("preview", [False, True])
def test_an_agent_that_is_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, preview: bool) -> None:
    """It fails every command, even with a key given."""
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    keys = {"database_password": PASSWORD, "ssh_private_key": PRIVATE}
    assert stopped(secrets=keys, preview=preview) == [
        f"SSH_AUTH_SOCK: {path}: the SSH agent does not answer (Connection refused); "
        "start one with `eval $(ssh-agent)` and `ssh-add`, or unset SSH_AUTH_SOCK"
    ]


def test_an_agents_path_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", f"/run/{'a' * 200}")
    (line,) = stopped()
    assert "the SSH agent does not answer (AF_UNIX path too long)" in line


def test_no_agent_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert stopped() == [
        "SSH_AUTH_SOCK: no SSH agent, and no secret setting ssh_private_key; start an agent with "
        "`eval $(ssh-agent)` and `ssh-add`, or `pulumi config set --secret data-fortress:ssh_private_key`"
    ]


def test_a_preview_and_a_stack_with_a_key_need_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert made_of(lab(), preview=True).resources
    assert made_of(lab(), secrets={"ssh_private_key": PRIVATE}).resources
