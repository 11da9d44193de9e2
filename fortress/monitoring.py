"""Metrics for Prometheus: the exporters of a host, from Debian's packages, and the text of the files that bind them.

Each listens on the host's address in the tunnel and nowhere else, and the firewall lets in those who scrape it. The
database's logs in by the unix socket, without a password, and may read states, no table and no statement of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fortress import push, wireguard
from fortress.text import render
from fortress.values import Model, Source, TunnelAddress, distinct

NODE, MYSQLD, HAPROXY = "node", "mysqld", "haproxy"
"""Exporters, by the names that Prometheus' own documents have for them."""
PORTS = {NODE: 9100, MYSQLD: 9104, HAPROXY: 8405}
"""Where each listens: the first two have these ports of Prometheus' list, HAProxy's is in its documentation."""
UNITS = {NODE: "prometheus-node-exporter", MYSQLD: "prometheus-mysqld-exporter"}
"""Units, and the packages that they come in. HAProxy has its exporter in itself."""
LOGIN_PATH = "/etc/fortress/exporter.cnf"
SCRIPT, TOOL = "exporters_answer.py", "exporters-answer"
"""What asks them on their host, and its name there."""
FIGURES_SCRIPT, FIGURES_TOOL = "host_figures.py", "host-figures"
"""What writes the figures that no exporter has, and its name on the host."""
FIGURES_UNIT, FIGURES_TIMER = "fortress-figures.service", "fortress-figures.timer"
TEXT_FOLDER = "/var/lib/prometheus/node-exporter"
"""Where Debian's node exporter reads text files."""
FIGURES_PATH = f"{TEXT_FOLDER}/fortress.prom"
ANSWER_S = 30
"""Seconds within which they must answer after a change."""

ACCOUNT = "prometheus"
"""The user that Debian's units run as: by the unix socket MariaDB lets it in as the account of this name."""
PRIVILEGES: tuple[Literal["SLAVE MONITOR"], ...] = ("SLAVE MONITOR",)
"""On the whole server: SHOW SLAVE STATUS. Status and variables are for everyone who is let in. PROCESS is left out,
which shows statements of others, and with it what only that could read (compressed pages)."""
CONNECTIONS = 3
"""At a time: a scrape takes one."""

Scrapers = Annotated[list[Source], Field(min_length=1), AfterValidator(distinct)]


class Exporters(Model):
    """The exporters of one host."""

    address: TunnelAddress
    """The host's address in the tunnel."""
    scrapers: Scrapers
    """Addresses in the tunnel of those who may ask them."""
    database: bool = False
    """Whether MariaDB's is among them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are units of their own."""
        return (NODE, MYSQLD) if self.database else (NODE,)


def free(exporter: str) -> tuple[str, ...]:
    """The words that refuse an exporter of the host's own, by the file from which Debian's unit takes options."""
    return push.script(push.IN_FORCE, "exporter-free", f"/etc/default/{UNITS[exporter]}")


def drop_in_path(exporter: str) -> str:
    """Where the drop-in of an exporter's unit stands."""
    return f"/etc/systemd/system/{UNITS[exporter]}.service.d/50-fortress.conf"


def drop_in(exporter: str, address: str) -> str:
    """Give the systemd drop-in of an exporter: where it listens, and what it reaches of the host."""
    listens = f"{address}:{PORTS[exporter]}"
    return render(f"{UNITS[exporter]}.service.conf.j2", listens=listens, login=LOGIN_PATH)


def login() -> str:
    """Give the file at LOGIN_PATH, by which MariaDB's exporter logs in."""
    return render("exporter.cnf.j2", account=ACCOUNT)


def haproxy_address(address: str) -> str:
    """Where HAProxy's exporter listens on a host with this address in the tunnel."""
    return f"{address}:{PORTS[HAPROXY]}"


def figures_service() -> str:
    """Give the unit that writes FIGURES_PATH."""
    program = f"{push.LIBRARY}/{FIGURES_TOOL}"
    return render(
        "fortress-figures.service.j2",
        program=program,
        interface=wireguard.INTERFACE,
        file=FIGURES_PATH,
        folder=TEXT_FOLDER,
    )


def figures_timer() -> str:
    """Give the timer of that unit."""
    return render("fortress-figures.timer.j2")


def question(address: str, exporters: Sequence[str], seconds: int) -> tuple[str, ...]:
    """The arguments of SCRIPT: so many seconds to wait, where, and which."""
    return (str(seconds), address, *(f"{each}={PORTS[each]}" for each in exporters))


def answers(exporters: Exporters) -> tuple[str, ...]:
    """The words that ask the exporters of a host, and fail unless all of them answer."""
    return push.script(TOOL, *question(exporters.address, exporters.names, ANSWER_S))
