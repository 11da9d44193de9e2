"""HAProxy in front."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components import HAProxyEdge, HAProxyEdgeArgs
from fortress import activation, haproxy, push
from tests.components.engine import (
    LOAD,
    REMOTE,
    check_commands,
    connection,
    files,
    kinds,
    member,
    sent,
    steps,
    texts,
    together,
    waits,
    without_commands,
)
from tests.doubles.pulumi_mocks import Run, plain, run, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Secret

HOST = member("oslo-edge", mesh_address="10.100.0.3")
OSLO: dict[str, Any] = {"site": "oslo", "servers": {"oslo-web": "10.100.0.4:80"}, "maxconn": 40}
FRANKFURT: dict[str, Any] = {
    "site": "frankfurt",
    "servers": {"fra-1": "10.100.0.2:80", "fra-2": "10.100.0.5:80"},
    "maxconn": 40,
}
CHECKS = {"inter_ms": 1000, "fastinter_ms": 200, "timeout_ms": 400, "connect_ms": 300, "rise": 2, "fall": 2}
TLS = {"certificate": "CERTIFICATE", "key": "KEY\n"}
MACHINE = "oslo-edge.1"
RESET = "systemctl reset-failed haproxy 2>/dev/null"


def args(**more: Any) -> HAProxyEdgeArgs:
    known: dict[str, Any] = {
        "host": HOST,
        "server_name": "lab.fortress.example",
        "primary": OSLO,
        "overflow": FRANKFURT,
        "checks": CHECKS,
    }
    return HAProxyEdgeArgs(**{**known, **more})  # type: ignore[typeddict-item]


def edge(preview: bool = False, opts: pulumi.ResourceOptions | None = None, **more: Any) -> Run:
    return run(lambda: {"url": HAProxyEdge("edge", args(**more), opts).url}, preview=preview)


FRAGMENT, CONFIG = "/etc/nftables.d/40-edge.nft", "/etc/haproxy/haproxy.cfg"
DROP_IN = "/etc/systemd/system/haproxy.service.d/50-fortress.conf"
IN_FORCE = "/usr/local/lib/fortress/in-force"
PREPARE = (
    f"/usr/local/sbin/fortress-push put {DROP_IN} 0644 root:root --check '{IN_FORCE} haproxy-free {CONFIG}' "
    f"--apply 'systemctl daemon-reload' --machine {MACHINE}",
    f"/usr/local/sbin/fortress-push packages --machine {MACHINE} haproxy openssl python3",
)
UNPREPARE = f"/usr/local/sbin/fortress-push remove {DROP_IN} --apply 'systemctl daemon-reload' --machine {MACHINE}"
COMMON = {
    "edge-files": together(
        {FRAGMENT: LOAD.strip("'"), CONFIG: "systemctl -q disable --now haproxy"},
        machine=MACHINE,
    ),
    "edge-drained": (
        "sudo "
        + steps(
            f"env FORTRESS_MACHINE={MACHINE} /usr/local/lib/fortress/haproxy-drain 35",
            f"env FORTRESS_MACHINE={MACHINE} /usr/local/lib/fortress/edge-answers lab.fortress.example /health 30",
        ),
        None,
    ),
}


NAMES = ("certificate", "files", "drained")


def landing(done: Run, path: str = CONFIG) -> str:
    """The text that lands at a path."""
    return files(done.resources["edge-files"])[path][1]


def test_how_each_file_is_put() -> None:
    put = {path: put for path, (put, _) in files(edge().resources["edge-files"]).items()}
    assert (put[CONFIG].mode, put[CONFIG].owner, put[CONFIG].unit) == ("0640", "root:haproxy", "haproxy")
    assert put[CONFIG].check == f'{IN_FORCE} haproxy-next {CONFIG} && haproxy -c -f "$1"'
    assert put[CONFIG].apply == (
        f"{RESET}; systemctl -q is-enabled haproxy || systemctl -q enable haproxy "
        f'&& systemctl reload-or-restart haproxy && {IN_FORCE} haproxy "$1"'
    )
    assert (put[FRAGMENT].mode, put[FRAGMENT].check) == ("0644", 'nft -c -f "$1"')
    assert (put[FRAGMENT].apply, put[FRAGMENT].unit) == (LOAD.strip("'"), None)


def test_children_and_their_commands_with_a_certificate_of_the_hosts_own() -> None:
    done = edge()
    assert kinds(done) == {
        "edge": ("fortress:index:HAProxyEdge", None),
        **{f"edge-{name}": (REMOTE, "edge") for name in NAMES},
    }
    check_commands(done.children("edge").values(), connection())
    assert texts(done.children("edge")) == {
        **COMMON,
        "edge-certificate": (
            "sudo "
            + steps(
                *PREPARE,
                f"env FORTRESS_MACHINE={MACHINE} /usr/local/lib/fortress/edge-certificate --reload haproxy "
                "/etc/ssl/private/site.pem 398 30 lab.fortress.example",
            ),
            "sudo " + steps(f"env FORTRESS_MACHINE={MACHINE} rm -f /etc/ssl/private/site.pem", UNPREPARE),
        ),
    }


def test_children_and_their_commands_with_a_given_certificate() -> None:
    done = edge(tls=TLS)
    assert kinds(done) == {
        "edge": ("fortress:index:HAProxyEdge", None),
        **{f"edge-{name}": (REMOTE, "edge") for name in ("sandbox", *NAMES)},
    }
    check_commands(done.children("edge").values(), connection())
    check = '/usr/local/lib/fortress/edge-certificate check "$1"'
    assert texts(done.children("edge")) == {
        **COMMON,
        "edge-sandbox": ("sudo " + steps(*PREPARE), f"sudo {UNPREPARE}"),
        "edge-certificate": (
            f"sudo /usr/local/sbin/fortress-push put /etc/ssl/private/site.pem 0600 root:root --check '{check}' "
            f"--apply '{RESET}; if systemctl -q is-enabled haproxy; then systemctl reload-or-restart haproxy; fi' "
            f"--machine {MACHINE}",
            f"sudo /usr/local/sbin/fortress-push remove /etc/ssl/private/site.pem --apply true --machine {MACHINE}",
        ),
    }
    assert isinstance(done.resources["edge-certificate"].inputs["stdin"], Secret)
    assert sent(done.resources["edge-certificate"]) == "CERTIFICATE\nKEY\n"


def test_what_is_sent() -> None:
    done = edge(health_path="/up", maxconn=500, timeout_client_ms=9000, timeout_server_ms=8000)
    assert landing(done) == haproxy.render(
        haproxy.Edge(
            server_name="lab.fortress.example",
            primary=haproxy.Backend(site="oslo", servers={"oslo-web": "10.100.0.4:80"}, maxconn=40),
            overflow=haproxy.Backend(
                site="frankfurt", servers={"fra-1": "10.100.0.2:80", "fra-2": "10.100.0.5:80"}, maxconn=40
            ),
            maxconn=500,
            timeouts=haproxy.Timeouts(client_ms=9000, server_ms=8000),
            checks=haproxy.Checks(inter_ms=1000, fastinter_ms=200, timeout_ms=400, connect_ms=300, rise=2, fall=2),
            health_path="/up",
        )
    )
    rules = [line.strip() for line in landing(done, FRAGMENT).splitlines() if "accept" in line]
    assert rules == ["tcp dport 80 accept  # HTTP", "tcp dport 443 accept  # HTTPS"]


def test_the_sandbox_is_there_before_the_first_start_and_restarts_nothing() -> None:
    """A restart would end the connections of an edge that stands."""
    cases: list[tuple[str, dict[str, Any]]] = [("edge-certificate", {}), ("edge-sandbox", {"tls": TLS})]
    for name, more in cases:
        first = edge(**more).resources[name]
        assert sent(first) == haproxy.drop_in()
        (drop_in, _), (packages, _), *_rest = push.parts(str(first.inputs["create"]), None)
        assert isinstance(packages, push.Packages)
        assert activation.of_command(drop_in.render()).effect is activation.Effect.UNTOUCHED
        adopted = edge(host={**HOST, "adopt": True}, **more).resources[name]
        assert " --check true " in str(adopted.inputs["create"])


def test_order() -> None:
    assert waits(edge().children("edge")) == {
        "edge-certificate": set(),
        "edge-files": {"edge-certificate"},
        "edge-drained": {"edge-files"},
    }
    assert waits(edge(tls=TLS).children("edge"))["edge-certificate"] == {"edge-sandbox"}


def test_children_wait_for_what_the_component_waits_for() -> None:
    def program() -> None:
        gate = local.Command("gate", create="true")
        HAProxyEdge("edge", args(), pulumi.ResourceOptions(depends_on=[gate]))

    alone = waits(edge().children("edge"))
    assert waits(run(program).children("edge")) == {name: needed | {"gate"} for name, needed in alone.items()}


def test_the_url() -> None:
    done = edge()
    assert (done.outputs["url"].value, done.outputs["url"].secret) == ("https://192.0.2.11", False)
    assert done.registered["edge"] == {"url": "https://192.0.2.11"}


def test_a_url_whose_address_is_unknown_is_unknown() -> None:
    def program() -> Mapping[str, Any]:
        machine = local.Command("machine", create="date")
        return {"url": HAProxyEdge("edge", args(host={**HOST, "address": machine.stdout})).url}

    done = run(program, preview=True)
    assert not done.outputs["url"].known
    assert unread(done) == {"edge-drained"}, "which waits for the files before it"


def unread(done: Run) -> set[str]:
    """The children whose standard input is not known yet."""
    return {name for name, found in done.children("edge").items() if found.inputs.get("stdin") is UNKNOWN}


def test_an_ipv6_address_stands_in_brackets_in_the_url() -> None:
    assert edge(host={**HOST, "address": "2001:db8::12"}).outputs["url"].value == "https://[2001:db8::12]"


def test_the_key_is_secret_and_nothing_else_is() -> None:
    done = edge(tls=TLS, private_key="PRIVATE")
    for name, found in done.children("edge").items():
        secret = {"connection", "stdin"} if name == "edge-certificate" else {"connection"}
        assert secret_paths(found.inputs) == secret, name
        assert "KEY" not in repr({**found.inputs, "stdin": None, "connection": None}), name
        assert plain(found.inputs["connection"]) == connection(privateKey="PRIVATE")


def test_numbers_that_arrive_as_floats_are_written_whole() -> None:
    numbers = {"maxconn": 500, "timeout_client_ms": 9000, "timeout_server_ms": 8000}
    floats = edge(
        **{name: float(number) for name, number in numbers.items()},  # type: ignore[arg-type]
        primary={**OSLO, "maxconn": 40.0},
        overflow={**FRANKFURT, "maxconn": 40.0},
        checks={name: float(number) for name, number in CHECKS.items()},
    )
    assert floats.resources == edge(**numbers).resources  # type: ignore[arg-type]


def test_a_worker_more_is_one_line_more_and_no_other_change() -> None:
    servers = {**FRANKFURT["servers"], "fra-3": "10.100.0.6:80"}
    before, after = edge().resources, edge(overflow={**FRANKFURT, "servers": servers}).resources
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"edge-files"}, "whose answer, another each time, has those wait for it that drain and ask"
    one, other = (sent(found["edge-files"]).splitlines() for found in (before, after))
    assert [line for line in other if line not in one] == ["    server fra-3 10.100.0.6:80 tcp-ut 2s"]


def test_another_machine_changes_each_command_and_replaces_none() -> None:
    first = texts(edge().children("edge"))
    second = texts(edge(host={**HOST, "machine_id": "oslo-edge.2"}).children("edge"))
    assert second == {
        name: tuple(text and str(text).replace(MACHINE, "oslo-edge.2") for text in pair) for name, pair in first.items()
    }
    assert all(MACHINE in str(pair[0]) for pair in first.values())


def test_a_machine_that_is_gone_is_left_alone() -> None:
    done = edge(host={**HOST, "gone": True}, opts=pulumi.ResourceOptions(retain_on_delete=True))
    standing = edge()
    for name, found in done.children("edge").items():
        assert found.retain_on_delete, name
        assert found.ignore_changes == ("connection", "create", "delete", "stdin"), name
        assert found.inputs == without_commands(standing.resources[name]), name


def test_without_another_site_or_checks_the_defaults_hold() -> None:
    alone = HAProxyEdgeArgs(host=HOST, server_name="www.example.org", primary=OSLO)  # type: ignore[typeddict-item]
    done = run(lambda: {"url": HAProxyEdge("edge", alone).url})
    assert landing(done) == haproxy.render(
        haproxy.Edge(
            server_name="www.example.org",
            primary=haproxy.Backend(site="oslo", servers={"oslo-web": "10.100.0.4:80"}, maxconn=40),
            overflow=haproxy.Backend(site="nowhere", servers={}, maxconn=1),
        )
    )


def test_a_server_may_be_another_resources_output() -> None:
    def program() -> None:
        machine = local.Command("machine", create="date")
        servers = {"web-1": "10.100.0.4:80", "web-2": pulumi.Output.concat(machine.stdout, ":80")}
        HAProxyEdge("edge", args(primary={**OSLO, "servers": servers}))

    done = run(program, stdout=lambda name: "192.0.2.21" if name == "machine" else "")
    assert "    server web-2 192.0.2.21:80 tcp-ut 2s\n" in landing(done)
    new = run(program, preview=True)
    assert unread(new) == {"edge-files", "edge-drained"}


def test_the_edge_is_drained_and_asked_after_each_put_and_for_each_certificate() -> None:
    def asked(stdout: str = "put 1", **more: Any) -> object:
        done = run(lambda: {"url": HAProxyEdge("edge", args(**more)).url}, stdout=lambda _: stdout)
        return done.resources["edge-drained"].inputs["stdin"]

    assert asked() == asked()
    assert len({str(found) for found in (asked(), asked("put 2"), asked(tls=TLS))}) == 3
    assert asked(tls=TLS) != asked(tls={**TLS, "certificate": "RENEWED"})


def test_the_edge_is_asked_for_as_long_as_is_set_or_not_at_all() -> None:
    silent = texts(edge(answers_within_s=0).children("edge"))["edge-drained"]
    assert str(silent[0]).endswith("/haproxy-drain 35")
    asked = texts(edge(answers_within_s=90, health_path="/up").children("edge"))["edge-drained"]
    assert str(asked[0]).endswith("/edge-answers lab.fortress.example /up 90'")


def test_browsers_are_told_to_use_https_with_a_certificate_from_elsewhere_only() -> None:
    def told(**more: Any) -> list[str]:
        lines = landing(edge(**more)).splitlines()
        return [line.split()[-1] for line in lines if "Strict-Transport-Security" in line]

    assert (told(), told(tls=TLS)) == ([], ["max-age=31536000"])
    assert (told(hsts_s=300), told(tls=TLS, hsts_s=0), told(tls=TLS, hsts_s=None)) == (
        ["max-age=300"],
        ["max-age=0"],
        ["max-age=31536000"],
    )


def test_a_self_signed_certificate_is_for_the_other_names_too() -> None:
    done = edge(other_names=["www.fortress.example"])
    assert str(texts(done.children("edge"))["edge-certificate"][0]).endswith(
        " lab.fortress.example www.fortress.example'"
    )
    assert "redirect prefix https://www.fortress.example code 308 if" in landing(done)


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({"client_maxconn": 3000}, "client_maxconn: 3000 must be at most 2000, which is maxconn"),
        ({"other_names": ["a.example", "a.example"]}, "other_names: "),
        ({"other_names": ["lab.fortress.example"]}, "other_names: 'lab.fortress.example' is server_name already"),
        ({"other_names": ["x } evil"]}, "other_names[0]: 'x } evil' must be a DNS name"),
        ({"home_paths": ["/a", "/a"]}, "home_paths: "),
        ({"home_paths": ["/a/"]}, "home_paths[0]: '/a/' must be the beginning of a URL's path"),
        ({"home_methods": ["post"]}, "home_methods[0]: 'post' must be a method of HTTP in capital letters"),
        ({"hsts_s": -1}, "hsts_s: -1 must be at least 0"),
        ({"timeout_tunnel_ms": 1}, "timeout_tunnel_ms: 1 must be at least 100"),
        ({"answers_within_s": 601}, "answers_within_s: 601 must be at most 600"),
    ],
)
def test_a_limit_that_cannot_hold_is_refused_at_once(more: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=rf"^HAProxyEdge \"edge\": {re.escape(wrong)}"):
        edge(**more)


def test_a_server_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"^HAProxyEdge \"edge\": primary\.servers\.web: 'nonsense' must be an address and"
    ):
        edge(primary={**OSLO, "servers": {"web": "nonsense"}})
