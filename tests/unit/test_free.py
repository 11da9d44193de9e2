"""`in-force …-free`: which services of a host the first push may take, and which are another hand's; under dash."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fortress import firewall, haproxy, mariadb, text

Free = Callable[..., tuple[int, str]]
EDGE = haproxy.Edge(
    server_name="lab.fortress.example",
    primary=haproxy.Backend(site="oslo", servers={"oslo-web": "10.100.0.4:80"}, maxconn=40),
    overflow=haproxy.Backend(site="frankfurt", servers={"fra-1": "10.100.0.2:80"}, maxconn=40),
)
OWN_HAPROXY = "global\n    maxconn 100\n"
DEBIAN_NFT = (
    "#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n\tchain input {\n"
    "\t\ttype filter hook input priority filter;\n\t}\n}\n"
)


@pytest.fixture
def free(tmp_path: Path) -> Free:
    """What the script says of a place on a host, whose programs print what they are given here."""

    def run(
        what: str,
        place: Path,
        *known: str,
        packaged: str | None = None,
        recorded: str = "",
        tables: str = "",
        datadir: Path | None = None,
        listens: str = "",
        units: str = "",
    ) -> tuple[int, str]:
        sum_ = "" if packaged is None else hashlib.md5(packaged.encode(), usedforsecurity=False).hexdigest()
        tools = {
            "fortress-push": f"printf '{recorded}\\tx\\t-\\t-\\t1\\tby\\n'" if recorded else "true",
            "dpkg-query": f"printf ' /etc/other 0\\n {place} {sum_}\\n'" if sum_ else "exit 1",
            "nft": f"printf '{tables}'",
            "ss": f"[ \"$2\" != 'sport = :3306' ] || echo 'LISTEN 0 80 {listens} *:*'" if listens else "true",
            "systemctl": f"printf '{units}'",
            "my_print_defaults": f"printf -- '--user=mysql\\n--datadir={datadir}\\n'" if datadir else "exit 127",
        }
        for name, script in tools.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        done = subprocess.run(
            ["dash", "-s", f"{what}-free", str(place), *known],
            input=text.script("in-force"),
            capture_output=True,
            text=True,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            check=False,
        )
        return done.returncode, done.stderr

    return run


def refused(found: tuple[int, str], what: str) -> str:
    """The cure of a refusal."""
    code, said = found
    assert code == 1
    before, _, cure = said.partition("; nothing was changed. ")
    assert before == f"this host has {what}, which no push made"
    assert "set adopt: true for the host" in cure
    return cure


def test_a_haproxy_of_another_hand(free: Free, tmp_path: Path) -> None:
    place = tmp_path / "haproxy.cfg"
    assert free("haproxy", place) == (0, "")  # there is none
    place.write_text(OWN_HAPROXY)
    for packaged in (None, "global\n"):
        assert "apt-get purge haproxy" in refused(
            free("haproxy", place, packaged=packaged), f"an HAProxy of its own, by {place}"
        )


def test_a_haproxy_as_packaged_or_of_ours(free: Free, tmp_path: Path) -> None:
    place = tmp_path / "haproxy.cfg"
    place.write_text(OWN_HAPROXY)
    assert free("haproxy", place, packaged=OWN_HAPROXY) == (0, "")
    assert free("haproxy", place, recorded=str(place)) == (0, "")  # edited by hand since
    place.write_text(haproxy.render(EDGE))
    assert free("haproxy", place) == (0, "")  # its record is lost


def test_a_firewall_of_another_hand(free: Free, tmp_path: Path) -> None:
    place = tmp_path / "nftables.conf"
    place.write_text(DEBIAN_NFT.replace("priority filter;", "priority filter; policy drop;"))
    refused(free("nftables", place, packaged=DEBIAN_NFT), f"an {place} of its own")
    place.write_text(DEBIAN_NFT)
    place.unlink()  # a ruleset that no file loads
    refused(free("nftables", place, tables="table ip nat\\n"), "nftables tables of its own (ip nat)")
    place.write_text(DEBIAN_NFT)
    live = "table inet filter\\ntable ip nat\\ntable inet f2b-table\\n"
    cure = refused(
        free("nftables", place, packaged=DEBIAN_NFT, tables=live), "nftables tables of its own (ip nat, inet f2b-table)"
    )
    assert "verify.firewall_tables" in cure
    refused(
        free("nftables", place, "ip nat", packaged=DEBIAN_NFT, tables=live),
        "nftables tables of its own (inet f2b-table)",
    )


def test_a_firewall_as_packaged_or_of_ours(free: Free, tmp_path: Path) -> None:
    place = tmp_path / "nftables.conf"
    assert free("nftables", place) == (0, "")  # there is none
    place.write_text(DEBIAN_NFT)
    assert free("nftables", place, packaged=DEBIAN_NFT) == (0, "")
    # What the file itself loads, and what the settings name.
    live = "table inet filter\\ntable ip nat\\n"
    assert free("nftables", place, "ip nat", packaged=DEBIAN_NFT, tables=live) == (0, "")
    assert free("nftables", place, recorded=str(place), tables=live) == (0, "")
    place.write_text(firewall.render_base(firewall.Base(operators=["192.0.2.10/32"], ssh_port=22)))
    assert free("nftables", place, tables="table inet fortress\\ntable ip nat\\n") == (0, "")  # its record is lost


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of a MariaDB that was just installed, on a volume."""
    folder = tmp_path / "data"
    for name in ("mysql", "performance_schema", "sys", "lost+found"):
        (folder / name).mkdir(parents=True)
        (folder / name / "db.opt").touch()
        (folder / name / "accounts.frm").touch()
    (folder / "ibdata1").touch()
    return folder


def table(folder: Path, database: str) -> None:
    (folder / database).mkdir()
    (folder / database / "db.opt").touch()
    (folder / database / "orders.ibd").touch()


def test_databases_of_another_hand(free: Free, data: Path, tmp_path: Path) -> None:
    table(data, "shop")
    table(data, "wiki")
    refused(free("mariadb", data), f"databases of its own in {data} (shop, wiki)")
    (tmp_path / "default").mkdir()
    refused(free("mariadb", tmp_path / "default", datadir=data), f"databases of its own in {data} (shop, wiki)")


def test_a_server_without_databases_or_with_ours(free: Free, data: Path) -> None:
    assert free("mariadb", data.parent / "none") == (0, "")
    assert free("mariadb", data) == (0, "")
    (data / "app").mkdir()
    (data / "app" / "db.opt").touch()
    assert free("mariadb", data) == (0, "")  # an `up` was cut before its record was there
    (data / "app" / "orders.ibd").touch()
    assert free("mariadb", data, recorded=mariadb.DROP_IN_PATH) == (0, "")
    # A kept volume, on a machine that has no record of it.
    table(data, "_fortress")
    assert free("mariadb", data) == (0, "")


@pytest.mark.parametrize(
    ("listens", "others"),
    [
        ("0.0.0.0:3306", True),
        ("[::]:3306", True),
        ("*:3306", True),
        ("192.0.2.11:3306", True),
        ("127.0.0.1:3306", False),
        ("[::1]:3306", False),
        ("[::ffff:127.0.0.1]:3306", False),
        ("", False),
    ],
)
def test_clients_of_another_hands_database_keep_it(
    free: Free, data: Path, tmp_path: Path, listens: str, others: bool
) -> None:
    """The firewall comes first, and would cut them off."""
    table(data, "shop")
    found = free("nftables", tmp_path / "nftables.conf", datadir=data, listens=listens)
    if others:
        refused(found, f"databases of its own in {data} (shop)")
    else:
        assert found == (0, "")


EXPORTER = "prometheus-node-exporter"
UNIT = f"/etc/systemd/system/{EXPORTER}.service"
PACKAGED_UNIT = f"/lib/systemd/system/{EXPORTER}.service\\n"
OPTIONS = 'ARGS=""\n'


def test_an_exporter_of_another_hand(free: Free, tmp_path: Path) -> None:
    place = tmp_path / EXPORTER
    for units in (f"{UNIT}\\n", f"{PACKAGED_UNIT}{UNIT}.d/theirs.conf {UNIT}.d/50-fortress.conf\\n"):
        found = free("exporter", place, units=units)
        at = f"{UNIT}.d/theirs.conf" if "theirs" in units else UNIT
        assert f"apt-get purge {EXPORTER}" in refused(found, f"a {EXPORTER} of its own, by {at}")
    place.write_text('ARGS="--collector.systemd"\n')
    refused(free("exporter", place, packaged=OPTIONS, units=PACKAGED_UNIT), f"a {EXPORTER} of its own, by {place}")


def test_an_exporter_as_packaged_or_of_ours(free: Free, tmp_path: Path) -> None:
    place = tmp_path / EXPORTER
    assert free("exporter", place) == (0, "")  # there is none
    place.write_text(OPTIONS)
    everywhere = "/etc/systemd/system/service.d/limits.conf"
    assert free("exporter", place, packaged=OPTIONS, units=f"{PACKAGED_UNIT}{everywhere}\\n") == (0, "")
    # An `up` was cut before its record was there.
    cut = f"{PACKAGED_UNIT}{UNIT}.d/50-fortress.conf\\n"
    assert free("exporter", place, packaged=OPTIONS, units=cut) == (0, "")
    place.write_text("ARGS=--edited\n")
    recorded = f"{UNIT}.d/50-fortress.conf"
    assert free("exporter", place, packaged=OPTIONS, recorded=recorded, units=cut) == (0, "")
