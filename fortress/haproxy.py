"""The edge's haproxy.cfg: Oslo first, Frankfurt when Oslo has no live server and when connections spike.

`Edge` holds the facts and refuses what could become configuration of its own; `render` gives the text.
All times are whole milliseconds. Written for HAProxy 2.6 to 3.0, as Debian 12, Debian 13 and Ubuntu 24.04 package it
(master and worker under systemd, reloaded and never restarted). Figures without a source beside them:
docs/decisions/0006.

How load bleeds
---------------
Each server takes `maxconn` requests at once. `be_conn_free(primary)` is the sum of the slots that live primary servers
have left. It is read for every request, not for every connection, so a client that keeps its connection is moved, and
moved back, between two requests:

- above 0: the primary site answers;
- 0: all slots are taken, so the request goes to the overflow site if that has a free slot, and else waits at home,
  at most `queue_ms`;
- -1: no primary server lives. HAProxy gives -1 as soon as one usable server has no limit, and the only such server is
  the backup that leads to the overflow site, which counts only when no other lives.

So at twice the primary's slots about half of the requests leave, none is refused while one of both sites has room, and
the first request after the spike that finds a slot at home stays at home: the share is back at 0 at once, with no
threshold to tune and no hysteresis to wait for.

What a dying server costs
-------------------------
A request that cannot connect is tried until its server is marked down and then goes elsewhere, to the overflow site if
no primary server lives: it takes longer, at most the bound below and one more try. A request that was sent is sent
again only if it changes nothing (GET, HEAD, OPTIONS); others get 502. Measured with HAProxy 2.6 and 3.0: none lost
when the process dies. What a server has taken and never answers, 2.6 sends elsewhere when it marks the server down, and
closes on a few of those that were connecting (1 of 48 in 8 deaths of a host). 3.0 would close on all of both, so it is
not told to, and none that was connecting is lost. What a host has taken that is gone goes elsewhere when TCP's
keepalive finds that out, after 4 s; what a process has taken that hangs gets 504 after the server's timeout, unless it
goes on before.
"""

import dataclasses
import ipaddress
import math
import re
from collections.abc import Mapping

from fortress import text

# Mozilla's "intermediate" list for servers, without its DHE suites: TLS 1.2 needs forward secrecy and AEAD.
TLS_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
TLS_CIPHERSUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")

HTTP_PORT, HTTPS_PORT = 80, 443
STATS_SOCKET = "/run/haproxy/admin.sock"
CERTIFICATE = "/etc/ssl/private/site.pem"
SELF_SIGNED_NAME = "fortress edge"
"""Subject of a certificate that edge-certificate made."""
SELF_SIGNED_DAYS = 398
RENEW_DAYS = 30
"""Days before its end from which edge-certificate makes another one, and mariadb-authority too."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_FILE = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_PORT = re.compile(r"[0-9]{1,5}")


def _refuse(field: str, value: object, wanted: str) -> ValueError:
    return ValueError(f"{field}: {value!r} is not {wanted}")


def _check_match(field: str, value: object, pattern: re.Pattern[str], wanted: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _refuse(field, value, wanted)


def _check_number(field: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _refuse(field, value, f"a whole number from {low} to {high}")


def _check_name(field: str, value: object) -> None:
    _check_match(field, value, _NAME, "a name of lower-case letters, digits, dots and hyphens, at most 63")


def _check_path(field: str, value: object) -> None:
    _check_match(field, value, _FILE, "an absolute path of letters, digits, dots, hyphens and underscores")


def _check_address(field: str, value: object, *, any_address: bool = False) -> None:
    """Accept "192.0.2.1:80" and "[2001:db8::1]:80", and ":80" where any local address will do."""
    wanted = "an address and port such as 10.100.0.3:80 or [2001:db8::1]:80" + (" or :80" if any_address else "")
    if not isinstance(value, str):
        raise _refuse(field, value, wanted)
    host, colon, port = value.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise _refuse(field, value, wanted)
    if any_address and not host:
        return
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise _refuse(field, value, wanted) from None
    if (address.version == 6) != bracketed or "%" in host:
        raise _refuse(field, value, wanted)


@dataclasses.dataclass(frozen=True)
class Backend:
    """The servers of one site.

    site: name of the site, and of the backend in haproxy.cfg and in its statistics.
    servers: host name -> "address:port"; may be empty.
    maxconn: requests that each server takes at once; the rest waits or goes to the other site.
    """

    site: str
    servers: Mapping[str, str]
    maxconn: int

    def __post_init__(self) -> None:
        """Raise ValueError naming the field."""
        _check_name("site", self.site)
        if not isinstance(self.servers, Mapping):
            raise _refuse(f"{self.site}.servers", self.servers, "a mapping of host name to address and port")
        for name, address in self.servers.items():
            _check_name(f"{self.site}.servers", name)
            _check_address(f"{self.site}.servers.{name}", address)
        _check_number(f"{self.site}.maxconn", self.maxconn, 1, 1_000_000)

    @property
    def slots(self) -> int:
        """Requests that the site takes at once when all its servers live."""
        return len(self.servers) * self.maxconn


@dataclasses.dataclass(frozen=True)
class Checks:
    """How a dead server is found; the slowest allowed are the article's inter 2000, fall 3, rise 2.

    inter_ms: from the end of a check to the next one. fastinter_ms: the same while the state is about to change.
    fall, rise: checks in a row that mark a server down, up.
    timeout_ms: for the answer to a check, once connected.
    connect_ms: for opening a connection, be it for a check or for a request; at most the article's 5 s.
    """

    inter_ms: int = 1000
    fastinter_ms: int = 200
    fall: int = 2
    rise: int = 2
    timeout_ms: int = 400
    connect_ms: int = 400

    def __post_init__(self) -> None:
        """Raise ValueError naming the field."""
        _check_number("checks.inter_ms", self.inter_ms, 100, 2000)
        _check_number("checks.fastinter_ms", self.fastinter_ms, 50, self.inter_ms)
        _check_number("checks.fall", self.fall, 1, 3)
        _check_number("checks.rise", self.rise, 1, 2)
        _check_number("checks.timeout_ms", self.timeout_ms, 50, 2000)
        _check_number("checks.connect_ms", self.connect_ms, 50, 5000)


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """client_ms, server_ms: for the next bytes from that side; queue_ms: the longest wait for a free slot (our choice:
    half of the client's patience)."""

    client_ms: int = 10_000
    server_ms: int = 10_000
    queue_ms: int = 5_000

    def __post_init__(self) -> None:
        """Raise ValueError naming the field."""
        for field in dataclasses.fields(self):
            _check_number(f"timeouts.{field.name}", getattr(self, field.name), 100, 3_600_000)


@dataclasses.dataclass(frozen=True)
class Edge:
    """The facts of one edge.

    server_name: DNS name that clients ask for; the health checks send it as Host.
    primary, overflow: the site that answers, and the one that helps it.
    maxconn: client connections that the edge takes; above the primary's slots, or load could never bleed.
    health_path: answers 200 while a server can work.
    certificate: certificate chain and key in one PEM file.
    bind_http, bind_https: where clients connect, "address:port" or ":port".
    user, group, chroot: what the process becomes after its start; Debian's package makes them.
    """

    server_name: str
    primary: Backend
    overflow: Backend
    maxconn: int = 2000
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)
    checks: Checks = dataclasses.field(default_factory=Checks)
    health_path: str = "/health"
    certificate: str = CERTIFICATE
    stats_socket: str = STATS_SOCKET
    bind_http: str = f":{HTTP_PORT}"
    bind_https: str = f":{HTTPS_PORT}"
    user: str = "haproxy"
    group: str = "haproxy"
    chroot: str = "/var/lib/haproxy"

    def __post_init__(self) -> None:
        """Raise ValueError naming the field."""
        labels = self.server_name.split(".") if isinstance(self.server_name, str) else []
        if not labels or len(self.server_name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise _refuse("server_name", self.server_name, "a DNS name in lower case")
        if self.primary.site == self.overflow.site:
            raise _refuse("overflow.site", self.overflow.site, "another site than the primary's")
        for name in self.overflow.servers:
            if name in self.primary.servers:
                raise _refuse(f"{self.overflow.site}.servers", name, f"a host that {self.primary.site} does not have")
        _check_number("maxconn", self.maxconn, 1, 1_000_000)
        if self.primary.slots >= self.maxconn:
            raise _refuse(
                "maxconn",
                self.maxconn,
                f"above the {self.primary.slots} slots of {self.primary.site}'s servers: load could never bleed",
            )
        _check_match("health_path", self.health_path, _URL_PATH, "the path of a URL")
        for field in ("certificate", "stats_socket", "chroot"):
            _check_path(field, getattr(self, field))
        for field in ("bind_http", "bind_https"):
            _check_address(field, getattr(self, field), any_address=True)
        for field in ("user", "group"):
            _check_match(field, getattr(self, field), _ACCOUNT, "the name of an account")


def certificate_arguments(certificate: str, server_name: str) -> tuple[str, ...]:
    """Give the arguments of edge-certificate for the edge's own certificate, which haproxy then reads."""
    return ("--reload", "haproxy", certificate, str(SELF_SIGNED_DAYS), str(RENEW_DAYS), server_name)


def detection_bound_ms(checks: Checks, black_hole: bool) -> int:
    """Give the longest time in ms from a server's death until it is marked down, network delay not counted.

    The worst death comes just after a check passed: `inter` until the next one, `fall` failing checks, `fastinter`
    between them. black_hole=False: the host answers and refuses (process dead), so a failing check takes no time.
    black_hole=True: nothing answers (power gone, link cut), or the connection opens and then nothing comes (process
    hung); a failing check then takes as long as HAProxy waits, min(connect, inter) to connect and then `timeout`.
    Derived from HAProxy's src/check.c and src/tcpcheck.c.
    """
    failing = max(min(checks.connect_ms, checks.inter_ms), checks.timeout_ms) if black_hole else 0
    return checks.inter_ms + checks.fall * failing + (checks.fall - 1) * checks.fastinter_ms


def retries(checks: Checks) -> int:
    """Give how often a failed connection is tried again, so that two tries come after the server is marked down.

    A try into a black hole takes `connect`; after a refused one HAProxy waits min(1 s, `connect`). A server that is
    marked down before the last tries is left for a live one, if need be at the overflow site. Two, since HAProxy 2.6
    ends the streams of a server that it marks down, and one that was connecting ends in its next try, wherever that
    goes.
    """
    silent = detection_bound_ms(checks, black_hole=True) / checks.connect_ms
    refused = detection_bound_ms(checks, black_hole=False) / min(1000, checks.connect_ms)
    return math.ceil(max(silent, refused)) + 1


def _duration(milliseconds: int) -> str:
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def render(edge: Edge) -> str:
    """Give haproxy.cfg as it stands on the host: one line a server, servers in the order of their names."""
    return text.render(
        "haproxy.cfg.j2",
        edge=edge,
        duration=_duration,
        primary=edge.primary,
        overflow=edge.overflow,
        retries=retries(edge.checks),
        tls_ciphers=TLS_CIPHERS,
        tls_ciphersuites=TLS_CIPHERSUITES,
        # No host has an underscore in its name, and no two edges in one network namespace share a port.
        hop=f"to_{edge.overflow.site}",
        hop_socket=f"{edge.overflow.site}-{edge.bind_https.rpartition(':')[2]}",
    )
