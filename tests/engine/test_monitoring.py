"""What examples/monitoring has for Prometheus, held against Debian's real Prometheus and exporters."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.monitoring.targets import targets
from fortress import access, monitoring
from fortress.haproxy import Backend, Edge, render
from fortress.scripts import host_figures
from lab.base.folders import RELEASES
from tests.engine import debian
from tests.engine.mariadb_host import ADDRESS, Host
from tests.engine.test_mariadb_real import serving
from tests.ports import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "monitoring"
RULES = (EXAMPLE / "rules.yml").read_text()
PACKAGES = ("prometheus", *monitoring.UNITS.values())
WAIT_S = 60.0
CLUSTER = """[mariadbd]
wsrep_on = ON
wsrep_provider = /usr/lib/galera/libgalera_smm.so
wsrep_cluster_address = gcomm://
wsrep_node_address = 10.100.0.1
wsrep_provider_options = "gmcast.listen_addr=tcp://10.100.0.1:4567"
"""
PRIMARY = f"mariadbd --no-defaults --user=mysql --datadir=/tmp/primary --port=3310 --bind-address={ADDRESS} "
PRIMARY += "--socket=/tmp/primary.sock --pid-file=/tmp/primary.pid --server-id=9 --log-bin"
"""A server to copy: of a copy that follows nobody the lag is not among the figures."""
COPY = f"""
CHANGE MASTER TO master_host='{ADDRESS}', master_port=3310, master_user='copy', master_password='copy',
    master_use_gtid=no;
START SLAVE;
"""


@pytest.fixture(scope="module", params=RELEASES)
def root(request: pytest.FixtureRequest) -> Path:
    """Debian's packages of a release, unpacked."""
    return debian.unpacked("prometheus", request.param, 1, PACKAGES)


@pytest.fixture(scope="module")
def promtool(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    path = debian.program(root, "usr/bin/promtool", tmp_path_factory.mktemp("promtool"))

    def run(*words: str, status: int = 0) -> str:
        done = subprocess.run([path, *words], cwd=EXAMPLE, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def wanted(exporter: str) -> set[str]:
    """Names of the figures of one exporter that the rules look at."""
    found = set(re.findall(rf"\b{ {monitoring.MYSQLD: 'mysql'}.get(exporter, exporter) }_[a-z_]+", RULES))
    assert found
    return found


def names(text: str) -> set[str]:
    """Of the figures that an exporter gives."""
    return {re.split(r"[ {]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def scraped(port: int) -> str:
    """What an exporter on this machine answers, once it does."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_rules(promtool: Callable[..., str]) -> None:
    assert "SUCCESS" in promtool("check", "rules", "rules.yml")
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")


def test_a_rule_that_is_no_more_is_seen(promtool: Callable[..., str], tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "rules_test.yml", tmp_path)
    (tmp_path / "rules.yml").write_text(RULES.replace("mysql_up == 0", "mysql_up == 2"))
    assert "FAILED" in promtool("test", "rules", str(tmp_path / "rules_test.yml"), status=1)


def test_each_rule_is_tested() -> None:
    tested = (EXAMPLE / "rules_test.yml").read_text()
    for alert in re.findall(r"- alert: (\w+)", RULES):
        assert re.search(rf"alertname: {alert}\b[^-]*exp_alerts:\n", tested), alert


def test_the_configuration_with_targets_of_a_stack(promtool: Callable[..., str], tmp_path: Path) -> None:
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(EXAMPLE / name, tmp_path)
    host = {"mesh_address": "10.100.0.1", "site": "oslo", "exporters": {"node": 9100}}
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "lab.json").write_text(json.dumps(targets({"hosts": {"oslo-db": host}})))
    assert "SUCCESS" in promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_the_host_s_exporter_gives_what_the_rules_look_at(root: Path, tmp_path: Path) -> None:
    path, port = debian.program(root, "usr/bin/prometheus-node-exporter", tmp_path), free_port()
    (tmp_path / "fortress.prom").write_text(host_figures.render([("fortress_backup_failed", {"run": "full"}, 0.0)]))
    words = [str(path), f"--web.listen-address=127.0.0.1:{port}", f"--collector.textfile.directory={tmp_path}"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as running:
        try:
            text = scraped(port)
        finally:
            running.terminate()
    assert wanted("node") - names(text) == set()
    assert '\nfortress_backup_failed{run="full"} 0\n' in text


def test_what_the_host_says_of_itself_is_what_the_rules_look_at() -> None:
    assert wanted("fortress") - set(host_figures.HELP) == set()


def test_the_edge_gives_what_the_rules_look_at(root: Path, tmp_path: Path) -> None:
    release = root.name.split("-")[1]
    path = debian.program(debian.unpacked("haproxy", release, 1, ["haproxy"]), "usr/sbin/haproxy", tmp_path)
    port = free_port()
    certificate = tmp_path / "site.pem"
    subject = ("-subj", "/CN=lab.fortress.example", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    made = subprocess.run(
        ["openssl", "req", "-x509", *subject, "-keyout", "-"], check=True, capture_output=True, text=True, timeout=60
    )
    certificate.write_text(made.stdout)
    edge = Edge(
        server_name="lab.fortress.example",
        primary=Backend(site="oslo", servers={"oslo-web": "127.0.0.1:1"}, maxconn=4),
        overflow=Backend(site="frankfurt", servers={"fra-1": "127.0.0.1:2"}, maxconn=4),
        maxconn=100,
        certificate=str(certificate),
        stats_socket=str(tmp_path / "admin.sock"),
        bind_http=f"127.0.0.1:{free_port()}",
        bind_https=f"127.0.0.1:{free_port()}",
        user="root",
        group="root",
        chroot=str(tmp_path),
        metrics=f"127.0.0.1:{port}",
    )
    config = tmp_path / "haproxy.cfg"
    config.write_text(render(edge))
    with subprocess.Popen([path, "-W", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            text = scraped(port)
        finally:
            running.terminate()
    assert wanted("haproxy") - names(text) == set()
    # By these labels alerts name what is down.
    assert re.search(r'haproxy_server_status\{proxy="oslo",server="oslo-web",state="DOWN"\} [01]\n', text)
    assert re.search(r'haproxy_backend_active_servers\{proxy="oslo"\} ', text)


def test_an_edge_without_the_tunnel_s_address_starts(root: Path, tmp_path: Path) -> None:
    """The address of documentation is none of this machine's."""
    release = root.name.split("-")[1]
    path = debian.program(debian.unpacked("haproxy", release, 1, ["haproxy"]), "usr/sbin/haproxy", tmp_path)
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        f"global\n  stats socket {tmp_path}/s\ndefaults\n  mode http\n  timeout client 1s\n"
        "frontend prometheus\n  bind 198.51.100.9:8405 transparent\n"
    )
    # As on an edge, whose sandbox has no CAP_NET_ADMIN for what else the word means.
    dropped = ["setpriv", "--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw"]
    with subprocess.Popen([*dropped, path, "-W", "-f", config], stderr=subprocess.PIPE, text=True) as running:
        try:
            deadline = time.monotonic() + WAIT_S
            while not (tmp_path / "s").exists():
                assert running.poll() is None, running.stderr and running.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            running.terminate()


@pytest.fixture(scope="module")
def database(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A member of a Galera cluster that is a copy too, so that all figures are there; with the exporter's account."""
    with serving(tmp_path_factory.mktemp("mariadb"), root.name.split("-")[1]) as db:
        shutil.copy(root / "usr/bin/prometheus-mysqld-exporter", db.root / "usr/bin")
        db.check("useradd", "--system", monitoring.ACCOUNT)
        local = access.LocalAccount(privileges=monitoring.PRIVILEGES, connections=monitoring.CONNECTIONS)
        app = access.Account(networks=["10.100.0.0/24"], privileges={"app": ["SELECT", "INSERT"]})
        text = access.render(access.Access(databases=["app"], accounts={"app": app}, local={monitoring.ACCOUNT: local}))
        db.write(access.PATH, text)
        db.write(monitoring.LOGIN_PATH, monitoring.login())
        db.script("mariadb-access", "check", access.PATH)
        said = db.script("mariadb-access", *access.ensure(text)[1:], stdin=b"app password\n")
        assert "made account prometheus" in said
        again = db.script("mariadb-access", *access.ensure(text)[1:], stdin=b"app password\n")
        assert "prometheus" not in again, "the second run changes nothing"
        yield db


def exported(db: Host) -> str:
    """What MariaDB's exporter says on its host, by the flags of its unit and as the user of it."""
    unit = monitoring.drop_in(monitoring.MYSQLD, ADDRESS).replace("\\\n", " ")
    (command,) = re.findall(r"^ExecStart=(/\S.*)$", unit, re.M)
    port = monitoring.PORTS[monitoring.MYSQLD]
    started = f"setpriv --reuid={monitoring.ACCOUNT} --regid=nogroup --clear-groups {command} >/dev/null 2>&1 & own=$!"
    asked = (
        "use IO::Socket::INET; for (1..300) { "
        f'last if $s = IO::Socket::INET->new("{ADDRESS}:{port}"); select undef, undef, undef, 0.2 }} '
        'print $s "GET /metrics HTTP/1.0\\r\\n\\r\\n"; print while <$s>'
    )
    return db.check("sh", "-c", f"{started}; perl -e '{asked}'; kill $own; wait", timeout=120)


def test_the_database_s_exporter_gives_what_the_rules_look_at(database: Host) -> None:
    text = exported(database)
    assert "\nmysql_up 1\n" in text
    refused = re.findall(r"\nmysql_exporter_(?:last_scrape_error 1|collector_success\{[^}]*\} 0)", text)
    assert refused == [], "it may read all that it is told to"
    database.check("systemctl", "stop", "mariadb.service")
    database.write("/etc/mysql/mariadb.conf.d/95-cluster.cnf", CLUSTER)
    database.check("systemctl", "start", "mariadb.service")
    install = ("--rpm", "--cross-bootstrap", "--user=mysql", "--datadir=/tmp/primary", "--skip-test-db")
    database.check("mariadb-install-db", "--no-defaults", *install)
    database.check("sh", "-c", f"setsid {PRIMARY} >/tmp/primary.log 2>&1 </dev/null &")
    client = "mariadb --no-defaults --socket=/tmp/primary.sock"
    made = "CREATE USER copy IDENTIFIED BY 'copy'; GRANT REPLICATION SLAVE ON *.* TO copy"
    database.check(
        "sh",
        "-c",
        f'i=0; until {client} -e "SELECT 1"; do i=$((i + 1)); [ $i -lt 300 ] || exit 1; sleep 0.2; done; '
        f'{client} -e "{made}"',
        timeout=120,
    )
    database.sql(COPY)
    deadline = time.monotonic() + WAIT_S
    while missing := wanted("mysql") - names(text := exported(database)):
        assert time.monotonic() < deadline, (missing, database.sql("SHOW SLAVE STATUS")[0][34:38])
    assert re.search(r"\nmysql_slave_status_slave_io_running\{[^}]*\} 1\n", text)
    assert "\nmysql_global_variables_wsrep_on 1\n" in text
    assert "\nmysql_global_status_wsrep_ready 1\n" in text


def test_its_account_reads_no_table_and_no_statement_of_others(database: Host) -> None:
    mine = ("setpriv", f"--reuid={monitoring.ACCOUNT}", "--regid=nogroup", "--clear-groups", "mariadb", "--no-defaults")
    for question in ("SELECT * FROM app.t", "SELECT * FROM mysql.global_priv", "SHOW ENGINE INNODB STATUS"):
        assert database.run(*mine, "-e", question).returncode != 0, question
    seen = database.check(
        *mine, "--batch", "--skip-column-names", "-e", "SELECT DISTINCT USER FROM information_schema.PROCESSLIST"
    )
    assert seen.split() == [monitoring.ACCOUNT]
    others = database.run("setpriv", "--reuid=mysql", "--clear-groups", "--regid=mysql", *mine[4:], "--user=prometheus")
    assert others.returncode != 0, "who runs as somebody else is not let in by that name"


def test_what_hands_grant_it_is_seen_and_taken_away(database: Host) -> None:
    text = (database.root / access.PATH[1:]).read_text()
    state = json.loads(database.script("mariadb-access", "state"))
    assert state["differences"] == []
    database.sql("SET wsrep_on = OFF; GRANT SELECT ON *.* TO prometheus@localhost; CREATE USER prometheus@'%'")
    state = json.loads(database.script("mariadb-access", "state"))
    assert any("SELECT" in each for each in state["differences"])
    assert "prometheus may come from %, too" in state["differences"]
    database.script("mariadb-access", *access.ensure(text)[1:], stdin=b"app password\n")
    assert json.loads(database.script("mariadb-access", "state"))["differences"] == []
    assert database.sql("SELECT Host FROM mysql.user WHERE User = 'prometheus'") == [["localhost"]]
    database.script("mariadb-access", "remove")
    assert database.sql("SELECT Host FROM mysql.user WHERE User = 'prometheus'") == []
