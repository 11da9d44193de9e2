"""What the clouds are asked before anything is made: each setting that names what is not there is one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws
import pulumi_openstack
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fortress.settings.model import Settings
from fortress.settings.parse import parse
from fortress.settings.types import PROJECT
from program.clouds import look_up
from tests.components.catalogue import DEBIAN_13, Catalogue
from tests.doubles.pulumi_mocks import Answers, Refused, Run, plain, run
from tests.unit.stack_file import GONE, KEY, ROOT, changed, lab, oslo, with_key_files

GONE_IMAGE = DEBIAN_13.replace("13", "99")
NOTHING = "Your query returned no results"
KEEPS = "An existing machine keeps the image it was created with"
LOGIN = "check that auth_url, region and credentials are those of the project (`openstack token issue`)"
AWS_LOGIN = "check that region is right and that the credentials belong to this account (`aws sts get-caller-identity`)"


def look(
    changes: Mapping[str, Any] | None = None,
    answers: Answers | None = None,
    *,
    settings: Settings | None = None,
    preview: bool = False,
    done: Run | None = None,
) -> Run:
    """Ask both clouds for what the stack `oslo` names; what they found is in the outputs."""
    wanted = settings or parse(changed(changes or {}, oslo), ROOT)

    def program() -> Mapping[str, Any]:
        providers: dict[str, pulumi.ProviderResource] = {
            "oslo": pulumi_openstack.Provider("oslo", auth_url="https://cloud.example/v3", region="NO-Oslo-1"),
            "frankfurt": pulumi_aws.Provider("frankfurt", region="eu-central-1"),
        }
        return asdict(look_up(wanted, providers))

    return run(program, answers=answers or Catalogue().answers, preview=preview, done=done)


def refused(changes: Mapping[str, Any], answers: Answers, *, preview: bool = False) -> list[str]:
    """The lines of the one block in which the program says what does not fit."""
    done = Run()
    with pytest.raises(pulumi.RunError) as bad:
        look(changes, answers, preview=preview, done=done)
    assert set(done.resources) <= {"oslo", "frankfurt"}, "nothing was made"
    first, *rest = str(bad.value).split("\n")
    assert first == "the clouds reject these settings:"
    assert all(line.startswith(f"  {PROJECT}:") for line in rest)
    return [line.removeprefix(f"  {PROJECT}:") for line in rest]


def asked(done: Run, provider: str) -> list[tuple[str, Any]]:
    """What a cloud was asked, without the first parts of the functions' tokens."""
    return [
        (question.token.rpartition(":")[2], plain(dict(question.arguments)))
        for question in done.asked
        if question.provider == provider
    ]


@pytest.mark.parametrize("preview", [False, True])
def test_what_both_clouds_have(preview: bool) -> None:
    """The same at preview: a function is answered then too, so that nothing of it is unknown."""
    done = look(preview=preview)
    assert {name: seen.value for name, seen in done.outputs.items()} == {
        "networks": {},
        "external_networks": {"oslo": "ID of public"},
        "subnets": {},
        "zone_subnets": {},
        "images": {
            **dict.fromkeys(["oslo-db", "oslo-edge", "oslo-web.1"], DEBIAN_13),
            **dict.fromkeys(["fra-1.1", "fra-2.1"], "ami-debian-13"),
        },
        "groups": {"oslo-db": ["ID of default"], "oslo-edge": [], "oslo-web.1": []},
    }
    assert all(seen.known and not seen.secret for seen in done.outputs.values())


def test_each_cloud_is_asked_through_its_own_login() -> None:
    done = look()
    standard = [("getFlavor", {"name": "v2-standard-2"}), ("getImage", {"name": "Debian 13", "mostRecent": True})]
    assert asked(done, "oslo") == [
        ("getAuthScope", {"name": "fortress"}),
        ("getNetwork", {"name": "public"}),
        ("getKeypair", {"name": "deploy_key_2020"}),
        ("getFlavor", {"name": "v2-highcpu-nvme"}),
        ("getImage", {"name": "Debian 13", "mostRecent": True}),
        ("getSecGroup", {"name": "default", "tenantId": "project-id"}),
        *standard,
        *standard,
        ("getQuotaSetV2", {"projectId": "project-id"}),
    ]
    assert asked(done, "frankfurt") == [
        ("getAvailabilityZones", {"state": "available"}),
        ("getKeyPair", {"keyName": "deploy_key_2020"}),
        (
            "getAmi",
            {
                "owners": ["136693071363"],
                "filters": [
                    {"name": "name", "values": ["debian-13-amd64-*"]},
                    {"name": "virtualization-type", "values": ["hvm"]},
                ],
                "mostRecent": True,
            },
        ),
        ("getInstanceType", {"instanceType": "c5.large"}),
    ]
    assert len(done.asked) == len(asked(done, "oslo")) + len(asked(done, "frankfurt"))


def test_a_stack_without_clouds_asks_nobody() -> None:
    settings = parse(lab(), ROOT)
    assert run(lambda: asdict(look_up(settings, {}))).asked == []


def test_a_key_pair_that_is_to_be_made_is_not_asked_for(tmp_path: Path) -> None:
    values = with_key_files(tmp_path, KEY.encode())
    done = look(settings=parse(values, tmp_path), answers=Catalogue(openstack_keys=(), aws_keys=()).answers)
    assert "getKeypair" not in dict(asked(done, "oslo"))
    assert "getKeyPair" not in dict(asked(done, "frankfurt"))


WRONG: dict[str, tuple[dict[str, Any], Catalogue, list[str]]] = {
    "external network": (
        {"sites/oslo/openstack/external_network": "ext"},
        Catalogue(),
        [
            f"sites.oslo.openstack.external_network: {NOTHING}; 'ext' is requested; "
            "`openstack network list` lists the existing ones"
        ],
    ),
    "key pair on OpenStack": (
        {"sites/oslo/openstack/key_pair/name": "mine"},
        Catalogue(),
        [
            "sites.oslo.openstack.key_pair.name: Keypair mine not found; 'mine' is requested; "
            "`openstack keypair list` lists the existing ones, and public_key creates one"
        ],
    ),
    "flavor": (
        {"hosts/oslo-db/openstack/flavor": "huge"},
        Catalogue(),
        [
            f"hosts.oslo-db.openstack.flavor: {NOTHING}; 'huge' is requested; "
            "`openstack flavor list` lists the existing ones"
        ],
    ),
    "flavor of a worker, by its host's name": (
        {"hosts/oslo-web/openstack/flavor": "huge", "hosts/oslo-web/generation": 3},
        Catalogue(),
        [
            f"hosts.oslo-web.openstack.flavor: {NOTHING}; 'huge' is requested; "
            "`openstack flavor list` lists the existing ones"
        ],
    ),
    "image by name": (
        {"hosts/oslo-db/openstack/image": "Ubuntu 20.04"},
        Catalogue(),
        [
            f"hosts.oslo-db.openstack.image: {NOTHING}; 'Ubuntu 20.04' is requested; "
            f"`openstack image list` lists the existing ones. {KEEPS}"
        ],
    ),
    "image by id": (
        {"hosts/oslo-db/openstack/image": GONE_IMAGE},
        Catalogue(),
        [
            f"hosts.oslo-db.openstack.image: no image has this id; '{GONE_IMAGE}' is requested; "
            f"`openstack image list` lists the existing ones. {KEEPS}"
        ],
    ),
    "security group": (
        {"hosts/oslo-db/openstack/security_groups": ["default", "db"]},
        Catalogue(),
        [
            "hosts.oslo-db.openstack.security_groups: No Security Group found with name: db; 'db' is requested; "
            "`openstack security group list` lists the existing ones"
        ],
    ),
    "existing network": (
        {"sites/oslo/openstack/network": {"existing": "lan"}},
        Catalogue(),
        [
            f"sites.oslo.openstack.network.existing: {NOTHING}; 'lan' is requested; "
            "`openstack network list` lists the existing ones"
        ],
    ),
    "existing network of two subnets": (
        {"sites/oslo/openstack/network": {"existing": "lan"}},
        Catalogue(networks={"public": ("public-v4",), "lan": ("one", "two")}),
        [
            "sites.oslo.openstack.network.existing: 'lan' has 2 IPv4 subnets, but exactly one is needed; "
            "name a network with one, or set network.cidr to create one"
        ],
    ),
    "existing network without a subnet": (
        {"sites/oslo/openstack/network": {"existing": "lan"}},
        Catalogue(networks={"public": ("public-v4",), "lan": ()}),
        [
            "sites.oslo.openstack.network.existing: 'lan' has 0 IPv4 subnets, but exactly one is needed; "
            "name a network with one, or set network.cidr to create one"
        ],
    ),
    "quota": (
        {},
        Catalogue(quota=(2, 7, 16383)),
        [
            f"sites.oslo.openstack: its hosts need {needed}, but the project's quota is {most}; "
            "use fewer hosts or smaller flavors, or ask the operator for more"
            for needed, most in (("3 instances", 2), ("8 cores", 7), ("16384 MB of memory", 16383))
        ],
    ),
    "login at OpenStack": (
        {},
        Catalogue(scope=None),
        [f"sites.oslo.openstack: Authentication failed; {LOGIN}"],
    ),
    "login at AWS": (
        {},
        Catalogue(zones=None),
        [f"sites.frankfurt.aws: AuthFailure: not able to validate; {AWS_LOGIN}"],
    ),
    "key pair on AWS": (
        {"sites/frankfurt/aws/key_pair/name": "mine"},
        Catalogue(),
        [
            "sites.frankfurt.aws.key_pair.name: no matching EC2 Key Pair found; 'mine' is requested; "
            "`aws ec2 describe-key-pairs` lists the existing ones, and public_key creates one"
        ],
    ),
    "AMI": (
        {"sites/frankfurt/aws/image/name": "debian-99-*"},
        Catalogue(),
        [
            f"sites.frankfurt.aws.image: {NOTHING}; 'debian-99-*' is requested; "
            f"`aws ec2 describe-images --owners 136693071363` lists the existing ones. {KEEPS}"
        ],
    ),
    "zone": (
        {"hosts/fra-2/aws/zone": "eu-central-1d"},
        Catalogue(),
        [
            "hosts.fra-2.aws.zone: eu-central-1d is not available to this account; "
            "use one of eu-central-1a, eu-central-1b, eu-central-1c"
        ],
    ),
    "instance type, once for two hosts": (
        {"hosts/fra-1/aws/type": "c5.huge", "hosts/fra-2/aws/type": "c5.huge"},
        Catalogue(),
        [
            "hosts.fra-1.aws.type: The following supplied instance types do not exist: [c5.huge]; "
            "'c5.huge' is requested; `aws ec2 describe-instance-types` lists the existing ones"
        ],
    ),
    "VPC": (
        {"sites/frankfurt/aws/network": {"existing": "vpc-1"}},
        Catalogue(),
        [
            "sites.frankfurt.aws.network.existing: no matching EC2 VPC found; 'vpc-1' is requested; "
            "`aws ec2 describe-vpcs` lists the existing ones"
        ],
    ),
    "VPC without a public subnet in a zone": (
        {"sites/frankfurt/aws/network": {"existing": "vpc-1"}},
        Catalogue(vpcs={"vpc-1": {"eu-central-1a": ("subnet-1",)}}),
        [
            "sites.frankfurt.aws.network.existing: vpc-1 has no subnet in eu-central-1b that assigns public addresses; "
            "name a VPC with one, or set network.cidr to create one"
        ],
    ),
    "several, of both clouds": (
        {
            "hosts/oslo-db/openstack/flavor": "huge",
            "hosts/oslo-web/openstack/image": "Ubuntu 20.04",
            "hosts/fra-2/aws/zone": "eu-central-1d",
            "sites/frankfurt/aws/key_pair/name": "mine",
        },
        Catalogue(quota=(2, 40, 65536)),
        [
            f"hosts.oslo-db.openstack.flavor: {NOTHING}; 'huge' is requested; "
            "`openstack flavor list` lists the existing ones",
            f"hosts.oslo-web.openstack.image: {NOTHING}; 'Ubuntu 20.04' is requested; "
            f"`openstack image list` lists the existing ones. {KEEPS}",
            "sites.oslo.openstack: its hosts need 3 instances, but the project's quota is 2; "
            "use fewer hosts or smaller flavors, or ask the operator for more",
            "sites.frankfurt.aws.key_pair.name: no matching EC2 Key Pair found; 'mine' is requested; "
            "`aws ec2 describe-key-pairs` lists the existing ones, and public_key creates one",
            "hosts.fra-2.aws.zone: eu-central-1d is not available to this account; "
            "use one of eu-central-1a, eu-central-1b, eu-central-1c",
        ],
    ),
}


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize("case", WRONG)
def test_what_a_cloud_does_not_have_is_one_line(case: str, preview: bool) -> None:
    changes, catalogue, lines = WRONG[case]
    assert refused(changes, catalogue.answers, preview=preview) == lines


def test_who_is_not_let_in_asks_no_more() -> None:
    """One line says it; the other cloud is still asked, so that all is said at once."""
    done = Run()
    with pytest.raises(pulumi.RunError):
        look({"hosts/fra-2/aws/zone": "eu-central-1d"}, Catalogue(scope=None).answers, done=done)
    assert [name for name, _ in asked(done, "oslo")] == ["getAuthScope"]
    assert len(asked(done, "frankfurt")) == 4
    done = Run()
    with pytest.raises(pulumi.RunError):
        look({}, Catalogue(zones=None).answers, done=done)
    assert [name for name, _ in asked(done, "frankfurt")] == ["getAvailabilityZones"]
    assert len(asked(done, "oslo")) == 11


@pytest.mark.parametrize("quota", [(3, 8, 16384), (-1, -1, -1), None])
def test_a_quota_that_is_enough_or_not_for_this_login_to_know(quota: tuple[int, int, int] | None) -> None:
    assert look(answers=Catalogue(quota=quota).answers).outputs


def test_a_login_that_may_not_ask_for_the_quota_is_no_problem() -> None:
    """A cloud's policy may be stricter than Nova's own, which lets the members of a project see its quota."""
    assert look(answers=Catalogue(quota=None).answers).outputs


def test_the_quota_of_what_the_stack_makes_only() -> None:
    """A host that exists takes nothing of it, wherever it stands."""
    changes = {"hosts/oslo-web/openstack": GONE, "hosts/oslo-web/address": "192.0.2.13"}
    assert look(changes, Catalogue(quota=(2, 6, 12288)).answers).outputs


def test_an_image_by_id_stays_that_id() -> None:
    """Names move to newer images; an id is what somebody pinned."""
    done = look({"hosts/oslo-db/openstack/image": DEBIAN_13})
    assert done.outputs["images"].value["oslo-db"] == DEBIAN_13
    assert ("getImageIds", {}) in asked(done, "oslo")


def test_networks_that_are_there() -> None:
    changes = {
        "sites/oslo/openstack/network": {"existing": "lan"},
        "sites/frankfurt/aws/network": {"existing": "vpc-1"},
    }
    subnets: dict[str, tuple[str, ...]] = {"eu-central-1a": ("subnet-1",), "eu-central-1b": ("subnet-3",)}
    catalogue = Catalogue(networks={"public": ("public-v4",), "lan": ("lan-v4",)}, vpcs={"vpc-1": subnets})
    done = look(changes, catalogue.answers)
    assert done.outputs["networks"].value == {"oslo": "ID of lan", "frankfurt": "vpc-1"}
    assert done.outputs["external_networks"].value == {"oslo": "ID of public"}
    assert done.outputs["subnets"].value == {"oslo": "lan-v4"}
    assert done.outputs["zone_subnets"].value == {
        "frankfurt": {"eu-central-1a": "subnet-1", "eu-central-1b": "subnet-3"}
    }


def test_the_project_that_the_fortress_stands_in() -> None:
    """Another one's credentials would miss all that stands, and a refresh would take it out of the state."""
    assert look({"sites/oslo/openstack/project_id": "project-id"}).outputs
    done = Run()
    with pytest.raises(pulumi.RunError) as bad:
        look({"sites/oslo/openstack/project_id": "another"}, done=done)
    assert str(bad.value).split("\n")[1:] == [
        "  data-fortress:sites.oslo.openstack.project_id: 'another' is requested, but these credentials belong to "
        "'project-id'; log in to the project of the fortress"
    ]
    assert [name for name, _ in asked(done, "oslo")] == ["getAuthScope"]


def saying(words: str) -> Answers:
    """OpenStack's login fails in these words."""

    def answers(token: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if token.startswith("openstack:"):
            raise Refused(words)
        return Catalogue().answers(token, arguments)

    return answers


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("Authentication failed.", "Authentication failed"),
        ("Error:\n\tone\n\n\ttwo  ", "Error: one two"),
        ("\x1b[31mno\x1b[0m\r\x00", "[31mno [0m"),
        ("x" * 600, "x" * 500),
        (
            "Invalid credentials configured.\nDetails: retrieving caller identity from STS: operation error STS: "
            "GetCallerIdentity, exceeded maximum number of attempts, 3, https response error StatusCode: 403, "
            "RequestID: 7a1b-2, api error InvalidClientTokenId: The security token is invalid.\n\n"
            "Please see https://www.pulumi.com/registry/packages/aws/ for more.\nNEW: You can",
            "Invalid credentials configured. Details: retrieving caller identity from STS: "
            "InvalidClientTokenId: The security token is invalid",
        ),
        (
            "operation error STS: GetCallerIdentity, https response error StatusCode: 0, RequestID: , "
            'request send failed, Post "https://sts": no such host\nMake sure you have set your AWS region, e.g. `x`.',
            'Post "https://sts": no such host',
        ),
        (
            "Error retrieving flavors: Expected HTTP response code [200] when accessing [GET https://c/x], but got "
            '403 instead: {"forbidden": {"code": 403, "message": "Policy doesn\'t allow \\"it\\"."}}',
            'Error retrieving flavors: Policy doesn\'t allow \\"it\\"',
        ),
        ("Your query returned more than one result. Please try a more specific search criteria",) * 2,
        ("request send failed, ", "request send failed,"),
    ],
)
def test_what_a_provider_says_is_one_line(words: str, line: str) -> None:
    assert refused({}, saying(words)) == [f"sites.oslo.openstack: {line}; {LOGIN}"]


@given(words=st.text(max_size=40))
@hypothesis_settings(max_examples=40, deadline=None)
def test_whatever_a_provider_says_is_one_line_that_a_terminal_can_show(words: str) -> None:
    (line,) = refused({}, saying(words))
    assert line.isprintable()
    assert line.startswith("sites.oslo.openstack: ")
    assert line.endswith(LOGIN)


@given(name=st.text("ab'\";`$ {}\\#%", min_size=1).filter(str.strip))
@hypothesis_settings(max_examples=30, deadline=None)
def test_hostile_names_are_asked_for_as_they_are(name: str) -> None:
    """They reach the cloud as values, and come back in quotes."""
    changes = {
        "hosts/oslo-db/openstack/flavor": name,
        "hosts/oslo-db/openstack/image": name,
        "hosts/oslo-db/openstack/security_groups": [name],
    }
    for line in refused(changes, Catalogue().answers):
        assert f"{name!r} is requested; " in line
    catalogue = Catalogue(groups=(name,), networks={"public": ()})
    catalogue.flavors[name], catalogue.images[name] = (1, 1), "its id"
    done = look(changes, catalogue.answers)
    assert done.outputs["images"].value["oslo-db"] == "its id"
    assert done.outputs["groups"].value["oslo-db"] == [f"ID of {name}"]


def test_a_stack_without_clouds_loads_no_package_of_one() -> None:
    program = "import sys, program.arguments, program.clouds; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "pulumi_command" in loaded
    assert not loaded & {"pulumi_aws", "pulumi_openstack"}
