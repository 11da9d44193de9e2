"""The real engine previews stack `oslo` for the first time, on empty clouds; what cannot be is said before the rest."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.pulumi_resource_openstack import catalogue
from tests.doubles.pulumi_resource_openstack.cloud import Cloud
from tests.engine.previews import UNKNOWN, in_order, without_plugins, without_scripts, without_versions
from tests.engine.project_stack import CREDENTIALS, ProjectStack
from tests.unit.golden import check_golden
from tests.unit.stack_file import changed, oslo

GOLDENS = Path(__file__).parent / "goldens"
MEMBERS = ("fra-1.1", "fra-2.1", "oslo-db", "oslo-edge", "oslo-web.1")
WORKERS = ("fra-1.1", "fra-2.1", "oslo-web.1")
HUBS = ("oslo-db", "oslo-edge")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> ProjectStack:
    return ProjectStack(tmp_path_factory.mktemp("stack"), "oslo")


def in_clouds(stack: ProjectStack) -> dict[str, str]:
    """What the clouds hold, by file; nothing when they are empty."""
    texts = {found.name: found.read_text() for found in stack.clouds.rglob("*") if found.is_file()}
    return {name: text for name, text in texts.items() if text}


# --- the first preview ---


@dataclass(frozen=True)
class Planned:
    """A resource of the first preview."""

    type: str
    name: str
    op: str
    provider: str
    """Type and name of it, without the engine's id; "" for a component."""
    inputs: dict[str, Any]
    protected: bool

    @classmethod
    def of(cls, step: Mapping[str, Any]) -> Planned:
        *_, kinds, name = step["urn"].split("::")
        provider = "::".join(str(step.get("provider", "")).split("::")[2:4])
        state = step["newState"]
        inputs = {key: value for key, value in state.get("inputs", {}).items() if not key.startswith("__")}
        return cls(kinds.rpartition("$")[2], name, step["op"], provider, inputs, state.get("protect", False))


@pytest.fixture(scope="module")
def planned(stack: ProjectStack) -> list[Planned]:
    return [Planned.of(step) for step in stack.planned()]


def unknown(value: Any, path: str = "") -> Iterator[str]:
    """The paths in it that are not known before the update."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from unknown(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from unknown(item, f"{path}[]")
    elif UNKNOWN in str(value):
        yield path


def test_the_first_preview_reads_as_it_did(stack: ProjectStack) -> None:
    said = without_versions(without_scripts(without_plugins(stack.preview()))).replace(UNKNOWN, "[unknown]")
    check_golden("oslo-first.diff", in_order(said), GOLDENS)


def test_it_only_creates_and_asks_nobody(stack: ProjectStack, planned: list[Planned]) -> None:
    assert {found.op for found in planned} == {"create"}
    assert Counter(found.type for found in planned if found.type.startswith("fortress:")) == {
        "fortress:index:OpenStackSite": 1,
        "fortress:index:AwsSite": 1,
        "fortress:index:PrivateContainer": 2,
        "fortress:index:Host": 5,
        "fortress:index:OpenStackMachine": 3,
        "fortress:index:AwsMachine": 2,
        "fortress:index:WireGuardMesh": 1,
        "fortress:index:DataFortress": 1,
        "fortress:index:PasswordRotation": 1,
        "fortress:index:EphemeralWorker": 3,
        "fortress:index:HAProxyEdge": 1,
    }
    assert not stack.asked.exists(), "no host"
    assert not in_clouds(stack)


def test_each_cloud_is_asked_by_the_login_of_its_site(planned: list[Planned]) -> None:
    """No default provider, which would log in to wherever the shell's variables lead."""
    logins = {"openstack": "pulumi:providers:openstack::oslo", "aws": "pulumi:providers:aws::frankfurt"}
    made = {f"{found.type}::{found.name}" for found in planned if found.type.startswith("pulumi:providers:")}
    assert made == set(logins.values())
    others = {found.provider for found in planned} - {"", *made}
    assert others == {"pulumi:providers:command::default_1_2_1"}
    for found in planned:
        package = found.type.partition(":")[0]
        if package in logins:
            assert found.provider == logins[package], found.name


def test_what_outlives_a_destroy(planned: list[Planned]) -> None:
    assert {found.name for found in planned if found.protected} == {
        "db-data",
        "oslo-fortress-personal-container",
        "oslo-fortress-backups-container",
    }


def test_of_the_clouds_only_ids_are_unknown(planned: list[Planned]) -> None:
    """Whoever looks at the preview sees every size, image, range and rule."""
    found = {(item.type.rpartition(":")[2], path) for item in planned for path in unknown(item.inputs)}
    assert {(kind, path) for kind, path in found if kind != "Command"} == {
        ("Subnet", "networkId"),
        ("Subnet", "vpcId"),
        ("RouterInterface", "routerId"),
        ("RouterInterface", "subnetId"),
        ("SecGroupRule", "securityGroupId"),
        ("Port", "networkId"),
        ("Port", "fixedIps[].subnetId"),
        ("Port", "securityGroupIds[]"),
        ("FloatingIpAssociate", "floatingIp"),
        ("FloatingIpAssociate", "portId"),
        ("Instance", "networks[].port"),
        ("VolumeAttach", "instanceId"),
        ("VolumeAttach", "volumeId"),
        ("InternetGateway", "vpcId"),
        ("RouteTable", "vpcId"),
        ("RouteTable", "routes[].gatewayId"),
        ("RouteTableAssociation", "routeTableId"),
        ("RouteTableAssociation", "subnetId"),
        ("SecurityGroup", "vpcId"),
        ("SecurityGroupIngressRule", "securityGroupId"),
        ("SecurityGroupEgressRule", "securityGroupId"),
        ("Instance", "subnetId"),
        ("Instance", "vpcSecurityGroupIds[]"),
    }


def test_of_the_hosts_only_what_they_make_themselves_is_unknown(planned: list[Planned]) -> None:
    """The machines' identities and addresses, the peers' keys, the authority's certificate, the memory, the drain."""
    commands = [found for found in planned if found.type == "command:remote:Command"]
    assert len(commands) == 50
    assert all("create" in unknown(found.inputs) for found in commands), "each is sent to one machine and no other"
    found = {path for item in commands for path in unknown(item.inputs)}
    assert found == {"create", "delete", "stdin", "triggers[]"}
    assert {item.name for item in commands if "stdin" in unknown(item.inputs)} == {
        "db-90-fortress.cnf",
        "db-passwords-ended",  # after the last worker
        "edge-drained",  # after each put of what HAProxy reads
        *(f"mesh-{worker}-files" for worker in WORKERS),  # with the hubs' keys
        *(f"mesh-{hub}-peer-{worker}" for worker in WORKERS for hub in HUBS),
        # Whether a gate runs is said by the answers of the puts before it.
        *(f"app-{worker}-healthy" for worker in WORKERS),
    }
    local = [found for found in planned if found.type == "command:local:Command"]
    assert {item.name for item in local} == {f"{member}-host-key" for member in MEMBERS}
    assert {path for item in local for path in unknown(item.inputs)} == {"environment.ADDRESS", "triggers[]"}


def test_the_edge_is_known_whole(planned: list[Planned]) -> None:
    (edge,) = [found for found in planned if found.name == "edge-files"]
    text = edge.inputs["stdin"]
    assert UNKNOWN not in text
    servers = re.findall(r"(?m)^ +server (\S+) ([0-9.:]+) tcp-ut 2s$", text)
    assert dict(servers) == {"oslo-web.1": "10.100.0.4:80", "fra-1.1": "10.100.0.2:80", "fra-2.1": "10.100.0.5:80"}


def test_nothing_secret_is_printed(stack: ProjectStack, planned: list[Planned]) -> None:
    printed = [log.read_text() for log in stack.home.glob("run-*")]
    assert any('"steps"' in said for said in printed), "the previews of this file are there"
    password = stack.run("config", "get", "database_password").strip()
    assert len(password) >= 8
    assert not [said for said in printed if password in said]
    holders = {found.name for found in planned if found.inputs.get("stdin") == "[secret]"}
    assert holders == {"db-account", *(f"app-{worker}-credentials" for worker in WORKERS)}
    connections = {str(found.inputs["connection"]) for found in planned if "connection" in found.inputs}
    assert connections == {"[secret]"}


def test_a_machine_is_told_its_name_and_who_logs_in(planned: list[Planned]) -> None:
    told = {found.name: found.inputs["userData"] for found in planned if found.type.endswith(":Instance")}
    assert set(told) == {f"{member}-machine-instance" for member in MEMBERS}
    for name, text in told.items():
        assert text.startswith("#cloud-config\n"), name
        assert not re.search("password|secret|key|token", text.replace("ssh_pwauth", "")), name


# --- what cannot be ---


@dataclass(frozen=True)
class Mistake:
    """What is wrong, and what is said of it."""

    lines: list[str]
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings as for `changed`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables instead of the right credentials."""
    cloud: Callable[[catalogue.State], object] | None = None
    """What the project in Oslo has or lacks."""
    asks: bool = True
    """Whether the clouds have to be asked for it."""


LAN = {"name": "lan", "external": False, "shared": False, "adminStateUp": True}
LOGIN = "check that auth_url, region and credentials are those of the project (`openstack token issue`)"
AWS_LOGIN = "check that region is right and that the credentials belong to this account (`aws sts get-caller-identity`)"
NOTHING = "Your query returned no results"
KEEPS = "An existing machine keeps the image it was created with"
STS = "Details: validating provider credentials: retrieving caller identity from STS"

MISTAKES = {
    "no credentials": Mistake(
        [
            "sites.frankfurt.aws: no credentials: neither AWS_ACCESS_KEY_ID, AWS_PROFILE nor "
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, there is no ~/.aws, and no access_key_id; run `aws configure`, or "
            "set the id and secret of an access key",
            "sites.oslo.openstack: no credentials: neither OS_PASSWORD, OS_TOKEN, OS_APPLICATION_CREDENTIAL_SECRET nor "
            "OS_CLOUD is set, and no application_credential_id; source the project's openrc file, or "
            "run `openstack application credential create fortress` and set its id and secret",
        ],
        environment=dict.fromkeys(CREDENTIALS, ""),
        asks=False,
    ),
    "wrong credentials": Mistake(
        [
            f"sites.frankfurt.aws: Invalid credentials configured. {STS}: SignatureDoesNotMatch: The request signature "
            "we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing "
            f"method. Consult the service documentation for details; {AWS_LOGIN}",
            f"sites.oslo.openstack: Error creating OpenStack identity client: Authentication failed; {LOGIN}",
        ],
        environment={"OS_PASSWORD": "wrong", "AWS_SECRET_ACCESS_KEY": "wrong"},
    ),
    "regions that there are not": Mistake(
        [
            f"sites.frankfurt.aws: unable to validate AWS credentials. {STS}: "
            'Post "https://sts.eu-middle-1.amazonaws.com/": dial tcp: lookup sts.eu-middle-1.amazonaws.com: '
            f"no such host; {AWS_LOGIN}",
            "sites.oslo.openstack: Error creating OpenStack identity client: No suitable endpoint could be found in "
            f"the service catalog; {LOGIN}",
        ],
        {
            "sites/oslo/openstack/region": "NO-Bergen-9",
            "sites/frankfurt/aws/region": "eu-middle-1",
            "hosts/fra-1/aws/zone": "eu-middle-1a",
            "hosts/fra-2/aws/zone": "eu-middle-1b",
            # The register knows them, so that it is the clouds that are asked.
            "sovereignty/operators/CoolVDS/regions": ["NO-Bergen-9"],
            "sovereignty/operators/Amazon Web Services/regions": ["eu-middle-1"],
        },
    ),
    "names that a cloud does not have": Mistake(
        [
            f"sites.oslo.openstack.external_network: {NOTHING}; 'nowhere' is requested; "
            "`openstack network list` lists the existing ones",
            f"hosts.oslo-db.openstack.flavor: {NOTHING}; 'v9-huge' is requested; "
            "`openstack flavor list` lists the existing ones",
            f"hosts.oslo-edge.openstack.image: {NOTHING}; 'Debian 99' is requested; "
            f"`openstack image list` lists the existing ones. {KEEPS}",
        ],
        {
            "sites/oslo/openstack/external_network": "nowhere",
            "hosts/oslo-db/openstack/flavor": "v9-huge",
            "hosts/oslo-edge/openstack/image": "Debian 99",
        },
    ),
    "a network without a subnet, and too small a quota": Mistake(
        [
            "sites.oslo.openstack.network.existing: 'lan' has 0 IPv4 subnets, but exactly one is needed; "
            "name a network with one, or set network.cidr to create one",
            "sites.oslo.openstack: its hosts need 3 instances, but the project's quota is 2; "
            "use fewer hosts or smaller flavors, or ask the operator for more",
        ],
        {"sites/oslo/openstack/network": {"existing": "lan"}},
        cloud=lambda state: (state["networks"].update(lan=LAN), state["quota"].update(instances=2)),
    ),
    "a key file that is no key": Mistake(
        [
            "sites.oslo.openstack.key_pair.public_key: 'deploy.pub' is not an SSH public key; "
            "use the .pub file that `ssh-keygen` made",
        ],
        {"sites/oslo/openstack/key_pair/public_key": "deploy.pub"},
        asks=False,
    ),
    "settings that do not go together": Mistake(
        [
            "hosts.fra-2.slot: 2 is taken by hosts.fra-1; give each host a different slot",
            "sites.oslo.openstack.network.cidr: 10.20.0.0/24 overlaps sites.frankfurt.aws.network.cidr, 10.20.0.0/16; "
            "give each a different range",
            "hosts.oslo-db.openstack.fixed_address: 10.21.0.11 is outside the range for machines in 10.20.0.0/24, "
            "10.20.0.2 to 10.20.0.254",
        ],
        {
            "sites/frankfurt/aws/network/cidr": "10.20.0.0/16",
            "hosts/oslo-db/openstack/fixed_address": "10.21.0.11",
            "hosts/fra-2/slot": 2,
        },
        asks=False,
    ),
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An operator's key: an update is refused without one."""
    file = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.read_text()


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> ProjectStack:
    """A stack of its own for updates that fail: the logins stand afterwards, and no preview is the first any more."""
    return ProjectStack(tmp_path_factory.mktemp("tried"), "oslo")


@pytest.fixture
def mistaken(tried: ProjectStack) -> Iterator[ProjectStack]:
    """That stack, whose stack file, environment and clouds are as before afterwards."""
    stack = tried
    (stack.project / "deploy.pub").write_text("no key\n")
    right = dict(stack.environment)
    yield stack
    stack.environment.clear()
    stack.environment.update(right)
    stack.as_it_stands()
    for file in stack.clouds.glob("*.json"):
        file.unlink()


def blocks(said: str) -> list[str]:
    """The errors in the engine's last words, without the plugins' lines."""
    found = without_plugins(said).split("\nDiagnostics:\n")[1].split("\n\n")[0]
    first, *errors = re.split(r"(?m)^    error: ", found)
    assert first.strip() == "pulumi:pulumi:Stack (data-fortress-oslo):"
    return [error.rstrip() for error in errors]


@pytest.mark.parametrize(
    ("mistake", "verb"),
    [
        *((mistake, "up" if wrong.asks else "preview") for mistake, wrong in MISTAKES.items()),
        ("names that a cloud does not have", "preview"),
    ],
)
def test_a_mistake_is_one_block_before_anything_is_made(
    mistaken: ProjectStack, key: str, mistake: str, verb: str
) -> None:
    stack, wrong = mistaken, MISTAKES[mistake]
    stack.settings(changed(wrong.changes, oslo))
    stack.environment.update(wrong.environment)
    if wrong.cloud:
        with Cloud(stack.clouds, catalogue.REGION).state("compute") as state:
            wrong.cloud(state)
    before = in_clouds(stack)
    if verb == "up":
        stack.run("config", "set", "--secret", "ssh_private_key", "--", key)
        said = stack.up(fails=True)
    else:
        said = stack.run("preview", fails=True)
    assert "Traceback" not in said
    first = "the clouds reject these settings:" if wrong.asks else "invalid settings:"
    assert blocks(said) == [
        "\n".join([first, *(f"      data-fortress:{line}" for line in wrong.lines)]),
        "an unhandled error occurred: program exited with non-zero exit code: 1",
    ]
    assert in_clouds(stack) == before
    assert {found["type"] for found in stack.resources()} <= {
        "pulumi:pulumi:Stack",
        "pulumi:providers:pulumi",  # the engine's own, which says whether the stack has come up before
        "pulumi:providers:openstack",
        "pulumi:providers:aws",
    }
    assert not stack.asked.exists()
