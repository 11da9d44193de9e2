"""The record from the register and a stack's state."""

from __future__ import annotations

from collections.abc import Iterator

from fortress.sovereignty.declared import Declared
from fortress.sovereignty.record import flows, measures
from fortress.sovereignty.record.ground import (
    NONE_DECLARED,
    Ground,
    abroad,
    derived,
    entry,
    from_state,
    jurisdiction,
    parents,
    setting,
)
from fortress.sovereignty.record.model import (
    ProcessingRecord,
    RecordEntry,
    RecordKeeper,
    RecordSection,
    RecordSite,
    RuleOutcome,
    StateStamp,
)
from fortress.sovereignty.record.standing import Standing, StandingResource
from fortress.sovereignty.record.words import BASES, CLASSES, KEY_SERVICES, SAFEGUARDS, country, listed
from fortress.sovereignty.register import DataSet, Party

PLANNED = StateStamp(sha256="", updated="", resources=0)
"""Of a stack that is only planned."""


def build(
    stack: str,
    declared: Declared,
    standing: Standing = Standing(),  # noqa: B008 - it is frozen
    *,
    made: str = "",
    program: str = "",
    rules: tuple[RuleOutcome, ...] | None = None,
    rules_version: int | None = None,
) -> ProcessingRecord:
    """The record of a stack; without its state, of what the settings declare."""
    ground = Ground(declared, standing)
    found = flows.connections(ground)
    return ProcessingRecord(
        stack=stack,
        made=made,
        program=program,
        state=standing.stamp or PLANNED,
        acts_as=ground.register.acts_as,
        profile=ground.register.profile,
        parties=_parties(ground),
        data_sets=tuple(_data_set(ground, name) for name in sorted(ground.register.data_sets)) or (_no_data_set(),),
        operators=tuple(_operator(ground, name) for name in _operators(ground)),
        transfers=flows.transfers(ground),
        flows=flows.sections(ground, found),
        connections=tuple(found),
        measures=measures.section(ground),
        sites=tuple(_sites(ground)),
        arrows=flows.arrows(ground, found),
        rules=rules,
        rules_version=rules_version,
    )


# --- who answers ------------------------------------------------------------------------------------------------------


def _parties(ground: Ground) -> RecordSection:
    register = ground.register
    processor = register.acts_as == "processor"
    entries = [
        entry(
            "controller", "Processor" if processor else "Controller", _lines(register.controller), setting("controller")
        )
    ]
    if processor:
        acting = [_party(one) for one in register.on_behalf_of]
        entries.append(entry("on_behalf_of", "On behalf of the controllers", acting, setting("on_behalf_of")))
    joint = [_party(one) for one in register.joint_controllers]
    entries += [
        entry("joint_controllers", "Joint controllers", joint, setting("joint_controllers"), none=NONE_DECLARED),
        entry(
            "representative",
            "Representative",
            _lines(register.representative),
            setting("representative"),
            none=NONE_DECLARED,
        ),
    ]
    if register.no_protection_officer:
        text = f"none: {register.no_protection_officer}"
        entries.append(entry("protection_officer", "Data protection officer", text, setting("no_protection_officer")))
    else:
        officer = _lines(register.protection_officer)
        entries.append(entry("protection_officer", "Data protection officer", officer, setting("protection_officer")))
    title = "Processor, and whom it acts for" if processor else "Controller"
    return RecordSection(name="parties", title=title, entries=tuple(entries))


def _party(party: Party) -> str:
    return f"{party.name}, {party.contact}"


def _lines(party: Party | None) -> list[str]:
    return [party.name, party.contact] if party else []


# --- data sets --------------------------------------------------------------------------------------------------------


def _no_data_set() -> RecordSection:
    undeclared = entry("data_sets", "Data sets", None, setting("data_sets"))
    return RecordSection(name="", title="No data set is declared", entries=(undeclared,))


def _data_set(ground: Ground, name: str) -> RecordSection:
    data = ground.register.data_sets[name]
    path = ("data_sets", name)
    processor = ground.register.acts_as == "processor"
    # What Article 30(2) does not ask of a processor may be left out there, as of data that is about nobody.
    optional = NONE_DECLARED if processor or data.data_class == "none" else ""
    entries = [
        entry("summary", "What it is", data.summary, setting(*path, "summary")),
        entry("data_class", "What a reader of it has", CLASSES[data.data_class], setting(*path, "data_class")),
        entry("subjects", "Whom it is about", data.subjects, setting(*path, "subjects"), none=optional),
        entry("categories", "Categories of data", data.categories, setting(*path, "categories"), none=optional),
        entry(
            "special_categories",
            "Special categories (Articles 9 and 10)",
            data.special_categories,
            setting(*path, "special_categories"),
            none=NONE_DECLARED,
        ),
        entry(
            "purposes",
            "Categories of processing" if processor else "What it is used for",
            data.purposes,
            setting(*path, "purposes"),
            none="" if processor else optional,
        ),
        entry(
            "lawful_basis",
            "Lawful basis",
            BASES[data.lawful_basis] if data.lawful_basis else None,
            setting(*path, "lawful_basis"),
            none=optional,
        ),
        entry("retention", "When it is erased", data.retention, setting(*path, "retention"), none=optional),
        entry(
            "recipients",
            "Who receives it",
            data.recipients,
            setting(*path, "recipients"),
            none="nobody but the operators below",
        ),
        *_places(ground, name, data),
        *_keys(ground, name, data),
        entry(
            "assessment",
            "Impact assessment (Article 35)",
            data.assessment,
            setting(*path, "assessment"),
            none=NONE_DECLARED,
        ),
    ]
    return RecordSection(name=name, title=name, entries=tuple(entries))


def _places(ground: Ground, name: str, data: DataSet) -> Iterator[RecordEntry]:
    path = ("data_sets", name)
    ways, countries = _reach(ground, name, data)
    source = derived(setting(*path), setting("flows"), setting("operators"))
    yield entry("operators", "Whose machines it is on or passes through", sorted(ways), source)
    said = [f"{operator}: {', '.join(found)}" for operator, found in sorted(ways.items())]
    yield entry("ways", "By way of", said, source)
    yield entry(
        "parents",
        "Ultimate parents of the operators in",
        parents(ground, ways),
        derived(setting("operators"), setting(*path)),
        none=NONE_DECLARED,
    )
    yield entry(
        "third_countries",
        "Third countries whose authorities may ask for it",
        countries,
        source,
        none="none",
    )
    stored = [_stored(ground, place) for place in data.stored_on]
    yield entry("stored_on", "Where it is stored", stored, setting(*path, "stored_on"))
    regions = sorted({region for place in data.stored_on if (region := _region(ground, place))})
    known = [one for place in data.stored_on for one in _resources(ground, place) if one.region]
    yield entry(
        "regions",
        "Region",
        regions,
        from_state(*(one.urn for one in known)) if known else derived("output sovereignty.sites"),
        none="not named by the settings",
    )
    yield _backups(ground, name, data)
    if resources := [one for place in data.stored_on for one in _resources(ground, place)]:
        yield entry("resources", "Resources", list(dict.fromkeys(one.urn for one in resources)), "state")
        providers = sorted({one.provider for one in resources if one.provider})
        yield entry(
            "providers", "Providers", providers, "state", none="none: the machines existed before, by their address"
        )


def _backups(ground: Ground, name: str, data: DataSet) -> RecordEntry:
    """Where backups are, by the register and by the stack: it backs the database up, whatever is declared."""
    declared = setting("data_sets", name, "backups_at")
    made = ground.backups_of(data)
    sites = dict.fromkeys([*data.backups_at, *(one.site for one in made if one.site)])
    source = derived(declared, *(one.setting for one in made)) if made else declared
    words = [_site_words(ground, site) for site in sites]
    return entry("backups_at", "Where its backups are", words, source, none=NONE_DECLARED)


def _reach(ground: Ground, name: str, data: DataSet) -> tuple[dict[str, list[str]], list[str]]:
    """The operators of a data set, with the ways by which each has it, and the third countries that they answer to."""
    ways: dict[str, list[str]] = {}
    for place in data.stored_on:
        ways.setdefault(ground.where(ground.site_of(place)).operator, []).append("stores it")
    for site in [*data.backups_at, *(one.site for one in ground.backups_of(data) if one.site)]:
        ways.setdefault(ground.where(site).operator, []).append("keeps backups")
    for flow_name, flow in sorted(ground.register.flows.items()):
        if name in flow.data_sets:
            for end in (flow.source, flow.destination):
                operator = ground.where(ground.site_of(end)).operator
                ways.setdefault(operator, []).append(f"flow {flow_name}")
    countries = {code for operator in ways for code in abroad(ground.register.operators.get(operator))}
    return (
        {operator: list(dict.fromkeys(found)) for operator, found in ways.items()},
        [country(code) for code in sorted(countries)],
    )


def _stored(ground: Ground, place: str) -> str:
    kind = "object container" if "/" in place else "host"
    return f"{place}, {kind} at {_site_words(ground, ground.site_of(place))}"


def _site_words(ground: Ground, site: str) -> str:
    return f"{site} in {country(ground.where(site).country)}, run by {ground.where(site).operator}"


def _resources(ground: Ground, place: str) -> list[StandingResource]:
    site, _, container = place.partition("/")
    if container:
        return ground.standing.container(site, container)
    return [one for member in ground.members(place) for one in ground.standing.of_host(member)]


def _region(ground: Ground, place: str) -> str | None:
    """As the state has it; else as the settings name it."""
    found = [one.region for one in _resources(ground, place) if one.region]
    return found[0] if found else ground.where(ground.site_of(place)).region


def _keys(ground: Ground, name: str, data: DataSet) -> Iterator[RecordEntry]:
    source = setting("data_sets", name, "keys")
    if data.keys is None:
        none = NONE_DECLARED if data.data_class == "none" else ""
        yield entry("keys", "Who can decrypt it", None, source, none=none)
        return
    keys = data.keys
    operator = ground.register.operators.get(keys.holder)
    holder = f"the {ground.register.acts_as}" if operator is None else keys.holder
    answers = [country(code) for code in abroad(operator)]
    order = f"; authorities of {listed(answers)} may order it to" if answers else ""
    how = "without any key, in" if keys.service == "unencrypted" else "with keys kept in"
    yield entry("keys", "Who can decrypt it", f"{holder}, {how} {country(keys.country)}{order}", source)
    yield entry("key_service", "What keeps the keys", KEY_SERVICES[keys.service], f"{source}.service")


# --- operators --------------------------------------------------------------------------------------------------------


def _operators(ground: Ground) -> list[str]:
    return sorted({site.operator for site in ground.declared.sites.values()} | set(ground.register.operators))


def _operator(ground: Ground, name: str) -> RecordSection:
    operator = ground.register.operators.get(name)
    path = ("operators", name)
    sites = [
        f"{site}: {country(where.country)}{f', {where.region}' if where.region else ''}"
        for site, where in sorted(ground.declared.sites.items())
        if where.operator == name
    ]
    runs = entry("sites", "Runs", sites, "output sovereignty.sites", none="no site of this stack")
    if operator is None:
        missing = entry("country", "Established in", None, setting(*path))
        return RecordSection(name=name, title=f"{name}: not in the register", entries=(runs, missing))
    outside = bool(abroad(operator))
    entries = (
        runs,
        entry("country", "Established in", country(operator.country), setting(*path, "country")),
        entry("parent_country", "Ultimate parent in", jurisdiction(operator), setting(*path, "parent_country")),
        entry("agreement", "Processor agreement", operator.agreement, setting(*path, "agreement")),
        entry(
            "basis",
            "Basis of transfers",
            SAFEGUARDS[operator.basis] if operator.basis else None,
            setting(*path, "basis"),
        ),
        entry(
            "assessment",
            "Transfer impact assessment",
            operator.assessment,
            setting(*path, "assessment"),
            none="" if outside and operator.basis in ("standard-clauses", "binding-rules") else NONE_DECLARED,
        ),
        entry("review", "Review before the end of", str(operator.review or ""), setting(*path, "review")),
    )
    return RecordSection(name=name, title=name, entries=entries)


# --- the drawing ------------------------------------------------------------------------------------------------------


def _sites(ground: Ground) -> Iterator[RecordSite]:
    """Sites in the order of their names, those that keep personal data first."""
    for name, site in sorted(ground.declared.sites.items(), key=lambda one: (not one[1].sovereign, one[0])):
        operator = ground.register.operators.get(site.operator)
        hosts = [
            RecordKeeper(name=host, role=found.role, data_sets=_kept(ground, found.setting))
            for host, found in sorted(ground.declared.hosts.items())
            if found.site == name
        ]
        containers = [
            RecordKeeper(name=container, role="object container", data_sets=_kept(ground, f"{name}/{container}"))
            for container in sorted(site.containers)
        ]
        yield RecordSite(
            name=name,
            operator=site.operator,
            country=country(site.country),
            jurisdiction=jurisdiction(operator) or "",
            third_country=operator is None or operator.parent_country is None or bool(abroad(operator)),
            keepers=(*hosts, *containers),
        )


def _kept(ground: Ground, place: str) -> tuple[str, ...]:
    return tuple(name for name, data in sorted(ground.register.data_sets.items()) if place in data.stored_on)
