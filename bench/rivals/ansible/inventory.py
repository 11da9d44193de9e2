#!/usr/bin/env python3
"""The inventory, from what the bench has exported: $CONTENT/hosts.json."""

import json
import os
from pathlib import Path

content = Path(os.environ["CONTENT"])
known = json.loads((content / "hosts.json").read_text())
hosts = known.pop("hosts")
groups = {
    role: {"hosts": [name for name, host in hosts.items() if host["role"] == role]}
    for role in ("database", "edge", "worker")
}
variables = {
    name: {**host, "ansible_host": host["address"], "ansible_user": known["user"], "content": f"{content}/{name}"}
    for name, host in hosts.items()
}
print(json.dumps({"_meta": {"hostvars": variables}, "all": {"vars": known}, **groups}))
