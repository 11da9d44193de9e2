"""One file: the edge's configuration."""

from pyinfra import host
from pyinfra.operations import files, systemd

if "edge" in host.groups:
    config = files.put(
        name="HAProxy's configuration",
        src=f"{host.data.content}/etc/haproxy/haproxy.cfg",
        dest="/etc/haproxy/haproxy.cfg",
        group="haproxy",
        mode="640",
    )
    systemd.service(name="Reload HAProxy", service="haproxy", reloaded=True, _if=config.did_change)
