"""Who keeps what is written about the stack: logs, state, agreements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from fortress.sovereignty.evidence import Evidence, Withheld
from fortress.sovereignty.finding import Outcome, RuleFinding, rule
from fortress.sovereignty.rules.places import EDPB_05
from fortress.sovereignty.rules.words import about, dated, needs_register, no_register, unseen

LOG_TYPES = ("aws:cloudwatch/", "aws:kinesis/", "aws:cloudtrail/", "aws:ec2/flowLog:FlowLog")
LOG_FILES = re.compile(
    r"/etc/(rsyslog|syslog-ng|fluent|vector|promtail|alloy|filebeat|systemd/journal-(upload|remote))[^ ]*"
)


@rule(
    "log-custody",
    level="advisory",
    why="Logs have addresses of clients and names of users in them: they are personal data.",
    source="C-582/14 (Breyer): addresses of clients may be personal data",
)
def log_custody(evidence: Evidence) -> Iterator[RuleFinding]:
    """Logs stay in the custody of operators inside the profile's area."""
    for resource in evidence.of_type(*LOG_TYPES):
        yield about(resource, f"{resource.type} keeps logs in the custody of AWS", "keep them on the hosts, or at home")
    for resource in evidence.of_type("aws:ec2/instance:Instance"):
        if resource.get("monitoring") is True:
            yield about(resource, "detailed monitoring writes to CloudWatch", "leave monitoring out")
    for resource in evidence.of_type("command:remote:Command"):
        command = resource.get("create")
        puts = isinstance(command, str) and (" put " in command or " files " in command)
        if puts and (found := LOG_FILES.search(command)):
            yield RuleFinding(
                resource.name,
                f"{found[0]} sends logs somewhere, and no rule reads where",
                "register where they go, and exempt this file for a time",
                Outcome.NOT_EVALUATED,
                resource.urn,
            )


THIRD_COUNTRY_HOSTS = (".amazonaws.com", ".googleapis.com", ".windows.net", ".r2.cloudflarestorage.com")
"""Ends of the names of stores that nobody's list makes sovereign."""
OWN_KEYS = ("passphrase", "hashivault")


@rule(
    "state-custody",
    why="The state names every host and address, and has the secrets in encrypted form: whoever keeps it and its key "
    "has the stack.",
    source="pulumi.com/docs, State and backends: inputs and outputs are kept in plain text unless secret",
)
def state_custody(evidence: Evidence) -> Iterator[RuleFinding]:
    """The state and the key of its secrets are kept at home: a folder or listed store, a passphrase or own vault."""
    if not evidence.settings:
        return
    cure = "set PULUMI_BACKEND_URL to file://FOLDER, or to a store in sovereignty.state.endpoints"
    backend = evidence.toolchain.backend
    if backend is None:
        yield RuleFinding("the state's backend", "it is not known where the state is kept", cure, Outcome.NOT_EVALUATED)
    elif wrong := _kept_badly(backend):
        yield RuleFinding("the state's backend", wrong, cure)
    elif (host := _host(backend)) and evidence.register is None:
        yield needs_register("the state's backend", f"who runs {host} is not known")
    elif host and evidence.register and host not in evidence.register.state.endpoints:
        yield RuleFinding("the state's backend", f"{host} is not in sovereignty.state.endpoints", cure)
    found = evidence.toolchain.secrets_provider
    cure = "use a passphrase, or a vault of your own: pulumi stack change-secrets-provider passphrase"
    if found is None:
        yield RuleFinding("the state's secrets", "it is not known what encrypts them", cure, Outcome.NOT_EVALUATED)
    elif found.partition(":")[0] not in OWN_KEYS:
        yield RuleFinding("the state's secrets", f"{found.partition(':')[0]} is in the custody of its operator", cure)


def _kept_badly(backend: str) -> str | None:
    """What is wrong with a backend whoever runs it."""
    scheme = urlsplit(backend).scheme
    if scheme in ("http", "https"):
        return f"{urlsplit(backend).hostname} is a service that its vendor runs"
    if scheme == "s3" and _host(backend) is None:
        return "s3:// without an endpoint is a bucket of AWS"
    if (host := _host(backend)) and host.endswith(THIRD_COUNTRY_HOSTS):
        return f"{host} is a store of a third-country operator"
    if scheme not in ("file", "s3", "postgres", "postgresql"):
        return f"{scheme}:// is a store of a third-country operator, or none that the rules know"
    return None


def _host(backend: str) -> str | None:
    """The host that keeps a state; None for a folder of this machine, and for AWS itself."""
    parts = urlsplit(backend)
    if parts.scheme == "file":
        return None
    if parts.scheme == "s3":
        endpoint = parse_qs(parts.query).get("endpoint", [""])[0]
        return urlsplit(f"//{endpoint.rpartition('//')[2]}").hostname
    return parts.hostname


@rule(
    "processors",
    why="Each company that runs a machine is a processor, and what its employment rests on ages: agreements end, "
    "companies are bought, adequacy decisions are annulled.",
    source=f"Articles 28 and 44 GDPR; {EDPB_05}",
)
def processors(evidence: Evidence) -> Iterator[RuleFinding]:
    """Each operator is in the register: agreement, country of its parent, basis, and a review that is not past."""
    yield from no_register(evidence, "operators have no agreement, basis and review")
    if not (evidence.settings and evidence.declared and evidence.register):
        return
    known = ", ".join(evidence.register.operators) or "none"
    for name in dict.fromkeys(site.operator for site in evidence.declared.sites.values()):
        operator = evidence.register.operators.get(name)
        path = f"sovereignty.operators[{name!r}]" if not name.isalnum() else f"sovereignty.operators.{name}"
        if operator is None:
            yield RuleFinding(path, f"UNDECLARED; declared: {known}", "declare it, or correct the site's operator")
            continue
        for field in ("parent_country", "agreement", "basis"):
            if getattr(operator, field) is None:
                yield RuleFinding(f"{path}.{field}", "UNDECLARED", f"set {path}.{field}")
        why = evidence.outside(operator)
        if why and operator.parent_country and operator.basis == "no-transfer":
            yield RuleFinding(f"{path}.basis", f"no-transfer, but {name} {why}", "name what transfers to it rest on")
        yield from dated(evidence, f"{path}.review", operator.review, f"the entry of {name}")


PASSPHRASE_BITS = 60
"""Least of a passphrase (our choice: five words of a list have 64). To try 2^60 of them takes 2^80 hashes, since the
engine has 1,000,000 rounds of PBKDF2 (pulumi/sdk, go/common/resource/config/crypt.go)."""


@rule(
    "toolchain",
    level="advisory",
    why="Whoever has the state may try passphrases for years; a plugin is a program that has every login of the stack; "
    "a question for updates tells the vendor when and from where a stack is worked on.",
    source="pulumi.com/docs, Environment variables, Secrets, Resource options: pluginDownloadURL",
)
def toolchain(evidence: Evidence) -> Iterator[RuleFinding]:
    """The passphrase is hard to guess, plugins come from publishers or listed servers, and no run asks for updates."""
    listed = evidence.register.state.endpoints if evidence.register else []
    cure = "leave it out, or list the server in sovereignty.state.endpoints"
    for login in evidence.resources:
        if login.is_provider and (url := login.get("pluginDownloadURL")) is not None:
            if isinstance(url, Withheld):
                yield unseen(login, "pluginDownloadURL", url, cure)
            elif urlsplit(str(url)).hostname not in listed:
                yield about(login, f"takes its plugin from {url}", cure)
    found = evidence.toolchain.environment
    if not evidence.settings or found is None:
        return
    for url in found.plugin_servers:
        if urlsplit(url).hostname not in listed:
            yield RuleFinding("PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES", f"plugins are taken from {url}", cure)
    if found.asks_for_updates:
        wrong = "each run asks the engine's vendor whether there is a newer version"
        yield RuleFinding("PULUMI_SKIP_UPDATE_CHECK", wrong, "set it to true, where the engine is run")
    if evidence.toolchain.secrets_provider != "passphrase":
        return
    cure = "pulumi stack change-secrets-provider passphrase, with five words that dice have chosen, or more"
    if found.passphrase_bits is None:
        yield RuleFinding("the state's passphrase", "it cannot be seen here", cure, Outcome.NOT_EVALUATED)
    elif found.passphrase_bits < PASSPHRASE_BITS:
        wrong = f"is worth {found.passphrase_bits:.0f} bits at most, less than {PASSPHRASE_BITS}"
        yield RuleFinding("the state's passphrase", wrong, cure)
