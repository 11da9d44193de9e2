"""Exporters of metrics: what they add to a host, whom its firewall lets in, and when they come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components import HostExporters
from fortress import activation, monitoring, push
from fortress.facts import parse as parse_output
from fortress.monitoring import HAPROXY, MYSQLD, NODE
from tests.components.engine import REMOTE, files, landing, member
from tests.components.whole_stack import made_of
from tests.doubles.pulumi_mocks import Run, run
from tests.unit.stack_file import changed
from tests.unit.test_monitoring import REGISTERED

pytestmark = pytest.mark.usefixtures("agent")


def exporters(**more: Any) -> Run:
    args: Any = {"host": member(), "scrapers": ["10.100.0.6"], **more}

    def program() -> None:
        HostExporters("eye", args)

    return run(program, stdout=lambda name: f"{name} said")


def landed(done: Run, name: str) -> dict[str, str]:
    """What one push puts, by path."""
    return {path: text for path, (_, text) in files(done.resources[name]).items()}


def test_one_resource_a_host() -> None:
    done = exporters()
    assert [found.type for found in done.children("eye").values()] == [REMOTE]
    command = str(done.resources["eye-files"].inputs["create"])
    assert command.index("prometheus-node-exporter") < command.index("fortress-push files") < command.index("30 10.")
    assert f"{monitoring.TOOL} 30 10.100.0.1 node=9100" in command, "it ends well only when they answer"
    assert "mysqld" not in command
    assert set(landed(done, "eye-files")) == {
        *("/etc/nftables.d/50-exporters.nft", f"{push.LIBRARY}/{monitoring.TOOL}", monitoring.drop_in_path(NODE)),
        *(f"/etc/systemd/system/{unit}" for unit in (monitoring.FIGURES_UNIT, monitoring.FIGURES_TIMER)),
        f"{push.LIBRARY}/{monitoring.FIGURES_TOOL}",
    }


def test_the_database_s_is_let_in_by_its_socket_and_has_no_secret() -> None:
    done = exporters(database=True)
    put = landed(done, "eye-files")
    assert put[monitoring.LOGIN_PATH] == monitoring.login()
    assert put[monitoring.drop_in_path(MYSQLD)] == monitoring.drop_in(MYSQLD, "10.100.0.1")
    rules = [line.split("  #")[0].strip() for line in put["/etc/nftables.d/50-exporters.nft"].splitlines()]
    assert [rule for rule in rules if rule.endswith("accept")] == [
        'iifname "wg0" ip saddr { 10.100.0.6 } tcp dport 9100 accept',
        'iifname "wg0" ip saddr { 10.100.0.6 } tcp dport 9104 accept',
    ]


def test_those_of_another_hand_are_refused_before_anything_is_installed() -> None:
    command = str(exporters(database=True).resources["eye-files"].inputs["create"])
    for unit in monitoring.UNITS.values():
        asked = f"in-force exporter-free /etc/default/{unit}"
        assert command.index(asked) < command.index("fortress-push packages ")
    adopted = str(exporters(host=member(adopt=True)).resources["eye-files"].inputs["create"])
    assert "exporter-free" not in adopted


def test_what_stays_of_them_is_not_started() -> None:
    """The packages stay, and their units would listen everywhere."""
    delete = str(exporters(database=True).resources["eye-files"].inputs["delete"])
    for unit in monitoring.UNITS.values():
        assert f"systemctl -q disable --now {unit}" in delete
    assert delete.index("systemctl -q disable") < delete.index("50-exporters.nft"), "the firewall closes last"


def test_what_a_push_does_to_the_units_is_told() -> None:
    unit = monitoring.UNITS[NODE]
    put = push.Put("/x", machine="m", resource="r", apply=activation.enable_and_restart_pushed(unit), unit=unit)
    assert str(activation.of_command(put.render())) == f"{unit} restarts"


@pytest.mark.parametrize("given", [[], ["10.100.0.6; flush ruleset"], ["10.100.0.6", "10.100.0.6"], ["fe80::1"]])
def test_scrapers_that_are_refused(given: list[str]) -> None:
    with pytest.raises(ValueError, match='HostExporters "eye": scrapers'):
        exporters(scrapers=given)


# In the stack.


def test_without_the_setting_the_stack_has_nothing_of_it() -> None:
    done = made_of(changed({}))
    assert not [name for name in done.resources if "exporter" in name]
    assert "prometheus" not in "".join(str(found.inputs) for found in done.resources.values())


def test_a_stack_with_a_monitor() -> None:
    done = made_of(changed(REGISTERED))
    made = {name for name in done.resources if name.startswith("exporters-") and name.endswith("-files")}
    hosts = ("oslo-db", "oslo-edge", "oslo-web", "fra-1", "fra-2", "oslo-eye")
    assert made == {f"exporters-{name}-files" for name in hosts}
    accounts = json.loads(landing(done.resources["db-prepared"], "/etc/fortress/access.json"))
    assert accounts["local"] == {"prometheus": {"connections": 3, "privileges": ["SLAVE MONITOR"]}}
    edge = landed(done, "edge-files")
    assert "bind 10.100.0.3:8405 transparent\n" in edge["/etc/haproxy/haproxy.cfg"]
    assert 'iifname "wg0" ip saddr { 10.100.0.6 } tcp dport 8405 accept' in edge["/etc/nftables.d/40-edge.nft"]
    # Neither of them is a hub: what is asked of a worker passes one.
    relays = landed(done, "mesh-oslo-db-files")["/etc/nftables.d/20-mesh.nft"]
    assert "ip saddr 10.100.0.6 ip daddr 10.100.0.2 tcp dport 9100 accept" in relays

    facts = parse_output(done.outputs["fortress"].value)
    assert {name: set(host.exporters) for name, host in facts.hosts.items()} == {
        "oslo-db": {NODE, MYSQLD},
        "oslo-edge": {NODE, HAPROXY},
        **{name: {NODE} for name in hosts[2:]},
    }
    assert facts.hosts["oslo-eye"].role == "host"
    tried = {(flow.source, flow.destination, flow.port) for flow in facts.flows}
    assert {("oslo-eye", "oslo-db", 9104), ("oslo-eye", "oslo-edge", 8405), ("oslo-eye", "fra-1", 9100)} <= tried
