"""The inventory, from what the bench has exported: $CONTENT/hosts.json."""

import json
import os
from pathlib import Path

content = Path(os.environ["CONTENT"])
known = json.loads((content / "hosts.json").read_text())
described = known.pop("hosts")


def _of(role: str) -> list[tuple[str, dict[str, object]]]:
    return [
        (
            name,
            {
                **known,
                **host,
                "ssh_hostname": host["address"],
                "ssh_user": known["user"],
                "ssh_known_hosts_file": os.environ["KNOWN_HOSTS"],
                "ssh_strict_host_key_checking": "yes",
                "content": f"{content}/{name}",
                "_sudo": True,
            },
        )
        for name, host in described.items()
        if host["role"] == role
    ]


database, edge, worker = _of("database"), _of("edge"), _of("worker")
