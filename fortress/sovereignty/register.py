"""The register: what a stack cannot know of itself, declared by those who answer for the personal data.

Everything may be left out, so that it can be filled in step by step. What the record of Article 30 GDPR needs and
nobody has declared is UNDECLARED there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fortress.sovereignty.countries import Profile
from fortress.values import (
    Country,
    DataClass,
    DnsName,
    Model,
    Name,
    OneLine,
    Port,
    RequestPath,
    distinct,
    matching,
    refusals,
)

CONTROLLER = "controller"
"""The key holder that is the controller itself."""

DAY = 'a day such as "2027-06-30", in quotes'


def _day(value: Any) -> Any:
    """YAML may read a bare day as a point in time, and the engine writes one out as its midnight."""
    if type(value) is date:
        return value
    found = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T00:00:00Z)?", value) if isinstance(value, str) else None
    try:
        return date.fromisoformat(found[1] if found else "")
    except ValueError:
        raise ValueError(f"must be {DAY}") from None


Day = Annotated[date, BeforeValidator(_day), Field(title=DAY)]
ShortLine = Annotated[OneLine, matching(".{1,100}", "one line of printable text, at most 100 characters")]
Lines = Annotated[list[OneLine], AfterValidator(distinct)]
Names = Annotated[list[Name], AfterValidator(distinct)]
Place = Annotated[
    str,
    matching(
        r"[a-z][a-z0-9-]{0,30}[a-z0-9](/[A-Za-z0-9][A-Za-z0-9._-]{0,62})?",
        "a host, such as oslo-db, or an object container with its site, such as oslo/fortress-personal",
    ),
]
LawfulBasis = Literal[
    "consent", "contract", "legal-obligation", "vital-interests", "public-task", "legitimate-interests"
]
"""Article 6(1) GDPR, (a) to (f)."""
TransferBasis = Literal["no-transfer", "adequacy", "standard-clauses", "binding-rules", "derogation"]
"""Chapter V GDPR: Article 45, 46(2)(c), 46(2)(b), 49."""
KeyService = Literal["passphrase", "own-vault", "own-hsm", "openstack-barbican", "aws-kms", "other-kms", "unencrypted"]
Rule = Literal[
    "data-class",
    "sovereign-storage",
    "openstack-endpoint",
    "aws-region",
    "default-providers",
    "aws-types",
    "replication",
    "key-custody",
    "volume-encryption",
    "public-container",
    "private-database",
    "backup-encryption",
    "registered-flows",
    "third-country-flows",
    "database-secrets",
    "disposable-compute",
    "plain-metadata",
    "log-custody",
    "state-custody",
    "processors",
    "egress",
    "toolchain",
]
"""Names of the rules, in their order."""

Level = Literal["mandatory", "advisory"]


class Party(Model):
    """A company, authority or person, and how to reach it."""

    name: OneLine
    """Its name."""
    contact: OneLine
    """Postal address, e-mail address or telephone number."""


class Operator(Model):
    """A company that runs machines of the stack: under the GDPR a processor, or its sub-processor."""

    country: Country
    """Where the company is established."""
    parent_country: Country | None = None
    """Where its ultimate parent company is established, whose courts and authorities may order data to be handed over;
    the same as `country` where nobody owns it from abroad."""
    agreement: OneLine | None = None
    """The processor agreement (Article 28 GDPR): title, reference, date."""
    basis: TransferBasis | None = None
    """What a transfer of personal data to it rests on (Chapter V GDPR); `no-transfer` if the company and its parent are
    in the EEA."""
    assessment: OneLine | None = None
    """Reference of the transfer impact assessment, if there is one."""
    review: Day | None = None
    """Last day on which this entry holds; review it before. Afterwards the stack is refused."""
    endpoints: Annotated[list[DnsName], AfterValidator(distinct)] = []
    """DNS names of its APIs that the stack may use, without duplicates, such as api.coolvds.com."""
    regions: Lines = []
    """Its regions that the stack may use, without duplicates, such as NO-Oslo-1."""
    encrypted_volume_types: Lines = []
    """Types of volumes that it encrypts, without duplicates, such as nvme. It then holds their keys."""


class Keys(Model):
    """Who can decrypt a data set."""

    holder: OneLine
    """`controller`, or the name of an operator: whoever has the keys, or can be made to use them."""
    country: Country
    """Where the keys are kept."""
    service: KeyService
    """What keeps them: a passphrase such as a secret setting, a vault or HSM of your own, a cloud's key service, or
    `unencrypted` if there are none."""


class DataSet(Model):
    """Data that the stack keeps, as its record of processing describes it."""

    summary: OneLine
    """What it is, in a sentence for people who are no engineers."""
    data_class: DataClass = "personal"
    """What somebody who reads it has."""
    categories: Lines = []
    """Categories of personal data, such as name or e-mail address. Without duplicates."""
    special_categories: Lines = []
    """Those of Articles 9 and 10 GDPR, such as health; empty if there are none. Without duplicates."""
    subjects: Lines = []
    """Categories of people whom it is about, such as customers. Without duplicates."""
    purposes: Lines = []
    """What it is used for. Without duplicates."""
    lawful_basis: LawfulBasis | None = None
    """Article 6(1) GDPR."""
    retention: OneLine | None = None
    """When it is erased."""
    recipients: Lines = []
    """Categories of recipients other than operators, such as a payment service. Without duplicates."""
    paths: Annotated[list[RequestPath], AfterValidator(distinct)] = []
    """Beginnings of paths of requests that carry it, without duplicates, such as /account; `/` for all requests. Each
    stays at home (`edge.home_paths`), or the flow to the edge's overflow names this data set."""
    stored_on: Annotated[list[Place], AfterValidator(distinct)] = []
    """Hosts and object containers that keep it, without duplicates: `oslo-db`, or `oslo/fortress-personal` for a
    container of a site."""
    backups_at: Names = []
    """Sites that keep backups of it, without duplicates."""
    keys: Keys | None = None
    assessment: OneLine | None = None
    """Reference of the data protection impact assessment (Article 35 GDPR), if there is one."""


class Exemption(Model):
    """Somebody's decision to go on in spite of a rule, until a day."""

    reason: OneLine
    """Why."""
    owner: OneLine
    """Who decided it, and answers for it."""
    end: Day
    """Last day on which it holds."""


class RuleExemption(Exemption):
    """An exemption of one resource or setting from one rule."""

    rule: Rule
    """The rule."""
    subject: OneLine
    """The resource, by its name, or the setting, by its path, as the finding has it."""


class RegisteredFlow(Model):
    """Connections from one site to another, and what passes through them."""

    source: Name
    """Site or host that opens the connection."""
    destination: Name
    """Site or host that accepts it; must differ from `source`."""
    port: Port
    """Its port."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """Its protocol."""
    data_class: DataClass
    """What the receiving operator could read, whichever way the data goes: in a tunnel that ends on the operator's own
    machine it is `personal`."""
    data_sets: Names = []
    """Data sets that pass through it, without duplicates."""
    purpose: OneLine | None = None
    """Why it is needed."""
    encryption_ends: OneLine | None = None
    """Where it is decrypted."""
    use_case: Annotated[int, Field(ge=1, le=7)] | None = None
    """Use case of EDPB recommendations 01/2020 that describes it: 1 to 5 are effective, 6 and 7 are not."""
    basis: TransferBasis | None = None
    """What the transfer rests on (Chapter V GDPR)."""
    review: Day | None = None
    """Last day on which this entry holds; review it before. Afterwards the stack is refused."""
    exemption: Exemption | None = None


class StateCustody(Model):
    """Where the engine keeps the stack's state, which names every host and holds the secrets in encrypted form."""

    endpoints: Annotated[list[DnsName], AfterValidator(distinct)] = []
    """DNS names of S3-compatible stores and PostgreSQL servers in the EEA that may keep it, without duplicates. A
    folder of this machine may always."""


class Register(Model):
    """Who is responsible, who operates the machines, which data sets there are, and which data leaves a site.

    What the rules (docs/rules.md) and the record of Article 30 GDPR need and no stack can know. It may be filled in
    step by step: what is missing is UNDECLARED, and a finding of the rules that need it.
    """

    profile: Profile = "EEA"
    """Where operators and keys must be, for personal data in clear text: the EEA, or the EU alone."""
    acts_as: Literal["controller", "processor"] = "controller"
    """Whether you decide on the purposes (Article 30(1) GDPR), or process on behalf of others (Article 30(2))."""
    controller: Party | None = None
    """The controller; for a processor, the processor itself."""
    joint_controllers: list[Party] = []
    """Those who decide on the purposes together with the controller (Article 26 GDPR)."""
    on_behalf_of: list[Party] = []
    """For a processor: the controllers it acts for."""
    representative: Party | None = None
    """In the EU or EEA, of a controller that is established elsewhere (Article 27 GDPR)."""
    protection_officer: Party | None = None
    """The data protection officer."""
    no_protection_officer: OneLine | None = None
    """Why there is no data protection officer, if none is needed (Article 37 GDPR)."""
    measures: Lines = []
    """Organisational measures of security (Article 32(1) GDPR), without duplicates. The technical ones are read from
    the stack."""
    operators: dict[ShortLine, Operator] = {}
    """Companies that run machines, by the name in `sites.NAME.operator`."""
    data_sets: dict[Name, DataSet] = {}
    flows: dict[Name, RegisteredFlow] = {}
    state: StateCustody = StateCustody()
    exemptions: dict[Name, RuleExemption] = {}
    levels: dict[Rule, Level] = {}
    """Rules whose level is to differ from that in docs/rules.md: a finding of a mandatory one stops a run, one of an
    advisory one is a warning."""

    @model_validator(mode="after")
    def _agrees(self) -> Register:
        found = list(self._reference_problems())
        if self.protection_officer and self.no_protection_officer:
            wrong = "but protection_officer names one; leave one of the two out"
            found.append((("no_protection_officer",), self.no_protection_officer, wrong))
        if found:
            raise refusals(found)
        return self

    def _reference_problems(self) -> Iterable[tuple[tuple[str | int, ...], object, str]]:
        """Names that stand for nothing."""
        holders = [CONTROLLER, *self.operators]
        for name, data in self.data_sets.items():
            if data.keys and data.keys.holder not in holders:
                wrong = f"is neither {CONTROLLER} nor in operators; known: {', '.join(holders)}"
                yield ("data_sets", name, "keys", "holder"), data.keys.holder, wrong
        for name, flow in self.flows.items():
            if flow.source == flow.destination:
                yield ("flows", name, "destination"), flow.destination, "is the source too; a flow joins two places"
            for index, data_set in enumerate(flow.data_sets):
                if data_set not in self.data_sets:
                    known = ", ".join(self.data_sets) or "none"
                    yield ("flows", name, "data_sets", index), data_set, f"is not in data_sets; known: {known}"

    def place_problems(
        self, sites: Iterable[str], hosts: Iterable[str], containers: Iterable[str]
    ) -> Iterable[tuple[tuple[str | int, ...], object, str]]:
        """Places that the stack does not have: path, value, what is wrong. Containers are `SITE/NAME`."""
        places, keepers = [*sites, *hosts], [*hosts, *containers]
        sites = list(sites)
        for name, data in self.data_sets.items():
            for index, place in enumerate(data.stored_on):
                if place not in keepers:
                    wrong = f"is neither a host nor an object container; known: {', '.join(keepers)}"
                    yield ("data_sets", name, "stored_on", index), place, wrong
            for index, site in enumerate(data.backups_at):
                if site not in sites:
                    yield ("data_sets", name, "backups_at", index), site, f"is not in sites; known: {', '.join(sites)}"
        for name, flow in self.flows.items():
            for end in ("source", "destination"):
                if (place := getattr(flow, end)) not in places:
                    wrong = f"is neither a site nor a host; known: {', '.join(places)}"
                    yield ("flows", name, end), place, wrong
