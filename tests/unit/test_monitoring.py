"""Metrics: what a stack file may ask for, the units and flows that come of it, and what is said of exporters."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from examples.monitoring.targets import targets
from fortress import access, monitoring
from fortress.cli.base.result import Result
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.verify import exporters
from fortress.monitoring import HAPROXY, MYSQLD, NODE
from fortress.scripts import exporters_answer, host_figures, mariadb_access
from fortress.settings.parse import SettingsError, parse
from tests.unit.golden import check_golden
from tests.unit.stack_file import ROOT, changed
from tests.unit.test_access import ORDERS

WATCHED: dict[str, Any] = {"monitoring": {"scrapers": ["oslo-edge"]}}
MONITOR: dict[str, Any] = {
    "hosts/oslo-eye": {"site": "oslo", "role": "monitor", "slot": 6, "address": "192.0.2.16"},
    "monitoring": {"scrapers": ["oslo-eye"]},
}
REGISTERED: dict[str, Any] = {
    **MONITOR,
    "sovereignty/flows/metrics": {
        **{"source": "oslo", "destination": "frankfurt", "port": 9100, "data_class": "none", "basis": "adequacy"},
        **{"purpose": "Figures of the workers, which name nobody", "review": "2028-06-30"},
    },
}
"""The same, and in the register what is asked of another operator's hosts."""


def problems(changes: Mapping[str, Any]) -> str:
    with pytest.raises(SettingsError) as refused:
        parse(changed(changes), ROOT)
    return str(refused.value)


def test_the_units() -> None:
    for name in (NODE, MYSQLD):
        check_golden(f"{monitoring.UNITS[name]}.service.conf", monitoring.drop_in(name, "10.100.0.1"))
    check_golden("exporter.cnf", monitoring.login())
    check_golden(monitoring.FIGURES_UNIT, monitoring.figures_service())
    check_golden(monitoring.FIGURES_TIMER, monitoring.figures_timer())


def test_without_the_setting_there_is_nothing() -> None:
    found = parse(changed({}), ROOT)
    assert (found.monitoring, found.monitored, found.metrics_flows()) == (None, [], [])
    assert found.exporters_of("oslo-db") == []
    assert found.scraper_addresses("oslo-db") == []


def test_each_host_has_the_exporters_of_its_role() -> None:
    found = parse(changed(MONITOR), ROOT)
    assert {name: found.exporters_of(name) for name in found.monitored} == {
        "oslo-db": [NODE, MYSQLD],
        "oslo-edge": [NODE, HAPROXY],
        **{name: [NODE] for name in ("oslo-web", "fra-1", "fra-2", "oslo-eye")},
    }
    assert found.scraper_addresses("fra-1") == ["10.100.0.6"]
    assert found.members["oslo-eye"].keeps == "none"


def test_what_is_asked_is_a_flow() -> None:
    found = parse(changed(WATCHED | {"monitoring/hosts": ["oslo-db", "oslo-edge", "fra-1"]}), ROOT)
    flows = {(flow.source, flow.destination, flow.port) for flow in found.metrics_flows()}
    assert flows == {("oslo-edge", "oslo-db", 9100), ("oslo-edge", "oslo-db", 9104), ("oslo-edge", "fra-1", 9100)}
    assert set(map(str, found.metrics_flows())) <= set(map(str, found.flows()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"monitoring": {}}, "monitoring.scrapers: missing"),
        ({"monitoring": {"scrapers": []}}, "monitoring.scrapers: "),
        ({"monitoring": {"scrapers": ["nobody"]}}, "monitoring.scrapers: 'nobody' is not in hosts; known: oslo-db"),
        (
            {"monitoring": {"scrapers": ["oslo-web"], "hosts": ["nobody"]}},
            "monitoring.hosts: 'nobody' is not in hosts; known: oslo-db",
        ),
        (
            MONITOR | {"monitoring": {"scrapers": ["oslo-web"]}},
            "hosts.oslo-eye.role: a monitor asks for metrics; name oslo-eye in monitoring.scrapers",
        ),
        (WATCHED | {"ssh/port": 9104}, "ssh.port: 9104 is the port of a metrics exporter"),
        (WATCHED | {"workload/port": 9100}, "workload.port: 9100 is the port of prometheus-node-exporter"),
        (WATCHED | {"database/user": "prometheus"}, "database.user: 'prometheus' is the account of the database's"),
        (
            WATCHED | {"database/roles": {"prometheus": {"app": ["SELECT"]}}},
            "database.roles.prometheus: 'prometheus' is the account of the database's exporter; use another name",
        ),
        (
            WATCHED | {"mesh/flows": [{"source": "oslo-edge", "destination": "oslo-db", "port": 9104}]},
            "is open by their roles; leave it out",
        ),
    ],
)
def test_what_is_refused_in_a_stack_file(changes: dict[str, Any], said: str) -> None:
    assert said in problems(changes)


# The account of the database's exporter.

EXPORTER = access.LocalAccount(privileges=monitoring.PRIVILEGES, connections=monitoring.CONNECTIONS)
WITH_EXPORTER = ORDERS.model_copy(update={"local": {monitoring.ACCOUNT: EXPORTER}})


def test_the_file_of_accounts_is_the_same_without_it() -> None:
    assert '"local"' not in access.render(ORDERS)
    assert json.loads(access.render(WITH_EXPORTER))["local"] == {
        "prometheus": {"connections": 3, "privileges": ["SLAVE MONITOR"]}
    }


def test_the_host_script_reads_it_and_grants_nothing_else() -> None:
    text = access.render(WITH_EXPORTER)
    (account,) = mariadb_access.parse(text).local.values()
    assert account.grant == "GRANT SLAVE MONITOR ON *.*"
    assert account.terms == "IDENTIFIED VIA unix_socket WITH MAX_USER_CONNECTIONS 3"
    for old, new in (("SLAVE MONITOR", "SUPER"), ('"prometheus": {', '"root": {'), ('"prometheus": {', '"app": {')):
        with pytest.raises(mariadb_access.AccessError):
            mariadb_access.parse(text.replace(old, new))


def test_how_it_differs() -> None:
    wanted = mariadb_access.parse(access.render(WITH_EXPORTER)).local["prometheus"]
    good = mariadb_access.StandingAccount(terms=wanted.terms, odd=(wanted.grant,))
    assert list(mariadb_access.differs(wanted, good)) == []
    strange = mariadb_access.StandingAccount(
        hashes=("*0",), terms="", grants={"app": frozenset({"SELECT"})}, role="dba", odd=("GRANT PROCESS ON *.*",)
    )
    assert list(mariadb_access.differs(wanted, strange)) == [
        "logs in otherwise than by the unix socket, or with other limits",
        "has PROCESS ON *.*, too",
        "has SELECT ON `app`.*, too",
        "has `dba`, too",
        "lacks SLAVE MONITOR ON *.*",
    ]


# What asks exporters on their host.


@contextmanager
def exporter(text: str, status: int = 200, address: str = "127.0.0.1") -> Iterator[int]:
    """Somebody who answers on a port of loopback."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((address, 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


FIGURES = "# HELP mysql_up Whether it is up.\nmysql_up 1\nmysql_exporter_last_scrape_error 0\n"


def test_an_exporter_that_answers() -> None:
    with exporter(FIGURES) as port:
        assert exporters_answer.look("127.0.0.1", MYSQLD, port) == {"samples": 2, "wrong": ""}
        assert exporters_answer.main("0", "127.0.0.1", f"mysqld={port}") == 0


@pytest.mark.parametrize(
    ("text", "status", "wrong"),
    [
        (FIGURES.replace("mysql_up 1", "mysql_up 0"), 200, "does not say mysql_up 1"),
        ("<html>\n", 200, "does not say mysql_up 1"),
        (FIGURES, 503, "answers with status 503"),
    ],
)
def test_what_is_no_answer(text: str, status: int, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with exporter(text, status) as port:
        assert exporters_answer.look("127.0.0.1", MYSQLD, port)["wrong"] == wrong
        assert exporters_answer.main("0", "127.0.0.1", f"mysqld={port}") == 1
    assert wrong in capsys.readouterr().err


def test_nobody_answers() -> None:
    with exporter(FIGURES) as port:
        pass
    assert "refused" in str(exporters_answer.look("127.0.0.1", MYSQLD, port)["wrong"])


def test_an_exporter_that_listens_elsewhere_too() -> None:
    with exporter(FIGURES, address="0.0.0.0") as port:
        assert exporters_answer.look("127.0.0.1", MYSQLD, port)["wrong"] == "listens on 0.0.0.0 too"


# What no exporter has.


def test_figures_of_the_host_itself(tmp_path: Path) -> None:
    assert host_figures.render([*host_figures.certificates(tmp_path), *host_figures.backups(tmp_path)]) == ""
    for path in (host_figures.CERTIFICATES[1][1:], host_figures.BACKUP, f"{host_figures.RUNS}/full.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "tests/doubles/site.pem", tmp_path / host_figures.CERTIFICATES[1][1:])
    (tmp_path / host_figures.BACKUP).write_text("{}")
    runs = {"ok": {"at": 1795960800.7, "bytes": 1}, "failed": {"at": 1795960900, "why": "the target is away"}}
    (tmp_path / host_figures.RUNS / "full.json").write_text(json.dumps(runs))
    (tmp_path / "fra-1.conf").write_text("# Written\n# fra-1\n[Peer]\nPublicKey = KEY1=\n")
    names = host_figures.peers(tmp_path)
    seen = host_figures.heard("KEY1=\t1795960800\nSTRANGER=\t1795960801\n", names)
    text = host_figures.render([*host_figures.certificates(tmp_path), *seen, *host_figures.backups(tmp_path)])
    (end,) = re.findall(r'fortress_certificate_end_seconds\{path="/etc/mysql/fortress/server.pem"\} ([0-9]+)\n', text)
    assert int(end) > 1_700_000_000
    figures = [line for line in text.splitlines() if not line.startswith(("#", "fortress_certificate"))]
    assert figures == [
        'fortress_tunnel_heard_seconds{peer="fra-1"} 1795960800',
        'fortress_backup_ok_seconds{run="full"} 1795960801',
        'fortress_backup_ok_seconds{run="ship"} 0',
        'fortress_backup_failed{run="full"} 1',
        'fortress_backup_failed{run="ship"} 0',
    ]


@pytest.mark.parametrize("said", ["", "no table\n", "KEY1=\n", "KEY1=\t-\n", "KEY1=\tnever\n"])
def test_a_tunnel_that_says_nothing_has_no_figure(said: str) -> None:
    assert list(host_figures.heard(said, {"KEY1=": "fra-1"})) == []


# `fortress verify`.

CHECKS = [Check(Kind.EXPORTER, "oslo-db", name) for name in (NODE, MYSQLD)]


def test_what_is_said_of_them() -> None:
    lines = '{"samples": 700, "wrong": ""}\n{"samples": 0, "wrong": "[Errno 111] Connection refused"}\n'
    node, mysqld = exporters.judge(CHECKS, Result(1, lines, "exporters-answer: mysqld: refused"))
    assert (node.status, node.value) == (Status.OK, 700)
    assert mysqld.status is Status.FAIL
    assert "Connection refused" in mysqld.detail


@pytest.mark.parametrize("said", ["", "{}\n{}\n", "[]\nnull\n", '{"samples": "x", "wrong": ""}\n1\n', "one line\n"])
def test_what_is_no_answer_is_unknown(said: str) -> None:
    assert {each.status for each in exporters.judge(CHECKS, Result(0, said, ""))} == {Status.UNKNOWN}


# What Prometheus is told.


def test_its_targets() -> None:
    host = {"mesh_address": "10.100.0.1", "site": "oslo", "exporters": {"node": 9100, "mysqld": 9104}}
    found = targets({"hosts": {"oslo-db": host, "oslo-web": {"mesh_address": "10.100.0.4", "site": "oslo"}}})
    assert found == [
        {"targets": ["10.100.0.1:9104"], "labels": {"host": "oslo-db", "site": "oslo", "exporter": "mysqld"}},
        {"targets": ["10.100.0.1:9100"], "labels": {"host": "oslo-db", "site": "oslo", "exporter": "node"}},
    ]
