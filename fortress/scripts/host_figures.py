#!/usr/bin/python3 -I
"""Figures of this host that its exporters do not have, for a text file that the node exporter reads.

Runs by a timer on each host with exporters, as root (python3, standard library only; openssl where there is a
certificate): host-figures INTERFACE FILE. Times are seconds since 1970; what is not there has no figure.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CERTIFICATES = ("/etc/ssl/private/site.pem", "/etc/mysql/fortress/server.pem")
PEERS = "/etc/wireguard/{}.d"
BACKUP, RUNS = "etc/fortress/backup.json", "var/lib/fortress-backup"

HELP = {
    "fortress_certificate_end_seconds": "When a certificate ends.",
    "fortress_tunnel_heard_seconds": "When the last handshake with a peer was; 0 for never.",
    "fortress_backup_ok_seconds": "When a run of backups last went well; 0 for never.",
    "fortress_backup_failed": "Whether its last run failed.",
}
Figure = tuple[str, dict[str, str], float]


def certificates(root: Path) -> Iterator[Figure]:
    """When those of the services end."""
    for path in CERTIFICATES:
        if (file := root / path[1:]).exists():
            words = ["openssl", "x509", "-noout", "-enddate", "-in", str(file)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                end = done.stdout.strip().removeprefix("notAfter=")
                yield "fortress_certificate_end_seconds", {"path": path}, ssl.cert_time_to_seconds(end)


def peers(folder: Path) -> dict[str, str]:
    """Names of the tunnel's peers by their keys; a file has a key, and is named as its peer."""
    found = {}
    for file in sorted(folder.glob("*.conf")):
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("PublicKey = "):
                found[line.removeprefix("PublicKey = ").strip()] = file.stem
    return found


def heard(handshakes: str, names: Mapping[str, str]) -> Iterator[Figure]:
    """When each peer was, by what `wg show INTERFACE latest-handshakes` prints."""
    for line in handshakes.splitlines():
        key, _, at = line.partition("\t")
        if key in names and at.strip().isdigit():
            yield "fortress_tunnel_heard_seconds", {"peer": names[key]}, float(at)


def backups(root: Path) -> Iterator[Figure]:
    """How the last runs went."""
    if not (root / BACKUP).exists():
        return
    for run in ("full", "ship"):
        try:
            found = json.loads((root / RUNS / f"{run}.json").read_text())
            at, failed = float((found["ok"] or {"at": 0})["at"]), found["failed"] is not None
        except (OSError, ValueError, KeyError, TypeError):
            at, failed = 0.0, False
        yield "fortress_backup_ok_seconds", {"run": run}, at
        yield "fortress_backup_failed", {"run": run}, float(failed)


def render(figures: list[Figure]) -> str:
    """The text, as the exporter reads it."""
    lines = []
    for name, said in HELP.items():
        rows = [(labels, value) for each, labels, value in figures if each == name]
        if rows:
            lines += [f"# HELP {name} {said}", f"# TYPE {name} gauge"]
        for labels, value in rows:
            # A name of a peer, a path or a run of ours: none has a quote in it.
            shown = ",".join(f'{key}="{text}"' for key, text in labels.items())
            lines.append(f"{name}{{{shown}}} {value:.0f}")
    return "".join(f"{line}\n" for line in lines)


def main(interface: str, file: str) -> None:
    """Write the file in one step: the exporter may read at any time."""
    root = Path("/")
    words = ["wg", "show", interface, "latest-handshakes"]
    shown = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    names = peers(Path(PEERS.format(interface)))
    text = render([*certificates(root), *heard(shown, names), *backups(root)])
    new = Path(f"{file}.new")
    new.write_text(text)
    new.chmod(0o644)
    os.replace(new, file)  # noqa: PTH105 - the name that says it


if __name__ == "__main__":
    main(*sys.argv[1:])
