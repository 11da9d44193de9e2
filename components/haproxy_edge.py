"""The edge: HAProxy in front of the workers of two sites."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NotRequired, TypedDict

import pulumi

from fortress import activation, firewall, haproxy, monitoring, push, wireguard

from .checking import Facts, arguments, build, wrong
from .host_file import FileToPut, fragment_file, free, packages, put, put_together, script
from .remote import Member, Target, child_options, command, serving, version, with_depends_on

PACKAGES = ("haproxy", "openssl", "python3")
DRAIN_S = 35
"""Seconds for requests that began under an older configuration: a little more than its hard-stop-after."""


class BackendArgs(TypedDict):
    """Workers of one site."""

    site: str
    """Name of the site, and of the backend."""
    servers: Mapping[str, pulumi.Input[str]]
    """Host name to address:port, in the mesh or anywhere. One that is not known yet hides the file at preview."""
    maxconn: int
    """Requests that each server takes at a time."""


class TlsArgs(TypedDict):
    """A certificate from elsewhere."""

    certificate: pulumi.Input[str]
    """Certificate and chain, PEM."""
    key: pulumi.Input[str]
    """Private key, PEM; secret."""


class ChecksArgs(TypedDict):
    """Health checks; see `fortress.haproxy.Checks` for what each costs, and for what holds where one is not given."""

    inter_ms: NotRequired[int]
    """Between two checks."""
    fastinter_ms: NotRequired[int]
    """The same while a server's state changes."""
    timeout_ms: NotRequired[int]
    """For an answer."""
    connect_ms: NotRequired[int]
    """For a connection."""
    rise: NotRequired[int]
    """Checks passed until a server is up."""
    fall: NotRequired[int]
    """Checks failed until it is down."""


class HAProxyEdgeArgs(TypedDict):
    """One edge."""

    host: Member
    """Where it runs: a `Host`'s `member`."""
    server_name: str
    """DNS name that clients ask for."""
    other_names: NotRequired[list[str]]
    """Further DNS names that clients ask for, none when not given."""
    primary: BackendArgs
    """The site that answers."""
    overflow: NotRequired[BackendArgs]
    """The site that answers when the primary has no live server, or no room; there is none when not given."""
    home_paths: NotRequired[list[str]]
    """Beginnings of paths of requests that never go to `overflow`, none when not given."""
    home_methods: NotRequired[list[str]]
    """Methods of such requests, none when not given."""
    checks: NotRequired[ChecksArgs]
    """How a dead server is found; the defaults of `fortress.haproxy.Checks` when not given."""
    tls: NotRequired[TlsArgs | None]
    """The certificate; self-signed on the host when not given."""
    health_path: NotRequired[str]
    """Path that answers 200 while a worker can work, `/health` when not given."""
    maxconn: NotRequired[int]
    """Client connections at a time on each port, 2000 when not given."""
    client_maxconn: NotRequired[int | None]
    """Those of one client, an address or a /64 network of IPv6; a quarter of `maxconn` when not given."""
    timeout_client_ms: NotRequired[int]
    """10000 when not given."""
    timeout_server_ms: NotRequired[int]
    """10000 when not given."""
    timeout_queue_ms: NotRequired[int]
    """Wait for a server that can take a request, 3000 when not given."""
    timeout_tunnel_ms: NotRequired[int]
    """Silence of a WebSocket, an hour when not given."""
    hsts_s: NotRequired[int | None]
    """Seconds for which browsers use HTTPS only; when not given, a year with `tls` and nothing without."""
    answers_within_s: NotRequired[int]
    """Seconds for a server to answer through the edge after a change, 30 when not given; 0 asks nobody."""
    scrapers: NotRequired[Sequence[str]]
    """Addresses in the mesh of those who may ask for its metrics; nobody when not given."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""


class HAProxyEdge(pulumi.ComponentResource):
    """HAProxy on :80 and :443: one site first, the other when that one fails or is full."""

    url: pulumi.Output[str]
    """Where clients reach it."""

    def __init__(self, name: str, args: HAProxyEdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("HAProxyEdge", name, HAProxyEdgeArgs, args)
        primary, overflow = args["primary"], args.get("overflow", _NOWHERE)
        if not primary["servers"] and "overflow" not in args:
            raise wrong("HAProxyEdge", name, "primary.servers", "must not be empty: nothing would answer")
        # Refused at once, but for what is not known before addresses are.
        edge = _edge(name, args, _plain(primary["servers"]), _plain(overflow["servers"]))
        super().__init__("fortress:index:HAProxyEdge", name, {}, opts)
        host = args["host"]
        target: Target = {"member": host, "private_key": args.get("private_key")}
        options = child_options(self, opts)

        # Before the package, whose installation starts HAProxy. One that runs already is not restarted, which would end
        # its connections: `fortress verify` says that it has no sandbox until it is.
        prepare = partial(
            put,
            target=target,
            path=haproxy.DROP_IN_PATH,
            content=haproxy.drop_in(),
            opts=options,
            check=free("haproxy", haproxy.CONFIG_PATH, adopt=host.get("adopt", False)),
            apply="systemctl daemon-reload",
        )
        if tls := args.get("tls"):
            prepared = prepare(f"{name}-sandbox", then=[packages(*PACKAGES)])
            certificate = put(
                f"{name}-certificate",
                target,
                edge.certificate,
                pulumi.Output.secret(pulumi.Output.concat(tls["certificate"], "\n", tls["key"])),
                with_depends_on(options, prepared),
                mode="0600",
                check=f'{push.LIBRARY}/edge-certificate check "$1"',
                apply=activation.reload_if_enabled("haproxy"),
                remove_apply="true",
            )
        else:
            wanted = haproxy.certificate_arguments(edge.certificate, edge.server_name, edge.other_names)
            certificate = prepare(
                f"{name}-certificate",
                then=[packages(*PACKAGES), script(*push.script("edge-certificate", *wanted))],
                before_removal=[script("rm", "-f", edge.certificate)],
            )
        config = pulumi.Output.all(primary["servers"], overflow["servers"]).apply(
            lambda servers: haproxy.render(_edge(name, args, *servers))
        )
        served = put_together(
            f"{name}-files",
            serving(target),
            [
                fragment_file(
                    "40-edge.nft",
                    firewall.Fragment(
                        title="The edge, for everyone.",
                        rules=[
                            firewall.AcceptRule(port=haproxy.HTTP_PORT, comment="HTTP"),
                            firewall.AcceptRule(port=haproxy.HTTPS_PORT, comment="HTTPS"),
                            *_metrics_rules(name, args),
                        ],
                    ),
                ),
                FileToPut(
                    haproxy.CONFIG_PATH,
                    config,
                    mode="0640",
                    owner="root:haproxy",
                    check=f"{push.in_force('haproxy-next', haproxy.CONFIG_PATH)} && haproxy -c -f {push.PUT_FILE}",
                    apply=f"{activation.enable_and_reload('haproxy')} && {push.in_force('haproxy', push.PUT_FILE)}",
                    remove_apply="systemctl -q disable --now haproxy",
                    unit="haproxy",
                ),
            ],
            with_depends_on(options, certificate),
        )
        # The engine deletes after all updates: a worker that leaves is ended only when nothing is under way to it.
        waits = [push.script("haproxy-drain", str(DRAIN_S))]
        if edge.answers_within_s:
            waits.append(push.script("edge-answers", *haproxy.answers_arguments(edge)))
        command(
            f"{name}-drained",
            target,
            lambda machine: push.steps(*(push.Run(machine=machine, command=words) for words in waits)).render(),
            with_depends_on(options, served),
            # The commands do not read it. No two puts answer alike, so each is followed by them, also one that brings
            # back what stood before a configuration for which nobody answered.
            stdin=pulumi.Output.all(served.stdout, tls["certificate"] if tls else "").apply(
                lambda known: version("edge", *known)
            ),
        )
        self.url = pulumi.Output.from_input(host["address"]).apply(lambda address: f"https://{_in_url(address)}")
        self.host = host["name"]
        """Name of its host."""
        self.facts: dict[str, Any] = {
            "host": self.host,
            "url": self.url,
            "server_name": edge.server_name,
            "other_names": list(edge.other_names),
            "health_path": edge.health_path,
            "stats_socket": edge.stats_socket,
            "backends": {each["site"]: each["servers"] for each in (primary, overflow) if each is not _NOWHERE},
            "silent_ms": haproxy.detection_bound_ms(edge.checks, black_hole=True),
            "refused_ms": haproxy.detection_bound_ms(edge.checks, black_hole=False),
        }
        """Its part of the output `fortress`, as `fortress.facts.EdgeFacts` has it."""
        self.exporters = {monitoring.HAPROXY: monitoring.PORTS[monitoring.HAPROXY]} if edge.metrics else {}
        """What it adds to `fortress.facts.HostFacts.exporters` of its host."""
        self.register_outputs({"url": self.url})


_NOWHERE: BackendArgs = {"site": "nowhere", "servers": {}, "maxconn": 1}


_PATHS = {f"timeouts.{wait}_ms": f"timeout_{wait}_ms" for wait in ("client", "server", "queue", "tunnel")}


def _edge(name: str, args: HAProxyEdgeArgs, primary: Mapping[str, str], overflow: Mapping[str, str]) -> haproxy.Edge:
    """The edge's facts with these servers.

    Raises:
        ValueError: an argument is wrong; the message names it.
    """
    timeouts = {
        "client_ms": args.get("timeout_client_ms"),
        "server_ms": args.get("timeout_server_ms"),
        "queue_ms": args.get("timeout_queue_ms"),
        "tunnel_ms": args.get("timeout_tunnel_ms"),
    }
    facts: dict[str, Any] = {
        "server_name": args["server_name"],
        "primary": {**args["primary"], "servers": primary},
        "overflow": {**args.get("overflow", _NOWHERE), "servers": overflow},
        "timeouts": {wait: value for wait, value in timeouts.items() if value is not None},
        "other_names": tuple(args.get("other_names", ())),
        "home_paths": tuple(args.get("home_paths", ())),
        "home_methods": tuple(args.get("home_methods", ())),
        "maxconn": args.get("maxconn"),
        "client_maxconn": args.get("client_maxconn"),
        "hsts_s": haproxy.HSTS_S if args.get("hsts_s") is None and args.get("tls") else args.get("hsts_s"),
        "checks": args.get("checks"),
        "health_path": args.get("health_path"),
        "answers_within_s": args.get("answers_within_s"),
        "metrics": monitoring.haproxy_address(args["host"]["mesh_address"]) if args.get("scrapers") else None,
    }
    return build("HAProxyEdge", name, Facts(haproxy.Edge, facts, _PATHS))


def _metrics_rules(name: str, args: HAProxyEdgeArgs) -> list[firewall.AcceptRule]:
    """Who may ask for its metrics.

    Raises:
        ValueError: an address is wrong; the message names it.
    """
    scrapers = list(args.get("scrapers", ()))
    if not scrapers:
        return []
    values = {"address": args["host"]["mesh_address"], "scrapers": scrapers}
    facts = build("HAProxyEdge", name, Facts(monitoring.Exporters, values, {"address": "host.mesh_address"}))
    return [
        firewall.AcceptRule(
            port=monitoring.PORTS[monitoring.HAPROXY],
            comment="metrics",
            sources=facts.scrapers,
            interface=wireguard.INTERFACE,
        )
    ]


def _plain(servers: Mapping[str, pulumi.Input[str]]) -> dict[str, str]:
    return {name: address for name, address in servers.items() if isinstance(address, str)}


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
