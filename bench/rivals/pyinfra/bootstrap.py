"""Packages and what is born on hosts: another host's files need these, so the first deploy of all runs this alone."""

from pyinfra import host
from pyinfra.operations import apt, server

apt.packages(
    name="Packages",
    packages=host.data.packages,
    update=True,
    cache_time=3600,
    no_recommends=True,
)
server.shell(
    name="WireGuard key, which stays on the host",
    commands=["umask 077; [ -s /etc/wireguard/wg0.key ] || wg genkey >/etc/wireguard/wg0.key"],
)
if "database" in host.groups:
    server.script(
        name="Authority and certificate",
        src="../database-certificates",
        args=(host.data.mesh_address, host.name),
    )
