"""The texts of a standing fortress, for the rivals to push: what our renderers made, taken from the engine's state.

What is born on hosts differs from one set of hosts to the next: where a peer's file has a key, it has a place for one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fortress import push, wireguard
from fortress.cli.engine import state as states

PEERS = PurePosixPath("/etc/wireguard/wg0.d")
_PUSHED_ALIKE = (
    "/etc/nftables.conf",
    "/etc/nftables.d/",
    "/etc/mysql/mariadb.conf.d/",
    "/etc/systemd/",
    "/etc/haproxy/",
    "/opt/",
)
"""What every tool pushes as it is."""
_KEY = re.compile(r"(?m)^PublicKey = .*$")


def export(resources: list[dict[str, Any]], settings: Mapping[str, Any], folder: Path) -> None:
    """Write the files of each host below `folder`/HOST, and hosts.json with what else the rivals need to know.

    The folder is for its owner alone: the application's password is among them.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    known = {resource["urn"]: resource for resource in resources}
    password, packages = "", dict[str, list[str]]()
    for resource in resources:
        if states.type_of(resource["urn"]) != states.COMMAND:
            continue
        host = states.host_of(resource["urn"], known)
        create, stdin = (states.plain(resource["inputs"].get(key))[0] for key in ("create", "stdin"))
        for command, sent in push.parts(create, stdin):
            if isinstance(command, push.Packages):
                packages.setdefault(host, []).extend(command.names)
            if not isinstance(command, push.Put) or sent is None:
                continue
            text = push.received(sent)
            if command.path.endswith("/database-password"):
                password = text.strip()
            elif command.path.startswith(_PUSHED_ALIKE):
                _write(folder / host / command.path.removeprefix("/"), text)
            elif PurePosixPath(command.path).parent == PEERS and command.path.endswith(".conf"):
                name = PurePosixPath(command.path).stem
                place = "PublicKey = {{ keys['" + name + "'] }}"
                _write(folder / host / "peers" / f"{name}.conf.j2", _KEY.sub(place, text))
    mesh = settings["mesh"]
    hosts = {
        name: {
            "address": host["address"],
            "role": host["role"],
            "mesh_address": mesh["network"].rsplit(".", 1)[0] + f".{host['slot']}",
            "packages": sorted({*_unique(packages[name]), "wireguard-go"}),
        }
        for name, host in settings["hosts"].items()
    }
    about = {
        "hosts": hosts,
        "user": settings["ssh"]["user"],
        "password": password,
        "prefix": mesh["network"].rsplit("/", 1)[1],
        "network": mesh["network"].rsplit("/", 1)[0],
        "port": mesh.get("port", wireguard.PORT),
        "mtu": mesh["mtu"],
        "database": settings["database"]["name"],
        "account": settings["database"]["user"],
        "privileges": settings["database"]["privileges"],
        "workload": settings["workload"]["name"],
        "health": settings["workload"]["health"],
        "server_name": settings["edge"]["server_name"],
    }
    _write(folder / "hosts.json", json.dumps(about, indent=2))


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
