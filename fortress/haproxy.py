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

What stays at home
------------------
Requests with `home_paths` or `home_methods` never reach a server of the overflow site: its own backend refuses them,
whichever way they came. They wait at home for a slot, at most `queue_ms`, and get 503 where no server lives there. They
are served by the primary's one backend, since another one with the same servers would count slots of its own. A path
counts decoded and without regard to case; one that an application may read otherwise than HAProxy stays at home too.

What a dying server costs
-------------------------
A request that cannot connect is tried until its server is marked down and then goes elsewhere, to the overflow site if
no primary server lives: it takes longer, at most the bound below and one more try. A request that was sent is sent
again only if it changes nothing (GET, HEAD, OPTIONS); others get 502. Measured when the process dies: with HAProxy 3.0
none of 439,000 lost in 550 deaths; with 2.6 none, or 2 of 110,000 in 8 deaths under full load, and 503 while two
servers that died together are not marked down.

With 3.0 what changes nothing goes over kept connections. After one broke, all tries of its request come within a
millisecond (HAProxy waits between tries only if the first connection was a new one). Only the first try takes a kept
connection, since the others are broken too and HAProxy may not have seen it yet; at the primary site ERROR_LIMIT failed
connections in a row mark a server down, before the checks find out; if no other server lives, a request waits once for
one that starts again. Other requests have a connection of their own: they meet a dead server when they connect, and
are not lost. Before 3.0 every request to the primary site has: what hangs goes elsewhere there because
HAProxy ends the streams of a server that it marks down, and where failed tries do that it closes on others that are
connecting (on 1 to 54 clients in 8 deaths).

What a server has taken and never answers, 2.6 sends elsewhere when it marks the server down, and closes on a few of
those that were connecting (1 of 48 in 8 deaths of a host). 3.0 would close on all of both, so it is not told to, and
none that was connecting is lost. What a host has taken that is gone goes elsewhere when it has acknowledged nothing for
2 s; what a process has taken that hangs gets 504 after the server's timeout, unless it goes on before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from fortress import text
from fortress.values import (
    AddressAndPort,
    BindAddress,
    DnsName,
    HomePath,
    MemberName,
    Method,
    Model,
    PlainPath,
    UrlPath,
    User,
    distinct,
    refusal,
)

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
CONFIG_PATH = "/etc/haproxy/haproxy.cfg"
DROP_IN_PATH = "/etc/systemd/system/haproxy.service.d/50-fortress.conf"
CERTIFICATE = "/etc/ssl/private/site.pem"
SELF_SIGNED_NAME = "fortress edge"
"""Subject of a certificate that edge-certificate made."""
SELF_SIGNED_DAYS = 398
RENEW_DAYS = 30
"""Days before its end from which edge-certificate makes another one, and mariadb-authority too."""

CLIENT = "src,ipmask(32,64)"
"""Whose connections are counted together: an IPv4 address, or the smallest network that a customer has with IPv6."""
LEAST_PER_CLIENT = 32
"""Of connections that a client may have if nobody sets it: what a few browsers open (our choice)."""
REQUEST_MS = 5000
"""Longest wait for the head of a request (our choice: a slow phone needs one or two seconds)."""
ERROR_LIMIT = 3
"""Connections in a row that must fail to mark a primary server down (our choice: one may always be lost)."""
KEPT_BROKEN = 8
"""Tries more than `retries` gives, where a kept connection broke with the first one: HAProxy counts ERROR_LIMIT anew
when another request takes a kept connection, broken or not. Measured with 40 requests at a time on a busy machine: in
160 deaths of two servers at once, 4 of 62,000 requests took 7 or 8 tries; 14 are tested."""
CONTROL_CHARACTERS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
"""Those that no value of a header may have (RFC 9110, 5.5), but for CR and LF, which HAProxy refuses itself."""
CLAIMS = (
    # Where it comes from.
    *("forwarded.*", "x-forwarded.*", "x-original-.*", "x-originating-.*", "x-real-.*", "x-remote-.*", "remote-.*"),
    *("(x-|true-|proxy-|wl-proxy-|x-cluster-|fastly-)?client-ip", "cf-connecting-.*", "cf-pseudo-.*", "x-proxyuser-ip"),
    *("x-azure-(client|socket)ip", "x-appengine-.*", "x-envoy-.*", "cloudfront-viewer-.*"),
    # What it asks for, and how.
    *("x-host", "x-http-host-override", "x-rewrite-.*", "x-(url-)?scheme", "front-end-https", "proxy"),
    # Which certificate it has.
    *("(x-)?ssl-.*", "(x-)?client-cert.*"),
)
"""Patterns of the names of headers, in lower case, by which proxies tell applications about a client."""
UNREADABLE = "%([^0-9A-Fa-f]|[0-9A-Fa-f]([^0-9A-Fa-f]|$)|$)"
"""Of a path: what HAProxy cannot decode."""
AMBIGUOUS = r"%|//|/\.{1,2}(/|$)|;|\\"
"""Of a path that was decoded once: what may be another one to an application that decodes again, takes out empty and
dotted segments (RFC 3986, 6.2.2.3) or parameters, or knows the other slash."""
OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
"""Headers by which frameworks let a client ask by another method than that of its request."""
HSTS_S = 365 * 24 * 3600
"""A year: what the preload list of browsers asks for at least (hstspreload.org)."""

OPEN_FILES = 524_288
"""systemd's hard limit for a service (DefaultLimitNOFILE), up to which HAProxy raises its own at a start."""
MOST_CONNECTIONS = 80_000
"""Of one frontend: there are three, and each connection takes two files. With more HAProxy would reload, and refuse its
next start (HAProxy, "maxconn" of global)."""
METRICS_CONNECTIONS = 10
"""Of those who ask for figures: a scrape takes one."""
Connections = Annotated[int, Field(ge=1, le=MOST_CONNECTIONS)]
Patience = Annotated[int, Field(ge=100, le=3_600_000)]
"""In ms."""
AnswerTime = Annotated[int, Field(ge=0, le=600)]
"""In s; 0 when nobody is asked."""
HstsAge = Annotated[int, Field(ge=0, le=2 * HSTS_S)]
"""In s."""
ConnectTime = Annotated[int, Field(ge=50, le=5000)]
"""In ms: the article's 5 s at most."""


class Backend(Model):
    """The servers of one site."""

    site: MemberName
    """Name of the site, and of the backend in haproxy.cfg and in its statistics."""
    servers: dict[MemberName, AddressAndPort]
    """Host name to "address:port"; may be empty."""
    maxconn: Connections
    """Requests that each server takes at once; the rest waits or goes to the other site."""

    @property
    def slots(self) -> int:
        """Requests that the site takes at once when all its servers live."""
        return len(self.servers) * self.maxconn


class HealthChecks(Model):
    """HAProxy's health checks; the defaults detect a dead server within 2 s."""

    # The slowest allowed are the article's inter 2000, fall 3, rise 2.
    inter_ms: Annotated[int, Field(ge=100, le=2000)] = 1000
    """Time from the end of a check to the next one."""
    fastinter_ms: Annotated[int, Field(ge=50, le=2000)] = 200
    """The same while a server's state is about to change; at most `inter_ms`."""
    timeout_ms: Annotated[int, Field(ge=50, le=2000)] = 400
    """Timeout for the answer to a check, once connected."""
    rise: Annotated[int, Field(ge=1, le=2)] = 2
    """Checks in a row that mark a server up."""
    fall: Annotated[int, Field(ge=1, le=3)] = 2
    """Checks in a row that mark a server down."""

    @model_validator(mode="after")
    def _faster_in_doubt(self) -> HealthChecks:
        if self.fastinter_ms > self.inter_ms:
            raise refusal(("fastinter_ms",), self.fastinter_ms, f"must be at most {self.inter_ms}, which is inter_ms")
        return self


class Checks(HealthChecks):
    """How a dead server is detected."""

    connect_ms: ConnectTime = 400
    """For opening a connection, be it for a check or for a request."""


class Timeouts(Model):
    """The longest waits."""

    client_ms: Patience = 10_000
    """For the next bytes from a client."""
    server_ms: Patience = 10_000
    """For the next bytes from a server."""
    queue_ms: Patience = 3_000
    """For a free slot (our choice: longer than a silent server is taken for alive, shorter than people wait)."""
    tunnel_ms: Patience = 3_600_000
    """For the next bytes in either direction of a WebSocket."""

    @property
    def request_ms(self) -> int:
        """For the head of a request, from its first byte."""
        return min(REQUEST_MS, self.client_ms)


class Edge(Model):
    """The facts of one edge."""

    server_name: DnsName
    """Name that clients ask for; the health checks send it as Host."""
    other_names: Annotated[tuple[DnsName, ...], AfterValidator(distinct)] = ()
    """Further names that clients ask for."""
    primary: Backend
    """The site that answers."""
    overflow: Backend
    """The site that helps it."""
    home_paths: Annotated[tuple[HomePath, ...], AfterValidator(distinct)] = ()
    """Beginnings of paths of requests that the overflow site never gets."""
    home_methods: Annotated[tuple[Method, ...], AfterValidator(distinct)] = ()
    """Methods of such requests."""
    maxconn: Connections = 2000
    """Client connections that the edge takes on each port; above the primary's slots, or requests could never spill
    over."""
    client_maxconn: Connections | None = None
    """Those of one client, both ports together; a quarter of `maxconn` when None."""
    hsts_s: HstsAge | None = None
    """Seconds for which browsers are told to use HTTPS only; they are told nothing when None."""
    timeouts: Timeouts = Timeouts()
    checks: Checks = Checks()
    health_path: UrlPath = "/health"
    """Answers 200 while a server can work."""
    answers_within_s: AnswerTime = 30
    """Seconds within which a server must answer through the edge after a change; 0 when nobody is asked."""
    certificate: PlainPath = CERTIFICATE
    """Certificate chain and key in one PEM file."""
    stats_socket: PlainPath = STATS_SOCKET
    bind_http: BindAddress = f":{HTTP_PORT}"
    """Where clients connect, as "address:port" or ":port"."""
    bind_https: BindAddress = f":{HTTPS_PORT}"
    user: User = "haproxy"
    """What the process becomes after its start; Debian's package makes user, group and chroot."""
    group: User = "haproxy"
    chroot: PlainPath = "/var/lib/haproxy"
    metrics: AddressAndPort | None = None
    """Where Prometheus asks for its figures; nowhere when None."""

    @model_validator(mode="after")
    def _load_can_flow_over(self) -> Edge:
        primary, overflow = self.primary, self.overflow
        if primary.site == overflow.site:
            raise refusal(("overflow", "site"), overflow.site, "is the primary's site; name another one")
        for name in overflow.servers:
            if name in primary.servers:
                raise refusal(("overflow", "servers"), name, f"is also a server of {primary.site}")
        if primary.slots >= self.maxconn:
            wrong = (
                f"is not above the {primary.slots} slots of {primary.site}'s servers: requests could never spill over"
            )
            raise refusal(("maxconn",), self.maxconn, wrong)
        if self.client_maxconn is not None and self.client_maxconn > self.maxconn:
            raise refusal(("client_maxconn",), self.client_maxconn, f"must be at most {self.maxconn}, which is maxconn")
        if self.server_name in self.other_names:
            raise refusal(("other_names",), self.server_name, "is server_name already; leave it out")
        return self

    @property
    def most_per_client(self) -> int:
        """Connections that one client may have at a time."""
        return self.client_maxconn or min(self.maxconn, max(LEAST_PER_CLIENT, self.maxconn // 4))


def certificate_arguments(certificate: str, server_name: str, other_names: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the arguments of edge-certificate for the edge's own certificate, which haproxy then reads."""
    days = (str(SELF_SIGNED_DAYS), str(RENEW_DAYS))
    return ("--reload", "haproxy", certificate, *days, server_name, *other_names)


def answers_arguments(edge: Edge) -> tuple[str, ...]:
    """Give the arguments of edge-answers, which asks the edge on its own host until a server answers."""
    return (edge.server_name, edge.health_path, str(edge.answers_within_s))


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


def restart_pause_ms(checks: Checks) -> int:
    """Give the time in ms that a request waits where no server lives at either site.

    A server that starts again within the detection bound is marked up by then, as if failed tries had not marked it
    down before.
    """
    return detection_bound_ms(checks, black_hole=False) + checks.rise * checks.fastinter_ms


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
        error_limit=ERROR_LIMIT,
        kept_broken=KEPT_BROKEN,
        pause=restart_pause_ms(edge.checks),
        client=CLIENT,
        control_characters=CONTROL_CHARACTERS,
        home=_home(edge),
        metrics_connections=METRICS_CONNECTIONS,
        claims=f"^({'|'.join(CLAIMS)})$",
        tls_ciphers=TLS_CIPHERS,
        tls_ciphersuites=TLS_CIPHERSUITES,
        # No host has an underscore in its name, and no two edges in one network namespace share a port.
        hop=f"to_{edge.overflow.site}",
        hop_socket=f"{edge.overflow.site}-{edge.bind_https.rpartition(':')[2]}",
    )


def _home(edge: Edge) -> list[str]:
    """Tests of a request, any of which keeps it at home."""
    tests = [f"path,url_dec -m beg -i {path}" for path in edge.home_paths]
    if edge.home_paths:
        tests += [f"path -m reg '{UNREADABLE}'", f"path,url_dec -m reg '{AMBIGUOUS}'"]
    tests += [f"method {method}" for method in edge.home_methods]
    if edge.home_methods:
        tests += [f"req.hdr_cnt({header}) gt 0" for header in OVERRIDES]
    return tests


def drop_in() -> str:
    """Give the systemd drop-in at DROP_IN_PATH, HAProxy's sandbox."""
    return text.render("haproxy.service.conf")


def servers(config: str) -> dict[str, tuple[str, ...]]:
    """Names of the servers of each site in what `render` gave. A backup is no server: it leads to the other site."""
    found: dict[str, list[str]] = {}
    section: list[str] | None = None
    for line in config.split("\n"):
        words = line.split()
        if line[:1].strip():
            section = found.setdefault(words[1], []) if words[0] == "backend" and len(words) > 1 else None
        elif section is not None and len(words) > 2 and words[0] == "server" and "backup" not in words:
            section.append(words[1])
    return {site: tuple(names) for site, names in found.items()}
