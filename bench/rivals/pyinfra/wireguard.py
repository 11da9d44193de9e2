"""One file on each host: the tunnel's configuration."""

from io import StringIO
from pathlib import Path

from jinja2 import Template
from pyinfra import host, inventory
from pyinfra.facts.server import Command
from pyinfra.operations import files, server, systemd

PUBLIC = "wg pubkey </etc/wireguard/wg0.key"

keys = {other.name: other.get_fact(Command, PUBLIC, _sudo=True) for other in inventory}
peers = "\n".join(
    Template(file.read_text()).render(keys=keys) for file in sorted(Path(f"{host.data.content}/peers").iterdir())
)
text = f"""[Interface]
Address = {host.data.mesh_address}/{host.data.prefix}
ListenPort = {host.data.port}
MTU = {host.data.mtu}
PostUp = wg set %i private-key /etc/wireguard/%i.key

{peers}
"""
config = files.put(name="The tunnel's configuration", src=StringIO(text), dest="/etc/wireguard/wg0.conf", mode="600")
systemd.service(name="The tunnel runs", service="wg-quick@wg0", enabled=True, running=True)
server.shell(
    name="Synchronise the tunnel",
    commands=[
        'wg-quick strip wg0 | sed "/^\\[Interface\\]/a PrivateKey = $(cat /etc/wireguard/wg0.key)"'
        " | wg syncconf wg0 /dev/stdin",
        f"ip link set dev wg0 mtu {host.data.mtu}",
    ],
    _if=config.did_change,
)
