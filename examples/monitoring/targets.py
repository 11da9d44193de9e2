"""Prometheus' targets of a fortress, from the stack's output `fortress` on standard input; on standard output what
`file_sd_configs` reads. Each has the labels `host`, `site` and `exporter`."""

from __future__ import annotations

import json
import sys
from typing import Any


def targets(fortress: dict[str, Any]) -> list[dict[str, Any]]:
    """A target for each exporter of each host."""
    return [
        {
            "targets": [f"{host['mesh_address']}:{port}"],
            "labels": {"host": name, "site": host["site"], "exporter": exporter},
        }
        for name, host in sorted(fortress["hosts"].items())
        for exporter, port in sorted(host.get("exporters", {}).items())
    ]


if __name__ == "__main__":
    found = targets(json.load(sys.stdin))
    if not found:
        sys.exit("targets.py: no host of this stack has an exporter: set monitoring.scrapers and run `pulumi up`")
    json.dump(found, sys.stdout, indent=2)
    print()
