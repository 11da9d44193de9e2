"""The content of the lab's fortress as a pyinfra user writes it."""

from io import StringIO
from pathlib import Path

from pyinfra import host, inventory, local
from pyinfra.facts.server import Command
from pyinfra.operations import files, server, systemd

local.include("bootstrap.py")

folder = Path(host.data.content)

fragments = files.sync(name="Fragments", src=f"{folder}/etc/nftables.d", dest="/etc/nftables.d", mode="644")
base = files.put(name="Base firewall", src=f"{folder}/etc/nftables.conf", dest="/etc/nftables.conf", mode="755")
systemd.service(name="Firewall runs", service="nftables", enabled=True, running=True)
systemd.service(
    name="Reload the firewall",
    service="nftables",
    reloaded=True,
    _if=lambda: fragments.did_change() or base.did_change(),
)

local.include("wireguard.py")

if "database" in host.groups:
    drop_in = files.sync(
        name="Order after the tunnel",
        src=f"{folder}/etc/systemd/system/mariadb.service.d",
        dest="/etc/systemd/system/mariadb.service.d",
        mode="644",
    )
    config = files.put(
        name="MariaDB's configuration",
        src=f"{folder}/etc/mysql/mariadb.conf.d/90-fortress.cnf",
        dest="/etc/mysql/mariadb.conf.d/90-fortress.cnf",
        mode="644",
    )
    systemd.service(
        name="Restart MariaDB",
        service="mariadb",
        restarted=True,
        daemon_reload=True,
        _if=lambda: drop_in.did_change() or config.did_change(),
    )
    account = f"`{host.data.account}`@`{host.data.network}/255.255.255.0`"
    server.shell(
        name="Database and account",
        commands=["mariadb"],
        _stdin=[
            f"CREATE DATABASE IF NOT EXISTS `{host.data.database}`;",
            f"CREATE USER IF NOT EXISTS {account};",
            f"ALTER USER {account} IDENTIFIED BY '{host.data.password}' REQUIRE SSL;",
            f"GRANT {', '.join(host.data.privileges)} ON `{host.data.database}`.* TO {account};",
        ],
    )

if "worker" in host.groups:
    (database,) = inventory.get_group("database")
    authority = database.get_fact(Command, "cat /etc/mysql/fortress/ca.pem", _sudo=True)
    place = f"/etc/fortress/{host.data.workload}"
    pushed = [
        files.put(
            name="The authority's certificate",
            src=StringIO(f"{authority}\n"),
            dest=f"{place}/database-ca.pem",
            mode="644",
            create_remote_dir=True,
        ),
        files.put(
            name="The password",
            src=StringIO(f"{host.data.password}\n"),
            dest=f"{place}/database-password",
            mode="400",
        ),
        files.put(
            name="The workload's unit",
            src=f"{folder}/etc/systemd/system/{host.data.workload}.service",
            dest=f"/etc/systemd/system/{host.data.workload}.service",
            mode="644",
        ),
    ]
    systemd.service(
        name="The unit is known",
        service=host.data.workload,
        enabled=True,
        running=None,
        daemon_reload=True,
        _if=lambda: any(file.did_change() for file in pushed),
    )

local.include("program.py")

if "edge" in host.groups:
    site = "/etc/ssl/private/site.pem"
    name = host.data.server_name
    server.shell(
        name="The edge's certificate",
        commands=[
            f"test -s {site} || {{ umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
            f"-days 398 -subj /CN={name} -addext subjectAltName=DNS:{name} -keyout /tmp/site.key -out /tmp/site.crt "
            f"&& cat /tmp/site.crt /tmp/site.key >{site} && rm /tmp/site.crt /tmp/site.key; }}"
        ],
    )
local.include("haproxy.py")
if "edge" in host.groups:
    systemd.service(name="HAProxy runs", service="haproxy", enabled=True, running=True)
