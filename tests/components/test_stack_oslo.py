"""The stack on two clouds under a double of the engine: what it makes of Pulumi.oslo.yaml, in which order, as whose."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fortress.facts import parse as parse_output
from fortress.settings.types import PROJECT
from program import clouds
from program.load import load
from tests.components import whole_stack
from tests.components.catalogue import DEBIAN_12, DEBIAN_13, Catalogue
from tests.components.engine import REMOTE, sent, ssh_key
from tests.components.whole_stack import PASSWORD, PEM, PRIVATE, commands, known_by, made_of, part_of_mesh, serving
from tests.doubles.pulumi_mocks import Answers, Registration, Run, address_of, holds_unknown, plain, run, secret_paths
from tests.keys import wireguard_key
from tests.unit.stack_file import GONE, KEY, ROOT, changed, oslo, with_key_files

MEMBERS = {"oslo-db": "oslo", "oslo-edge": "oslo", "oslo-web.1": "oslo", "fra-1.1": "frankfurt", "fra-2.1": "frankfurt"}
WORKERS = ["oslo-web.1", "fra-1.1", "fra-2.1"]
PLACES = {"db": "oslo-db", "edge": "oslo-edge", **{f"app-{name}": name for name in WORKERS}}
"""Services, and where they are."""
SECRET_KEYS = {
    "openstack_application_credential_secret": "OPENSTACK-SECRET",
    "aws_secret_access_key": "AWS-SECRET",
    "database_volume_key": "VOLUME-KEY-OF-THE-DATABASE",
    "ssh_private_key": PRIVATE,
}
WITH_SECRETS = {
    "sites/oslo/openstack/application_credential_id": "its-id",
    "sites/frankfurt/aws/access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "database/volume/encrypted": True,
}

pytestmark = pytest.mark.usefixtures("agent", "logins")


@pytest.fixture
def no_logins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A shell that is let in nowhere."""
    for name in (
        *("OS_PASSWORD", "OS_TOKEN", "OS_APPLICATION_CREDENTIAL_SECRET", "OS_CLOUD"),
        *("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


@pytest.fixture
def logins(no_logins: pytest.MonkeyPatch) -> None:
    """A shell that both clouds let in."""
    no_logins.setenv("OS_PASSWORD", "lab")
    no_logins.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")


def fortress(
    changes: Mapping[str, Any] | None = None,
    *,
    preview: bool = False,
    standing: Collection[str] = (),
    secrets: Mapping[str, str] | None = None,
    answers: Answers | None = None,
) -> Run:
    return made_of(
        changed(changes or {}, oslo),
        preview=preview,
        standing=standing,
        secrets=secrets,
        answers=answers or Catalogue().answers,
    )


@functools.cache
def as_it_stands() -> Run:
    return fortress()


@functools.cache
def first_preview() -> Run:
    return fortress(preview=True)


@functools.cache
def second_generation(host: str) -> Run:
    return fortress({f"hosts/{host}/generation": 2})


def of_a_cloud(done: Run) -> dict[str, Registration]:
    """What the providers of both clouds make."""
    return {name: found for name, found in done.resources.items() if found.type.startswith(("openstack:", "aws:"))}


def site_of(done: Run, name: str) -> str:
    """The site of a resource of a cloud, by the component at the top that it is part of."""
    top = done.resources[name]
    while top.parent is not None:
        top = done.resources[top.parent]
    homes = {**MEMBERS, "db": "oslo", "oslo": "oslo", "frankfurt": "frankfurt"}
    return homes.get(top.name, top.name.split("-")[0])


def of_member(done: Run, member: str) -> set[str]:
    """All that a member has: its machine and its own, its part of the mesh, its service, its peer at each hub."""
    tops = {member, f"app-{member}"}
    own = tops | part_of_mesh(done, member) | {name for top in tops for name in done.below(top)}
    return own | {name for name in done.resources if name.endswith(f"-peer-{member}")}


def changed_inputs(before: Run, after: Run) -> set[str]:
    both = set(before.resources) & set(after.resources)
    return {name for name in both if before.resources[name].inputs != after.resources[name].inputs}


def inputs(done: Run, name: str) -> dict[str, Any]:
    found: dict[str, Any] = plain(dict(done.resources[name].inputs))
    return found


# --- what it is made of ---


def test_the_components() -> None:
    done = as_it_stands()
    assert {name: found.type for name, found in done.children(None).items()} == {
        "login oslo": "pulumi:providers:openstack",
        "login frankfurt": "pulumi:providers:aws",
        "oslo": "fortress:index:OpenStackSite",
        "oslo-fortress-personal": "fortress:index:PrivateContainer",
        "oslo-fortress-backups": "fortress:index:PrivateContainer",
        "frankfurt": "fortress:index:AwsSite",
        **dict.fromkeys(MEMBERS, "fortress:index:Host"),
        "mesh": "fortress:index:WireGuardMesh",
        "db": "fortress:index:DataFortress",
        **{f"app-{name}": "fortress:index:EphemeralWorker" for name in WORKERS},
        "db-passwords": "fortress:index:PasswordRotation",
        "edge": "fortress:index:HAProxyEdge",
    }
    for name, site in MEMBERS.items():
        machine = "OpenStackMachine" if site == "oslo" else "AwsMachine"
        assert done.resources[f"{name}-machine"].type == f"fortress:index:{machine}"
        assert done.resources[f"{name}-machine"].parent == name


def test_what_it_takes_from_each_cloud() -> None:
    done = as_it_stands()
    kinds = {site: Counter[str]() for site in ("oslo", "frankfurt")}
    for name, found in of_a_cloud(done).items():
        kinds[site_of(done, name)][found.type.rpartition(":")[2]] += 1
    assert kinds["oslo"] == {
        **{"Network": 1, "Subnet": 1, "Router": 1, "RouterInterface": 1, "SecGroup": 3, "SecGroupRule": 11},
        **{"Port": 3, "FloatingIp": 3, "FloatingIpAssociate": 3, "Instance": 3},
        **{"Volume": 1, "VolumeAttach": 1, "Container": 2},
    }
    assert kinds["frankfurt"] == {
        **{"Vpc": 1, "InternetGateway": 1, "RouteTable": 1, "Subnet": 2, "RouteTableAssociation": 2},
        **{"SecurityGroup": 1, "SecurityGroupIngressRule": 2, "SecurityGroupEgressRule": 1, "Instance": 2},
    }


def test_the_machines_of_the_article() -> None:
    done = as_it_stands()
    first_boot = (
        "#cloud-config\n"
        'hostname: "{}"\n'
        "preserve_hostname: false\n"
        "manage_etc_hosts: localhost\n"
        "ssh_pwauth: false\n"
        "disable_root: true\n"
        "# The image's first user under this name, whatever the image calls it.\n"
        "user:\n"
        '  name: "debian"\n'
    )
    assert inputs(done, "oslo-db-machine-instance") == {
        "name": "coolvds-nvme-db-01",
        "flavorName": "v2-highcpu-nvme",
        "imageId": DEBIAN_13,
        "keyPair": "deploy_key_2020",
        "metadata": {"role": "primary-db", "data-class": "personal"},
        "networks": [{"port": "oslo-db-machine-port-id"}],
        "userData": first_boot.format("oslo-db"),
        "stopBeforeDestroy": True,
    }
    assert inputs(done, "oslo-db-machine-port")["fixedIps"] == [
        {"subnetId": "oslo-subnet-id", "ipAddress": "10.20.0.11"}
    ]
    assert inputs(done, "oslo-web.1-machine-instance")["userData"] == first_boot.format("oslo-web-1")
    worker = inputs(done, "fra-1.1-machine-instance")
    assert (worker["ami"], worker["instanceType"], worker["keyName"], worker["tags"], worker["subnetId"]) == (
        "ami-debian-13",
        "c5.large",
        "deploy_key_2020",
        {"Name": "worker-node-dr", "data-class": "none"},
        "frankfurt-subnet-eu-central-1a-id",
    )
    assert inputs(done, "fra-2.1-machine-instance")["subnetId"] == "frankfurt-subnet-eu-central-1b-id"
    assert worker["userData"] == first_boot.format("fra-1-1")


def test_who_is_open_to_whom() -> None:
    """By role: each machine its own groups, and nothing wider."""
    done = as_it_stands()
    groups = {name: inputs(done, f"{name}-machine-port")["securityGroupIds"] for name in MEMBERS if "oslo" in name}
    assert groups == {
        "oslo-db": ["oslo-internal-id", "ID of default", "oslo-hub-id"],
        "oslo-edge": ["oslo-internal-id", "oslo-hub-id", "oslo-edge-id"],
        "oslo-web.1": ["oslo-internal-id"],
    }
    for name in ("fra-1.1", "fra-2.1"):
        assert inputs(done, f"{name}-machine-instance")["vpcSecurityGroupIds"] == ["frankfurt-group-id"]
    ssh = {name: inputs(done, name) for name in of_a_cloud(done) if "-ssh-" in name}
    assert {name: found.get("remoteIpPrefix") or found.get("cidrIpv4") for name, found in ssh.items()} == {
        "oslo-internal-ssh-192-0-2-10-32": "192.0.2.10/32",
        "frankfurt-ssh-192-0-2-10-32": "192.0.2.10/32",
    }


def test_the_data_is_on_a_volume_of_its_own() -> None:
    done = as_it_stands()
    volume = inputs(done, "db-data")
    assert (volume["size"], volume["volumeType"]) == (100, "nvme")
    assert inputs(done, "db-data-attached") == {"instanceId": "oslo-db-machine-instance-id", "volumeId": "db-data-id"}
    assert "data-volume mount volume:db-data-id /var/lib/mysql mariadb --size 100" in str(
        done.resources["db-data-mounted"].inputs["create"]
    )


def names(done: Run) -> dict[str, str]:
    """How each thing is called in its cloud, as far as it has a name there."""
    found = {name: inputs(done, name) for name in of_a_cloud(done)}
    tags = {name: known["tags"] for name, known in found.items() if isinstance(known.get("tags"), dict)}
    tagged = {name: known.get("name") or tags.get(name, {}).get("Name") for name, known in found.items()}
    return {name: known for name, known in tagged.items() if known}


def test_a_prefix_is_before_every_name_that_the_stack_chooses_in_a_cloud() -> None:
    before = as_it_stands()
    after = fortress({"sites/oslo/openstack/name_prefix": "two", "sites/frankfurt/aws/name_prefix": "two"})
    old, new = names(before), names(after)
    by_settings = {name for name in old if name.endswith("-container")}
    by_settings |= {f"{name}-machine-instance" for name in ("oslo-db", "fra-1.1", "fra-2.1")} | {"oslo-db-machine-port"}
    assert new == {name: known if name in by_settings else f"two-{known}" for name, known in old.items()}
    some = {
        "secure-internal",
        "oslo-network",
        "db-data",
        "oslo-edge",
        "frankfurt-machines",
        "frankfurt-vpc",
        "oslo-web-1",
    }
    assert {f"two-{name}" for name in some} <= {*new.values()}
    described = {name for name in changed_inputs(before, after) if name not in old}
    assert described == {f"{name}-machine-address" for name in ("oslo-edge", "oslo-web.1")}, "by the machine's name"


def test_what_nobody_deletes_by_mistake() -> None:
    protected = {name for name, found in as_it_stands().resources.items() if found.protect}
    assert protected == {
        "db-data",
        "oslo-fortress-personal-container",
        "oslo-fortress-backups-container",
    }
    loose = fortress({"database/keep_data": False})
    assert not [name for name, found in loose.resources.items() if found.protect]


def test_every_resource_of_a_cloud_is_made_by_its_sites_login() -> None:
    """None by a provider that the engine makes of the shell's variables, nor by the other site's."""
    for done in (as_it_stands(), second_generation("fra-1")):
        made = of_a_cloud(done)
        assert len(made) > 40
        for name, found in made.items():
            site = "frankfurt" if name.startswith("fra") else site_of(done, name)
            assert found.provider == f"login {site}", name
        for question in done.asked:
            site = "oslo" if question.token.startswith("openstack:") else "frankfurt"
            assert question.provider == f"login {site}", question.token


def default_tags(done: Run) -> dict[str, str]:
    """A provider's inputs that are no text go as JSON."""
    found: dict[str, str] = json.loads(inputs(done, "login frankfurt")["defaultTags"])["tags"]
    return found


def test_the_logins() -> None:
    done = as_it_stands()
    assert inputs(done, "login oslo") == {"authUrl": "https://api.coolvds.com/v3", "region": "NO-Oslo-1"}
    assert default_tags(done) == {"project": "data-fortress", "stack": "lab"}
    assert inputs(done, "login frankfurt") == {
        "region": "eu-central-1",
        "defaultTags": inputs(done, "login frankfurt")["defaultTags"],
        # What the SDK sets on its own: a wrong key is refused at once.
        "skipCredentialsValidation": "false",
        "skipRegionValidation": "true",
    }


# --- what becomes of it with its machine ---


def test_what_is_on_a_machine_ends_with_it_but_the_mount() -> None:
    """No delete command dials a machine that the cloud has ended; the volume is unmounted while it still runs."""
    done = as_it_stands()
    owners = {address_of(f"{one}-machine-{part}"): one for one in MEMBERS for part in ("address", "instance", "port")}
    for name, found in commands(done).items():
        host = str(plain(found.inputs["connection"])["host"])
        member = owners[host]
        assert found.deleted_with == (None if name == "db-data-mounted" else member), name
        assert found.retain_on_delete is bool(found.asked_again_on), name
    mounted = done.resources["db-data-mounted"]
    assert "data-volume unmount" in str(mounted.inputs["delete"])
    assert mounted.delete_before_replace
    assert plain(mounted.inputs["triggers"]) == ["oslo-db-machine-instance-id"], "undone when the machine is replaced"


def test_what_the_cloud_has_does_not_hang_on_a_host() -> None:
    for name, found in of_a_cloud(as_it_stands()).items():
        assert found.deleted_with is None, name
        assert found.retain_on_delete is False, name


def test_no_machine_is_rebuilt_by_another_image() -> None:
    for name in MEMBERS:
        found = as_it_stands().resources[f"{name}-machine-instance"]
        first_boot = ("userData", "keyPair", "imageId") if MEMBERS[name] == "oslo" else ("userData", "keyName", "ami")
        assert found.ignore_changes == first_boot, name
        assert found.replace_on_changes == (), name
    loose = fortress({"hosts/oslo-edge/openstack/image_pinned": False, "sites/frankfurt/aws/image/pinned": False})
    assert loose.resources["oslo-edge-machine-instance"].replace_on_changes == ("imageId",)
    assert loose.resources["oslo-edge-machine-instance"].ignore_changes == ("userData", "keyPair")
    assert loose.resources["oslo-db-machine-instance"].ignore_changes == ("userData", "keyPair", "imageId")
    assert loose.resources["fra-1.1-machine-instance"].ignore_changes == ("userData", "keyName")


# --- order ---


def test_a_site_comes_before_its_machines_and_a_machine_before_its_first_contact() -> None:
    done = as_it_stands()
    for name, site in MEMBERS.items():
        own = {f"{name}-machine-instance"}
        if site == "oslo":
            own |= {f"{name}-machine-port", f"{name}-machine-address", f"{name}-machine-association"}
        assert set(done.below(f"{name}-machine")) == own
        for part in own:
            assert set(done.children(site)) <= done.before(part), f"{part} waits for rules, routes and router"
        assert own <= done.before(f"{name}-host-key"), name
        for first in set(done.children(name)) - {f"{name}-machine", f"{name}-host-key"}:
            assert own | {f"{name}-host-key"} <= done.before(first), first


def test_machines_wait_for_no_other_machine() -> None:
    done = as_it_stands()
    for name in MEMBERS:
        others = {other for one in MEMBERS if one != name for other in done.below(one)}
        for part in done.below(name):
            assert not done.before(part) & others, part


def test_the_volume_is_there_before_mariadb() -> None:
    """Its installation makes the data folder; and before a volume is mounted it is attached, and there is a tool."""
    done = as_it_stands()
    assert {"db-data", "db-data-attached", "db-volume-tool"} <= done.before("db-data-mounted")
    assert "oslo-db-wg0.conf" in done.before("db-data-mounted")
    for name in ("db-prepared", "db-authority", "db-90-fortress.cnf", "db-account"):
        assert "db-data-mounted" in done.before(name), name


def test_the_edge_is_last() -> None:
    done = as_it_stands()
    rest = set(commands(done)) - set(done.children("edge"))
    for name in done.children("edge"):
        if name in serving():
            assert {f"app-{worker}-healthy" for worker in WORKERS} <= done.before(name), name
        assert not any(name in done.before(other) for other in rest), name
    assert "edge-files" in done.before("edge-drained")


def test_services_come_after_their_host_and_their_part_of_the_mesh() -> None:
    done = as_it_stands()
    for component, host in PLACES.items():
        for name in {one for one, found in done.children(component).items() if found.type == REMOTE}:
            assert {f"{host}-wg0.conf", f"{host}-key"} <= done.before(name), name
            if name in serving().union(*map(serving, WORKERS)):
                assert part_of_mesh(done, host) <= done.before(name), name


# --- the next generation ---


def test_a_next_generation_stands_beside_the_one_before() -> None:
    """Other names throughout, the slot's other address, and what stands elsewhere is untouched but for the edge's
    servers: so the engine makes the new one first, and takes the old one away last."""
    before, after = as_it_stands(), second_generation("fra-1")
    gone, added = set(before.resources) - set(after.resources), set(after.resources) - set(before.resources)
    assert gone == of_member(before, "fra-1.1")
    assert added == of_member(after, "fra-1.2")
    assert {name.replace("fra-1.1", "fra-1.2") for name in gone} == added
    assert not any("fra-1.1" in repr(found) for found in after.resources.values())
    assert "fra-1.1" not in repr(after.outputs["fortress"].value)

    assert changed_inputs(before, after) == {"edge-files"}
    assert "server fra-1.1 10.100.0.2:80 tcp-ut 2s\n" in sent(before.resources["edge-files"])
    assert "server fra-1.2 10.100.0.130:80 tcp-ut 2s\n" in sent(after.resources["edge-files"])
    assert "Address = 10.100.0.130/24\n" in sent(after.resources["fra-1.2-wg0.conf"])
    assert "AllowedIPs = 10.100.0.130/32\n" in sent(after.resources["mesh-oslo-db-peer-fra-1.2"])
    assert after.outputs["fortress"].value["hosts"]["fra-1.2"]["mesh_address"] == "10.100.0.130"
    assert "app-fra-1.2-healthy" in after.before("edge-files")


def test_a_next_generation_of_a_worker_on_openstack() -> None:
    before, after = as_it_stands(), second_generation("oslo-web")
    assert set(before.resources) - set(after.resources) == of_member(before, "oslo-web.1")
    assert set(after.resources) - set(before.resources) == of_member(after, "oslo-web.2")
    assert changed_inputs(before, after) == {"edge-files"}
    names = {"hosts/oslo-web/openstack/name": "web01", "hosts/oslo-web/generation": 2}
    assert inputs(fortress(names), "oslo-web.2-machine-instance")["name"] == "web01-2"
    assert inputs(after, "oslo-web.2-machine-instance")["name"] == "oslo-web-2"


def test_one_worker_more_touches_the_edge_and_the_zone_it_opens() -> None:
    fra_3 = {"site": "frankfurt", "role": "worker", "slot": 6, "aws": {"zone": "eu-central-1c"}}
    before, after = as_it_stands(), fortress({"hosts/fra-3": fra_3})
    assert changed_inputs(before, after) == {"edge-files"}
    assert set(after.resources) - set(before.resources) == of_member(after, "fra-3.1") | {
        "frankfurt-subnet-eu-central-1c",
        "frankfurt-routes-eu-central-1c",
    }
    assert set(before.resources) <= set(after.resources)


# --- previews ---


def test_at_first_preview_everything_shows_and_what_is_unknown_stays_unknown() -> None:
    done, made = first_preview(), as_it_stands()
    assert set(done.resources) == set(made.resources)
    for name, found in done.resources.items():
        assert set(found.inputs) == set(made.resources[name].inputs), name
        for key, value in found.inputs.items():
            if not holds_unknown(value):
                assert value == made.resources[name].inputs[key], f"{name}.{key}"
        assert done.before(name) == made.before(name), name
    known = {name for name, seen in done.outputs.items() if seen.known}
    assert known == {"sovereignty"}, "the others name addresses that no cloud has given yet"


def test_at_first_preview_every_file_shows_but_for_keys_that_are_born_on_hosts() -> None:
    done = first_preview()
    unknown = {name for name, found in done.resources.items() if holds_unknown(found.inputs.get("stdin"))}
    assert unknown == {
        *(name for name in done.resources if "-peer-" in name),
        *(f"mesh-{worker}-files" for worker in WORKERS),  # with the keys of the hubs
        *(f"app-{worker}-credentials" for worker in WORKERS),
        *(f"app-{worker}-healthy" for worker in WORKERS),
        "db-90-fortress.cnf",  # sized by the machine's memory
        "edge-drained",  # after each put of what HAProxy reads
        "db-passwords-ended",  # after each look at the accounts
    }
    given = fortress({"hosts/oslo-db/memory_mb": 8192}, preview=True)
    assert "innodb_buffer_pool_size = 5728M\n" in sent(given.resources["db-90-fortress.cnf"])


def test_at_first_preview_the_edges_servers_show() -> None:
    """They are mesh addresses: no cloud's address stands in a text that others share."""
    text = sent(first_preview().resources["edge-files"])
    assert text == sent(as_it_stands().resources["edge-files"])
    for server in ("oslo-web.1 10.100.0.4:80", "fra-1.1 10.100.0.2:80", "fra-2.1 10.100.0.5:80"):
        assert f"server {server} " in text


def test_at_first_preview_machines_show_what_they_will_be() -> None:
    done = first_preview()
    for name, found in of_a_cloud(done).items():
        unknown = {key for key, value in found.inputs.items() if holds_unknown(value)}
        for key in unknown:
            assert key.endswith(("Id", "Ids")) or key in ("routes", "fixedIps", "floatingIp", "networks"), name
    assert inputs(done, "oslo-db-machine-port")["fixedIps"][0]["ipAddress"] == "10.20.0.11"


@pytest.mark.parametrize("member", ["fra-1.2", "oslo-web.2"])
def test_a_preview_of_a_next_generation_hides_nothing_of_what_stands(member: str) -> None:
    host = member.removesuffix(".2")
    standing, made = as_it_stands(), second_generation(host)
    done = fortress({f"hosts/{host}/generation": 2}, preview=True, standing=standing.resources)
    for name in set(done.resources) & set(standing.resources):
        assert done.resources[name].inputs == made.resources[name].inputs, name
    new = {name: found for name, found in done.resources.items() if name not in standing.resources}
    assert {name for name, found in new.items() if holds_unknown(found.inputs.get("stdin"))} == {
        *(f"mesh-{hub}-peer-{member}" for hub in ("oslo-db", "oslo-edge")),
        f"app-{member}-healthy",
    }
    assert done.outputs["url"].known


def test_peers_at_hubs_do_not_hang_on_the_addresses_of_workers() -> None:
    """Those dial: a worker whose address is not known yet, or another tomorrow, changes nothing at a hub."""
    standing = as_it_stands()
    moving = {name for name in standing.resources if name.endswith(("-machine-instance", "-machine-address"))}
    workers = {name for name in moving if name.startswith(tuple(WORKERS))}
    done = fortress(preview=True, standing=set(standing.resources) - workers)
    for hub in ("oslo-db", "oslo-edge"):
        for worker in WORKERS:
            assert sent(done.resources[f"mesh-{hub}-peer-{worker}"]) == sent(
                standing.resources[f"mesh-{hub}-peer-{worker}"]
            )
    without_hubs = fortress(preview=True, standing=set(standing.resources) - moving)
    assert holds_unknown(without_hubs.resources["mesh-fra-1.1-files"].inputs["stdin"]), "it dials that address"


def test_another_machine_behind_a_hub_keeps_its_address() -> None:
    """The floating address outlives the instance, so those who dial it notice nothing."""
    standing = as_it_stands()
    done = fortress(preview=True, standing=set(standing.resources) - {"oslo-db-machine-instance"})
    assert plain(done.resources["oslo-db-push"].inputs["connection"])["host"] == address_of("oslo-db-machine-address")
    for worker in WORKERS:
        assert done.resources[f"mesh-{worker}-files"].inputs == standing.resources[f"mesh-{worker}-files"].inputs
    assert holds_unknown(done.resources["oslo-db-push"].inputs["create"]), "it names the machine"


# --- what is given out ---


def test_outputs() -> None:
    done = as_it_stands()
    assert {name: seen.secret for name, seen in done.outputs.items()} == {
        "url": False,
        "fortress": False,
        "sovereignty": False,
    }
    assert done.outputs["url"].value == f"https://{address_of('oslo-edge-machine-address')}"
    facts = done.outputs["fortress"].value
    assert json.loads(json.dumps(facts)) == facts, "other stacks read it as JSON"
    assert parse_output(facts).model_dump(mode="json", exclude_unset=True) == facts, "and the command as its model"
    assert list(facts["hosts"]) == list(MEMBERS)
    assert facts["hosts"]["fra-1.1"] == {
        "address": address_of("fra-1.1-machine-instance"),
        "port": 22,
        "user": "debian",
        "host_key": ssh_key(len("fra-1.1-host-key")),
        "public_key": wireguard_key("fra-1.1"),
        "mesh_address": "10.100.0.2",
        "site": "frankfurt",
        "role": "worker",
        "peers": ["oslo-db", "oslo-edge"],
        "egress": "closed",
        "exporters": {},
        "listens": ["tcp/22", "tcp/80", "udp/51820"],
        "open_tcp": [22],
    }
    assert facts["hosts"]["oslo-edge"]["peers"] == ["fra-1.1", "fra-2.1", "oslo-web.1"]
    assert facts["hosts"]["oslo-edge"]["open_tcp"] == [22, 80, 443]
    assert facts["edge"]["backends"] == {
        "oslo": {"oslo-web.1": "10.100.0.4:80"},
        "frankfurt": {"fra-1.1": "10.100.0.2:80", "fra-2.1": "10.100.0.5:80"},
    }
    assert facts["database"]["ca_pem"] == PEM


# --- secrets ---


@pytest.mark.parametrize("preview", [False, True])
def test_secrets_stand_where_they_are_needed_and_nowhere_else(no_logins: pytest.MonkeyPatch, preview: bool) -> None:
    no_logins.delenv("OS_PASSWORD")
    done = fortress(WITH_SECRETS, secrets=SECRET_KEYS, preview=preview)
    found = {name: paths for name, one in done.resources.items() if (paths := secret_paths(one.inputs))}
    assert found == {
        "login oslo": {"applicationCredentialSecret"},
        "login frankfurt": {"accessKey", "secretKey"},
        **{name: {"connection"} for name in commands(done)},
        **{name: {"connection", "stdin"} for name in ("db-account", "db-data-mounted")},
        **{f"app-{worker}-credentials": {"connection", "stdin"} for worker in WORKERS},
    }
    for name, one in done.resources.items():
        open_to_read = {key: value for key, value in one.inputs.items() if key not in found.get(name, ())}
        for secret in (PASSWORD, *SECRET_KEYS.values()):
            assert secret not in repr(open_to_read), name
    given_out = repr([seen.value for seen in done.outputs.values()])
    assert not any(secret in given_out for secret in (PASSWORD, *SECRET_KEYS.values()))
    assert plain(done.resources["login oslo"].inputs["applicationCredentialSecret"]) == "OPENSTACK-SECRET"
    assert plain(done.resources["login frankfurt"].inputs["secretKey"]) == "AWS-SECRET"
    assert sent(done.resources["db-data-mounted"]) == "VOLUME-KEY-OF-THE-DATABASE\n"


def test_without_logins_of_its_own_the_stack_writes_none_down() -> None:
    """What the shell's variables hold is the provider's to read."""
    for name in ("login oslo", "login frankfurt"):
        assert not secret_paths(as_it_stands().resources[name].inputs)
        assert "lab" not in json.dumps({**inputs(as_it_stands(), name), "defaultTags": ""})


# --- settings reach what is made ---

REACHED: dict[str, tuple[dict[str, Any], str, str, Any]] = {
    "no name": ({"hosts/oslo-db/openstack/name": GONE}, "oslo-db-machine-instance", "name", "oslo-db"),
    "a flavor": (
        {"hosts/oslo-edge/openstack/flavor": "v2-highcpu-nvme"},
        "oslo-edge-machine-instance",
        "flavorName",
        "v2-highcpu-nvme",
    ),
    "metadata": (
        {"hosts/oslo-edge/openstack/metadata": {"a": "b"}},
        "oslo-edge-machine-instance",
        "metadata",
        {"a": "b", "data-class": "personal"},
    ),
    "an OpenStack zone": (
        {"hosts/oslo-db/openstack/availability_zone": "nova"},
        "oslo-db-machine-instance",
        "availabilityZone",
        "nova",
    ),
    "the volume's zone": (
        {"hosts/oslo-db/openstack/availability_zone": "nova"},
        "db-data",
        "availabilityZone",
        "nova",
    ),
    "the volume's size": ({"database/volume/size_gb": 200}, "db-data", "size", 200),
    "the volume's type": (
        {"database/volume/type": "hdd", "sovereignty/operators/CoolVDS/encrypted_volume_types": ["hdd"]},
        "db-data",
        "volumeType",
        "hdd",
    ),
    "a host's data class": (
        {"hosts/oslo-web/data_class": "personal"},
        "oslo-web.1-machine-instance",
        "metadata",
        {"data-class": "personal"},
    ),
    "a container's data class": (
        {"sites/oslo/openstack/containers/fortress-personal/data_class": "ciphertext"},
        "oslo-fortress-personal-container",
        "metadata",
        {"data-class": "ciphertext"},
    ),
    "where floating addresses come from": ({}, "oslo-db-machine-address", "pool", "public"),
    "where the router leads": ({}, "oslo-router", "externalNetworkId", "ID of public"),
    "a network's range": (
        {"sites/oslo/openstack/network/cidr": "10.20.0.0/16"},
        "oslo-subnet",
        "cidr",
        "10.20.0.0/16",
    ),
    "name servers": (
        {"sites/oslo/openstack/network/dns": ["192.0.2.53"]},
        "oslo-subnet",
        "dnsNameservers",
        ["192.0.2.53"],
    ),
    "SSH's port on OpenStack": ({"ssh/port": 2222}, "oslo-internal-ssh-192-0-2-10-32", "portRangeMin", 2222),
    "SSH's port on AWS": ({"ssh/port": 2222}, "frankfurt-ssh-192-0-2-10-32", "fromPort", 2222),
    "operators": (
        {"ssh/operators": ["192.0.2.10/32", "198.51.100.0/24"]},
        "frankfurt-ssh-198-51-100-0-24",
        "cidrIpv4",
        "198.51.100.0/24",
    ),
    "the mesh's port": ({"mesh/port": 51821}, "oslo-hub-mesh-ipv4", "portRangeMax", 51821),
    "a container's expiry": (
        {},
        "oslo-fortress-backups-container",
        "metadata",
        {"expire-days": "90", "data-class": "personal"},
    ),
    "a container's versions": (
        {"sites/oslo/openstack/containers/fortress-personal/versioning": False},
        "oslo-fortress-personal-container",
        "versioning",
        False,
    ),
    "a VPC's range": (
        {"sites/frankfurt/aws/network/cidr": "10.40.0.0/20"},
        "frankfurt-vpc",
        "cidrBlock",
        "10.40.0.0/20",
    ),
    "IPv6": ({"sites/frankfurt/aws/network/ipv6": True}, "frankfurt-vpc", "assignGeneratedIpv6CidrBlock", True),
    "a disk's size": (
        {"hosts/fra-1/aws/disk_gb": 30},
        "fra-1.1-machine-instance",
        "rootBlockDevice",
        {"volumeType": "gp3", "volumeSize": 30, "encrypted": True, "deleteOnTermination": True},
    ),
    "spot": (
        {"hosts/fra-1/aws/spot": True},
        "fra-1.1-machine-instance",
        "instanceMarketOptions",
        {"marketType": "spot"},
    ),
    "tags": (
        {"hosts/fra-1/aws/tags": {"Team": "x"}},
        "fra-1.1-machine-instance",
        "tags",
        {"Name": "fra-1.1", "Team": "x", "data-class": "none"},
    ),
    "an image by id": ({"hosts/oslo-db/openstack/image": DEBIAN_12}, "oslo-db-machine-instance", "imageId", DEBIAN_12),
    "a region": (
        {
            "sites/frankfurt/aws/region": "eu-west-1",
            "sovereignty/operators/Amazon Web Services/regions": ["eu-west-1"],
            **{f"hosts/fra-{number}/aws/zone": "eu-west-1a" for number in (1, 2)},
        },
        "login frankfurt",
        "region",
        "eu-west-1",
    ),
}


@functools.cache
def everything_changed() -> Run:
    catalogue = Catalogue(zones=("eu-west-1a",), images={"Debian 12": DEBIAN_12, "Debian 13": DEBIAN_13})
    changes = {path: value for each, *_ in REACHED.values() for path, value in each.items()}
    return fortress(changes, answers=catalogue.answers)


@pytest.mark.parametrize("setting", REACHED)
def test_a_setting_reaches_what_is_made(setting: str) -> None:
    changes, resource, key, value = REACHED[setting]
    assert inputs(everything_changed(), resource)[key] == value
    if changes and resource in as_it_stands().resources:
        assert inputs(as_it_stands(), resource).get(key) != value, "it shows where it comes from"


def test_who_logs_in_is_who_the_first_boot_makes() -> None:
    done = fortress({"ssh/user": "ops"})
    for name, site in MEMBERS.items():
        machine = inputs(done, f"{name}-machine-instance")
        assert 'user:\n  name: "ops"\n' in machine["userData"], site
    assert {plain(found.inputs["connection"])["user"] for found in commands(done).values()} == {"ops"}


def test_a_sites_tags_are_on_all_that_it_has() -> None:
    done = fortress({"sites/frankfurt/aws/tags": {"Team": "x"}})
    assert default_tags(done) == {"project": "data-fortress", "stack": "lab", "Team": "x"}


def test_a_machine_without_a_floating_address() -> None:
    catalogue = Catalogue(networks={"public": (), "lan": ("lan-v4",)})
    changes = {"sites/oslo/openstack/network": {"existing": "lan"}, "hosts/oslo-web/openstack/floating_address": False}
    done = fortress(changes, answers=catalogue.answers)
    assert set(done.below("oslo-web.1-machine")) == {"oslo-web.1-machine-port", "oslo-web.1-machine-instance"}
    host = plain(done.resources["oslo-web.1-push"].inputs["connection"])["host"]
    assert host == address_of("oslo-web.1-machine-port")


def test_networks_that_are_there() -> None:
    subnets: dict[str, tuple[str, ...]] = {"eu-central-1a": ("subnet-1",), "eu-central-1b": ("subnet-2",)}
    catalogue = Catalogue(networks={"public": (), "lan": ("lan-v4",)}, vpcs={"vpc-1": subnets})
    changes = {
        "sites/oslo/openstack/network": {"existing": "lan"},
        "sites/frankfurt/aws/network": {"existing": "vpc-1"},
    }
    done = fortress(changes, answers=catalogue.answers)
    kinds = {found.type.rpartition(":")[2] for found in of_a_cloud(done).values()}
    assert not kinds & {"Network", "Router", "Vpc", "InternetGateway", "RouteTable"}
    port = inputs(done, "oslo-db-machine-port")
    assert (port["networkId"], port["fixedIps"][0]["subnetId"]) == ("ID of lan", "lan-v4")
    assert inputs(done, "fra-2.1-machine-instance")["subnetId"] == "subnet-2"
    assert inputs(done, "frankfurt-group")["vpcId"] == "vpc-1"


def test_key_pairs_that_are_made(tmp_path: Path) -> None:
    values = with_key_files(tmp_path, f"{KEY} me at home\n".encode())
    made = run_in(tmp_path, values)
    assert inputs(made, "oslo-key") == {"name": "deploy_key_2020", "publicKey": f"{KEY} me at home"}
    assert inputs(made, "frankfurt-key")["publicKey"] == f"{KEY} me at home"


def run_in(project: Path, values: Mapping[str, Any]) -> Run:
    """The clouds alone, of settings whose files are in another project."""

    def program() -> None:
        settings, _ = load(pulumi.Config(PROJECT), project)
        clouds.build(settings, project, pulumi.Config(PROJECT))

    return run(
        program,
        answers=Catalogue(openstack_keys=(), aws_keys=()).answers,
        known_by=known_by,
        config=whole_stack.config(values, {"database_password": PASSWORD}),
        secrets=[f"{PROJECT}:database_password"],
    )


def test_a_stack_may_mix_where_machines_come_from() -> None:
    """A host by its address among those that are made: nothing of it hangs on a cloud, nor ends with a component."""
    changes = {"hosts/fra-2/aws": GONE, "hosts/fra-2/address": "203.0.113.22"}
    done, standing = fortress(changes), as_it_stands()
    assert "fra-2-machine" not in done.resources
    own = of_member(done, "fra-2") - {f"mesh-{hub}-peer-fra-2" for hub in ("oslo-db", "oslo-edge")}
    for name in own & set(commands(done)):
        assert plain(done.resources[name].inputs["connection"])["host"] == "203.0.113.22", name
        assert done.resources[name].deleted_with is None, name
        assert "fra-2.1" in str(done.resources[name].inputs["create"]), name
    hosts = {"fra-2", *done.below("fra-2")}
    assert all(done.before(name) <= hosts for name in done.below("fra-2")), "it waits for no site"
    untouched = set(standing.resources) - of_member(standing, "fra-2.1")
    untouched -= {
        "edge-files",
        "edge-drained",
        "frankfurt-subnet-eu-central-1b",
        "frankfurt-routes-eu-central-1b",
    }
    for name in untouched:
        assert done.resources[name].inputs == standing.resources[name].inputs, name


# --- what a value may not do ---

# All that is accepted on one line; what is refused is in test_host_settings.py.
ONE_LINE = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=20) | st.sampled_from(
    ["';reboot;'", '" "', "\\n- runcmd", "%n $HOME $$", "{{ 7*7 }}{% if %}", "# }", "\\", "`id`$(id)", "a: b"]
)


@given(text=ONE_LINE)
@hypothesis_settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_clouds_are_told_reaches_no_host_and_no_first_boot(text: str) -> None:
    hostile = f"x{text}"
    changes = {
        "hosts/oslo-db/openstack/name": hostile,
        "hosts/oslo-db/openstack/flavor": hostile,
        "hosts/oslo-db/openstack/image": hostile,
        "hosts/oslo-db/openstack/metadata": {"role": hostile},
        "hosts/fra-1/aws/tags": {"Name": hostile},
        "sites/frankfurt/aws/tags": {"Team": hostile},
        "sites/frankfurt/aws/image/name": hostile,
        "database/volume/type": hostile,
        "sovereignty/operators/CoolVDS/encrypted_volume_types": [hostile],
    }
    catalogue = Catalogue()
    catalogue.flavors[hostile], catalogue.images[hostile] = (4, 8192), "its-id"
    catalogue.amis["136693071363", hostile] = "ami-hostile"
    done, standing = fortress(changes, answers=catalogue.answers), as_it_stands()
    machine = inputs(done, "oslo-db-machine-instance")
    assert (machine["name"], machine["flavorName"], machine["metadata"]) == (
        hostile,
        hostile,
        {"role": hostile, "data-class": "personal"},
    )
    assert machine["imageId"] == "its-id"
    assert inputs(done, "fra-1.1-machine-instance")["tags"] == {"Name": hostile, "data-class": "none"}
    assert inputs(done, "db-data")["volumeType"] == hostile
    assert changed_inputs(standing, done) == {
        *("oslo-db-machine-instance", "oslo-db-machine-port", "oslo-db-machine-address", "login frankfurt"),
        *("fra-1.1-machine-instance", "fra-2.1-machine-instance", "db-data"),
        "oslo-db-facts",  # which asks again what a machine of another size has
    }
    assert done.resources["oslo-db-facts"].inputs["create"] == standing.resources["oslo-db-facts"].inputs["create"]
    assert machine["userData"] == inputs(standing, "oslo-db-machine-instance")["userData"]


# --- what stops it at once ---


def stopped(changes: Mapping[str, Any] | None = None, **how: Any) -> list[str]:
    return whole_stack.stopped(changed(changes or {}, oslo), **how)


NO_OPENSTACK = (
    "data-fortress:sites.oslo.openstack: no credentials: neither OS_PASSWORD, OS_TOKEN, "
    "OS_APPLICATION_CREDENTIAL_SECRET nor OS_CLOUD is set, and no application_credential_id; source the project's "
    "openrc file, or run `openstack application credential create fortress` and set its id and secret"
)
NO_AWS = (
    "data-fortress:sites.frankfurt.aws: no credentials: neither AWS_ACCESS_KEY_ID, AWS_PROFILE nor "
    "AWS_WEB_IDENTITY_TOKEN_FILE is set, there is no ~/.aws, and no access_key_id; run `aws configure`, or "
    "set the id and secret of an access key"
)
HALF_OPENSTACK = "missing; an application credential has an id and a secret, but only one of them is set"
HALF_AWS = "missing; an access key has an id and a secret, but only one of them is set"


@pytest.mark.parametrize("preview", [False, True])
def test_no_login_at_all(no_logins: pytest.MonkeyPatch, preview: bool) -> None:
    for name in ("OS_PASSWORD", "AWS_ACCESS_KEY_ID"):
        no_logins.delenv(name)
    assert stopped(preview=preview) == [NO_OPENSTACK, NO_AWS]


@pytest.mark.parametrize("name", ["OS_PASSWORD", "OS_TOKEN", "OS_APPLICATION_CREDENTIAL_SECRET", "OS_CLOUD"])
def test_a_login_at_openstack_by_the_shell(no_logins: pytest.MonkeyPatch, name: str) -> None:
    no_logins.delenv("AWS_ACCESS_KEY_ID")
    no_logins.setenv("OS_PASSWORD", "")
    no_logins.setenv(name, "x")
    assert stopped() == [NO_AWS]


@pytest.mark.parametrize(
    "name",
    ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"],
)
def test_a_login_at_aws_by_the_shell(no_logins: pytest.MonkeyPatch, name: str) -> None:
    no_logins.delenv("OS_PASSWORD")
    no_logins.setenv("AWS_ACCESS_KEY_ID", "")
    no_logins.setenv(name, "x")
    assert stopped() == [NO_OPENSTACK]


@pytest.mark.parametrize("file", ["credentials", "config"])
def test_a_login_at_aws_by_a_file(no_logins: pytest.MonkeyPatch, tmp_path: Path, file: str) -> None:
    for name in ("OS_PASSWORD", "AWS_ACCESS_KEY_ID"):
        no_logins.delenv(name)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / file).touch()
    assert stopped() == [NO_OPENSTACK]


def test_logins_by_settings(no_logins: pytest.MonkeyPatch) -> None:
    for name in ("OS_PASSWORD", "AWS_ACCESS_KEY_ID"):
        no_logins.delenv(name)
    done = fortress(WITH_SECRETS, secrets=SECRET_KEYS)
    assert inputs(done, "login oslo")["applicationCredentialId"] == "its-id"
    assert inputs(done, "login frankfurt")["accessKey"] == "AKIAIOSFODNN7EXAMPLE"


def test_a_login_of_the_shell_that_would_win(no_logins: pytest.MonkeyPatch) -> None:
    """gophercloud takes a password before an application credential: the stack would act in another project."""
    no_logins.setenv("OS_CLOUD", "home")
    assert stopped(WITH_SECRETS, secrets={"database_password": PASSWORD, **SECRET_KEYS}) == [
        "data-fortress:sites.oslo.openstack.application_credential_id: OS_PASSWORD, OS_CLOUD in the environment would "
        "override it; unset it"
    ]


def test_the_account_that_the_fortress_stands_in() -> None:
    done = fortress({"sites/frankfurt/aws/account_id": "123456789012"})
    assert inputs(done, "login frankfurt")["allowedAccountIds"] == '["123456789012"]'
    assert "allowedAccountIds" not in inputs(as_it_stands(), "login frankfurt")


HALVES: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "an id without its secret at OpenStack": (
        {"sites/oslo/openstack/application_credential_id": "x"},
        {},
        f"data-fortress:openstack_application_credential_secret: {HALF_OPENSTACK}",
    ),
    "a secret without its id at OpenStack": (
        {},
        {"openstack_application_credential_secret": "x"},
        f"data-fortress:sites.oslo.openstack.application_credential_id: {HALF_OPENSTACK}",
    ),
    "an id without its secret at AWS": (
        {"sites/frankfurt/aws/access_key_id": "AKIAIOSFODNN7EXAMPLE"},
        {},
        f"data-fortress:aws_secret_access_key: {HALF_AWS}",
    ),
    "a secret without its id at AWS": (
        {},
        {"aws_secret_access_key": "x"},
        f"data-fortress:sites.frankfurt.aws.access_key_id: {HALF_AWS}",
    ),
}


@pytest.mark.parametrize("case", HALVES)
def test_half_a_login(case: str) -> None:
    """Also where the shell has a whole one: the provider would take half of each."""
    changes, secrets, line = HALVES[case]
    assert stopped(changes, secrets={"database_password": PASSWORD, **secrets}) == [line]


def test_an_encrypted_volume_without_its_key() -> None:
    assert stopped({"database/volume/encrypted": True}) == [
        "data-fortress:database_volume_key: missing; database.volume is encrypted; "
        "set it with `pulumi config set --secret data-fortress:database_volume_key`"
    ]


def test_a_volumes_key_that_is_too_short() -> None:
    secrets = {"database_password": PASSWORD, "database_volume_key": "x" * 19}
    assert stopped({"database/volume/encrypted": True}, secrets=secrets) == [
        "data-fortress:database_volume_key: is shorter than 20 characters; `openssl rand -base64 33` generates one"
    ]


def test_secrets_that_everyone_can_read(no_logins: pytest.MonkeyPatch) -> None:
    no_logins.delenv("OS_PASSWORD")
    names = ["openstack_application_credential_secret", "aws_secret_access_key", "database_volume_key"]
    secrets = {name: SECRET_KEYS[name] for name in names}
    hidden = {"database_password": PASSWORD, **secrets}
    assert stopped(WITH_SECRETS, secrets=hidden, secret_names=["database_password"]) == [
        f"data-fortress:{name}: is stored in plain text in the stack file; "
        f"set it with `pulumi config set --secret data-fortress:{name}`"
        for name in names
    ]


def test_everything_that_is_wrong_is_said_at_once(no_logins: pytest.MonkeyPatch) -> None:
    no_logins.delenv("SSH_AUTH_SOCK")
    no_logins.delenv("OS_PASSWORD")
    assert stopped({"database/volume/encrypted": True}, secrets={}) == [
        "data-fortress:database_password: missing; "
        "set it with `pulumi config set --secret data-fortress:database_password`",
        "data-fortress:database_volume_key: missing; database.volume is encrypted; "
        "set it with `pulumi config set --secret data-fortress:database_volume_key`",
        NO_OPENSTACK,
        "SSH_AUTH_SOCK: no SSH agent, and no secret setting ssh_private_key; start an agent with "
        "`eval $(ssh-agent)` and `ssh-add`, or `pulumi config set --secret data-fortress:ssh_private_key`",
    ]


def test_what_no_cloud_has_stops_the_whole_program_before_anything_is_made() -> None:
    done = Run()
    changes = {"hosts/oslo-db/openstack/flavor": "huge", "hosts/fra-2/aws/zone": "eu-central-1d"}
    with pytest.raises(pulumi.RunError) as refused:
        run(
            whole_stack.program,
            answers=Catalogue().answers,
            known_by=known_by,
            config=whole_stack.config(changed(changes, oslo), {"database_password": PASSWORD}),
            secrets=[f"{PROJECT}:database_password"],
            done=done,
        )
    assert [line.split(": ")[0] for line in str(refused.value).split("\n")] == [
        "the clouds reject these settings:",
        "  data-fortress:hosts.oslo-db.openstack.flavor",
        "  data-fortress:hosts.fra-2.aws.zone",
    ]
    assert set(done.resources) == {"login oslo", "login frankfurt"}


def test_the_stack_file_lets_no_other_login_make_anything() -> None:
    """The engine then refuses what has no explicit provider; that of commands is made by default, and stays."""
    settings = yaml.safe_load((ROOT / "Pulumi.oslo.yaml").read_text())["config"]
    assert settings["pulumi:disable-default-providers"] == ["aws", "openstack"]
    packages = {found.type.split(":")[0] for found in as_it_stands().resources.values() if found.provider is None}
    assert packages == {"fortress", "pulumi", "command"}
