"""The frame of the stand-ins for the clouds' plugins, around a small cloud of the test's own."""

# ruff: noqa: ARG002 - the kinds of a test need not look at all that they are given

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NoReturn, cast

import grpc  # type: ignore[import-untyped]
import pulumi_aws
import pulumi_openstack
import pytest
from pulumi.runtime.proto import provider_pb2

from tests.doubles.cloud_plugin import changes, shapes
from tests.doubles.cloud_plugin.kinds import CloudError, Function, Kind, Plugin, Problem, Properties
from tests.doubles.cloud_plugin.server import Provider
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Secret, Value, from_wire, to_wire

URN = "urn:pulumi:dev::project::fortress:index:Host$openstack:compute/instance:Instance::db"
INSTANCE: dict[str, Value] = {"imageId": "i-1", "flavorName": "small", "networks": [{"port": "p-1"}]}

Cloud = dict[str, dict[str, Any]]


class Instance(Kind[Cloud]):
    token = "openstack:compute/instance:Instance"
    args = pulumi_openstack.compute.InstanceArgs
    replaces = frozenset({"keyPair", "networks"})
    outputs = frozenset({"region", "accessIpV4"})
    defaults: ClassVar[Mapping[str, Any]] = {"powerState": "active"}

    def problems(self, inputs: Properties) -> Iterable[Problem]:
        if inputs.get("flavorName") == "":
            yield Problem("flavorName", "expected a name")

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        return frozenset({"accessIpV4"} if "flavorName" in changed else ())

    def create(self, cloud: Cloud, inputs: Properties, name: str) -> tuple[str, Properties]:
        if inputs["flavorName"] == "none":
            raise CloudError("Error creating OpenStack server: no such flavor")
        cloud["1"] = inputs | {"accessIpV4": "192.0.2.31", "logical": name}
        return "1", {"accessIpV4": "192.0.2.31", "region": "here"}

    def read(self, cloud: Cloud, identity: str, state: Properties) -> Properties | None:
        return cloud.get(identity)

    def update(self, cloud: Cloud, identity: str, olds: Properties, inputs: Properties) -> Properties:
        cloud[identity] = inputs
        return {"accessIpV4": olds["accessIpV4"], "region": olds["region"]}

    def delete(self, cloud: Cloud, identity: str, state: Properties) -> None:
        cloud.pop(identity, None)


class GetFlavor(Function[Cloud]):
    token = "openstack:compute/getFlavor:getFlavor"
    args = staticmethod(pulumi_openstack.compute.get_flavor)

    def call(self, cloud: Cloud, inputs: Properties) -> Properties:
        if inputs.get("minRam") != 512:
            raise CloudError("Your query returned no results.")
        return {"id": "f-1", "minRam": inputs["minRam"]}


class Refused(Exception):
    """What the engine is told."""


class Context:
    def abort(self, code: grpc.StatusCode, message: str) -> NoReturn:
        raise Refused(f"{code.name}: {message}")


CONTEXT = cast(Any, Context())


@pytest.fixture
def cloud() -> Cloud:
    return {}


@pytest.fixture
def configured() -> list[Properties]:
    return []


@pytest.fixture
def provider(cloud: Cloud, configured: list[Properties]) -> Provider[Cloud]:
    def connect(configuration: Properties) -> Cloud:
        configured.append(configuration)
        if configuration.get("password") == "wrong":
            raise CloudError("Authentication failed")
        return cloud

    plugin = Plugin("openstack", "5.5.3+stand-in", pulumi_openstack.ProviderArgs, [Instance()], [GetFlavor()], connect)
    return Provider(plugin, "")


def check(
    provider: Provider[Cloud], news: dict[str, Value], olds: dict[str, Value] | None = None, seed: bytes = b"x"
) -> tuple[dict[str, Value], list[str]]:
    request = provider_pb2.CheckRequest(urn=URN, news=to_wire(news), olds=to_wire(olds or {}), randomSeed=seed)
    answer = provider.Check(request, CONTEXT)
    return from_wire(answer.inputs), [failure.reason for failure in answer.failures]


def checked(provider: Provider[Cloud], **news: Value) -> dict[str, Value]:
    inputs, failures = check(provider, INSTANCE | news)
    assert failures == []
    return inputs


def diff(
    provider: Provider[Cloud], olds: dict[str, Value], news: dict[str, Value], *ignored: str
) -> provider_pb2.DiffResponse:
    request = provider_pb2.DiffRequest(
        id="1", urn=URN, old_inputs=to_wire(olds), news=to_wire(news), ignoreChanges=ignored
    )
    return provider.Diff(request, CONTEXT)


def create(provider: Provider[Cloud], inputs: dict[str, Value], preview: bool = False) -> dict[str, Value]:
    request = provider_pb2.CreateRequest(urn=URN, properties=to_wire(inputs), preview=preview)
    answer = provider.Create(request, CONTEXT)
    assert answer.id == ("" if preview else "1")
    return from_wire(answer.properties)


def test_properties_are_those_of_the_real_package(provider: Provider[Cloud]) -> None:
    wrong: dict[str, Value] = {
        "flavourName": "small",
        "networks": [{"port": "p-1"}, {"prot": "p-2"}],
        "metadata": {"role": 3.0},
        "configDrive": "yes",
    }
    _, failures = check(provider, wrong)
    assert failures == [
        "expected a boolean, got a string. Examine values at 'db.configDrive'.",
        "Invalid or unknown key. Examine values at 'db.flavourName'.",
        "expected a string, got the number 3. Examine values at 'db.metadata.role'.",
        "Invalid or unknown key. Examine values at 'db.networks[1].prot'.",
    ]


def test_what_is_missing_is_named_also_inside() -> None:
    port = shapes.of_class(pulumi_openstack.networking.PortArgs)
    assert [item.reason for item in shapes.problems(port, {"name": "x"})] == ["Missing required property 'networkId'"]
    assert list(shapes.problems(port, {"networkId": UNKNOWN})) == []
    assert list(shapes.problems(port, {"networkId": Secret(None)})) != []
    instance = shapes.of_class(pulumi_aws.ec2.InstanceArgs)
    assert list(shapes.problems(instance, {"instanceType": "c5.large", "rootBlockDevice": {"volumeSize": 20.0}})) == []
    assert [item.property for item in shapes.problems(instance, {"rootBlockDevice": {"volumeSize": 20.5}})] == [
        "rootBlockDevice.volumeSize"
    ]
    pool = shapes.of_class(pulumi_openstack.loadbalancer.PoolArgs)
    assert {"Missing required property 'persistence.type'"} <= {
        item.reason for item in shapes.problems(pool, {"lbMethod": "a", "protocol": "b", "persistence": {}})
    }


def test_a_kind_refuses_besides_the_types(provider: Provider[Cloud]) -> None:
    _, failures = check(provider, INSTANCE | {"flavorName": ""})
    assert failures == ["expected a name. Examine values at 'db.flavorName'."]


def test_unknown_and_secret_values_pass_the_check(provider: Provider[Cloud]) -> None:
    inputs = checked(provider, imageId=UNKNOWN, userData=Secret("text"))
    assert inputs["imageId"] is UNKNOWN
    assert inputs["userData"] == Secret("text")


def test_a_name_is_made_once_and_kept(provider: Provider[Cloud]) -> None:
    first, _ = check(provider, INSTANCE, seed=b"one")
    name = str(first["name"])
    assert name.startswith("db-")
    assert len(name) == len("db-") + 7
    assert first["powerState"] == "active"
    assert first["__defaults"] == ["name", "powerState"]
    assert check(provider, INSTANCE, seed=b"one")[0] == first
    assert check(provider, INSTANCE, seed=b"two")[0]["name"] != name
    assert check(provider, INSTANCE, first, seed=b"two")[0]["name"] == name
    given, _ = check(provider, INSTANCE | {"name": "mine"}, first)
    assert (given["name"], given["__defaults"]) == ("mine", ["powerState"])


def test_the_diff_names_paths_and_what_replaces(provider: Provider[Cloud]) -> None:
    olds = checked(provider, metadata={"role": "db", "a.b": "1"}, keyPair="k")
    news = checked(
        provider,
        flavorName="large",
        networks=[{"port": "p-2"}, {"port": "p-3"}],
        metadata={"role": "web", "a.b": "1"},
    )
    found = diff(provider, olds, news)
    kinds = {path: provider_pb2.PropertyDiff.Kind.Name(item.kind) for path, item in found.detailedDiff.items()}
    assert kinds == {
        "flavorName": "UPDATE",
        "keyPair": "DELETE_REPLACE",
        "metadata.role": "UPDATE",
        "networks[0].port": "UPDATE_REPLACE",
        "networks[1]": "ADD_REPLACE",
    }
    assert sorted(found.replaces) == ["keyPair", "networks[0].port", "networks[1]"]
    assert sorted(found.diffs) == ["flavorName", "keyPair", "metadata", "networks"]
    assert found.changes == provider_pb2.DiffResponse.DIFF_SOME


def test_nothing_changed(provider: Provider[Cloud]) -> None:
    olds = checked(provider, userData="text")
    found = diff(provider, olds, checked(provider, userData=Secret("text")))
    assert found.changes == provider_pb2.DiffResponse.DIFF_NONE
    assert not found.replaces


@pytest.mark.parametrize(
    ("name", "first"), [("mine", True), (None, False)], ids=["named by the program", "named by the bridge"]
)
def test_a_name_of_the_program_is_deleted_first(provider: Provider[Cloud], name: str | None, first: bool) -> None:
    olds, news = (checked(provider, name=name, keyPair=key) for key in ("a", "b"))
    assert diff(provider, olds, news).deleteBeforeReplace is first
    assert not diff(provider, olds, checked(provider, name=name, keyPair="a", flavorName="x")).deleteBeforeReplace


def test_ignored_changes_also_inside(provider: Provider[Cloud]) -> None:
    olds = checked(provider, metadata={"role": "db", "a.b": "1"})
    news = checked(
        provider, imageId="i-2", networks=[{"port": "p-2"}], metadata={"role": "web", "a.b": "2"}, keyPair="new"
    )
    ignored = ["imageId", "networks[*].port", 'metadata["a.b"]', "keyPair"]
    assert list(diff(provider, olds, news, *ignored).detailedDiff) == ["metadata.role"]
    assert list(diff(provider, olds, news, *ignored, "metadata").detailedDiff) == []


def test_steps_of_a_path() -> None:
    assert changes.steps('a.b[0]["c.d"][*].e') == ["a", "b", 0, "c.d", "*", "e"]
    assert changes.steps('tags["x\\"y"]') == ["tags", 'x"y']


def test_a_previewed_create_knows_what_the_program_says(provider: Provider[Cloud], cloud: Cloud) -> None:
    outputs = create(provider, checked(provider, imageId=UNKNOWN, userData=Secret("text")), preview=True)
    assert cloud == {}
    assert outputs["flavorName"] == "small"
    assert outputs["imageId"] is UNKNOWN
    assert outputs["accessIpV4"] is UNKNOWN
    assert outputs["region"] is UNKNOWN
    assert outputs["userData"] == Secret("text")
    assert "__defaults" not in outputs
    assert create(provider, checked(provider, region="r"), preview=True)["region"] == "r"


def test_a_create_keeps_secrets_from_nobody_but_the_kind(provider: Provider[Cloud], cloud: Cloud) -> None:
    inputs = checked(provider, userData=Secret("text"), metadata={"a": Secret("b")}, configDrive=True)
    outputs = create(provider, inputs)
    assert cloud["1"]["userData"] == "text"
    assert cloud["1"]["metadata"] == {"a": "b"}
    assert cloud["1"]["logical"] == "db"
    assert outputs["userData"] == Secret("text")
    assert outputs["metadata"] == Secret({"a": "b"})
    assert outputs["accessIpV4"] == "192.0.2.31"
    assert outputs["configDrive"] is True


def test_an_error_is_told_as_the_bridge_tells_it(provider: Provider[Cloud]) -> None:
    with pytest.raises(Refused) as refused:
        create(provider, checked(provider, flavorName="none"))
    assert str(refused.value) == "UNKNOWN: 1 error occurred:\n\t* Error creating OpenStack server: no such flavor\n\n"


def test_a_previewed_update_knows_what_stays(provider: Provider[Cloud]) -> None:
    old_inputs = checked(provider, keyPair="k")
    olds = create(provider, old_inputs)

    def previewed(inputs: dict[str, Value]) -> dict[str, Value]:
        request = provider_pb2.UpdateRequest(
            id="1",
            urn=URN,
            olds=to_wire(olds),
            old_inputs=to_wire(old_inputs),
            news=to_wire(inputs),
            preview=True,
        )
        return from_wire(provider.Update(request, CONTEXT).properties)

    renamed = previewed(checked(provider, name="other"))
    assert (renamed["name"], renamed["accessIpV4"], renamed["region"]) == ("other", "192.0.2.31", "here")
    assert "keyPair" not in renamed
    assert previewed(checked(provider, flavorName="large"))["accessIpV4"] is UNKNOWN


def test_an_update_takes_what_is_ignored_from_before(provider: Provider[Cloud], cloud: Cloud) -> None:
    old_inputs = checked(provider)
    olds = create(provider, old_inputs)
    request = provider_pb2.UpdateRequest(
        id="1",
        urn=URN,
        olds=to_wire(olds),
        old_inputs=to_wire(old_inputs),
        news=to_wire(checked(provider, imageId="i-2", flavorName="large")),
        ignoreChanges=["imageId"],
    )
    outputs = from_wire(provider.Update(request, CONTEXT).properties)
    assert (cloud["1"]["imageId"], cloud["1"]["flavorName"]) == ("i-1", "large")
    assert (outputs["imageId"], outputs["flavorName"], outputs["accessIpV4"]) == ("i-1", "large", "192.0.2.31")


def test_a_read_shows_drift_in_the_inputs(provider: Provider[Cloud], cloud: Cloud) -> None:
    inputs = checked(provider, userData=Secret("text"))
    state = create(provider, inputs)
    cloud["1"] |= {"flavorName": "large", "userData": "other", "networks": [{"port": "p-1", "mac": "02:00"}]}
    request = provider_pb2.ReadRequest(id="1", urn=URN, properties=to_wire(state), inputs=to_wire(inputs))
    answer = provider.Read(request, CONTEXT)
    assert answer.id == "1"
    found = from_wire(answer.inputs)
    assert found["flavorName"] == "large"
    assert found["userData"] == Secret("other")
    assert found["networks"] == [{"port": "p-1"}], "what the service fills in is no drift"
    assert sorted(diff(provider, found, inputs).detailedDiff) == ["flavorName", "userData"]
    assert from_wire(answer.properties)["userData"] == Secret("other")
    del cloud["1"]
    assert provider.Read(request, CONTEXT).id == ""


def test_a_read_without_inputs_is_an_import(provider: Provider[Cloud]) -> None:
    create(provider, checked(provider, name="mine"))
    found = from_wire(provider.Read(provider_pb2.ReadRequest(id="1", urn=URN), CONTEXT).inputs)
    assert {name: found[name] for name in ("name", "flavorName", "imageId")} == {
        "name": "mine",
        "flavorName": "small",
        "imageId": "i-1",
    }
    assert "accessIpV4" not in found


def test_functions(provider: Provider[Cloud]) -> None:
    token = GetFlavor.token

    def invoke(**inputs: Value) -> provider_pb2.InvokeResponse:
        return provider.Invoke(provider_pb2.InvokeRequest(tok=token, args=to_wire(inputs)), CONTEXT)

    assert from_wire(getattr(invoke(minRam=512.0), "return")) == {"id": "f-1", "minRam": 512.0}
    with pytest.raises(Refused, match=rf"invoking {token}: 1 error occurred:\n\t\* Your query returned no results"):
        invoke(name="x")
    assert [(item.property, item.reason) for item in invoke(minRan=512.0).failures] == [
        ("minRan", "Invalid or unknown key")
    ]
    with pytest.raises(Refused, match=r"does not model openstack:x:y; it knows .*getFlavor"):
        provider.Invoke(provider_pb2.InvokeRequest(tok="openstack:x:y"), CONTEXT)


def test_the_provider_is_configured_once(provider: Provider[Cloud], cloud: Cloud, configured: list[Properties]) -> None:
    args: dict[str, Value] = {"insecure": "true", "maxRetries": "3", "password": Secret("12"), "version": "5.5.3"}
    provider.Configure(provider_pb2.ConfigureRequest(args=to_wire(args)), CONTEXT)
    create(provider, checked(provider))
    assert configured == [{"insecure": True, "maxRetries": 3, "password": "12", "version": "5.5.3"}]
    assert "1" in cloud


def test_a_wrong_configuration_is_told(provider: Provider[Cloud]) -> None:
    urn = "urn:pulumi:dev::project::pulumi:providers:openstack::oslo"
    request = provider_pb2.CheckRequest(urn=urn, news=to_wire({"maxRetries": '"many"', "userNam": "x"}))
    assert [item.reason for item in provider.CheckConfig(request, CONTEXT).failures] == [
        "could not validate provider configuration: expected an integer, got a string. "
        "Examine values at 'oslo.maxRetries'.",
        "could not validate provider configuration: Invalid or unknown key. Examine values at 'oslo.userNam'.",
    ]
    with pytest.raises(Refused, match="Authentication failed"):
        provider.Configure(provider_pb2.ConfigureRequest(args=to_wire({"password": "wrong"})), CONTEXT)


def test_a_type_that_is_not_modelled_is_named(provider: Provider[Cloud]) -> None:
    request = provider_pb2.CheckRequest(urn="urn:pulumi:dev::project::openstack:dns/zone:Zone::z")
    with pytest.raises(Refused, match=r"does not model openstack:dns/zone:Zone; it knows .*instance:Instance"):
        provider.Check(request, CONTEXT)
