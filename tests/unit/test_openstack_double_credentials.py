"""Who the stand-in for pulumi-resource-openstack lets in, and what it says to others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.doubles.cloud_plugin.kinds import CloudError
from tests.doubles.pulumi_resource_openstack import catalogue
from tests.doubles.pulumi_resource_openstack.credentials import authenticated

PLACE = {"authUrl": catalogue.AUTH_URL, "region": catalogue.REGION}
WHO = {"OS_USERNAME": "fortress", "OS_PASSWORD": "lab", "OS_PROJECT_NAME": "fortress"}
CREDENTIAL, SECRET = catalogue.APPLICATION_CREDENTIAL


@pytest.mark.parametrize(
    ("configuration", "environment"),
    [
        (PLACE, WHO),
        ({**PLACE, "userName": "fortress", "password": "lab", "tenantName": "fortress"}, {}),
        ({**PLACE, "applicationCredentialId": CREDENTIAL, "applicationCredentialSecret": SECRET}, {}),
        ({}, {**WHO, "OS_AUTH_URL": catalogue.AUTH_URL, "OS_REGION_NAME": catalogue.REGION}),
        ({**PLACE, "authUrl": f"{catalogue.AUTH_URL}/"}, WHO),
    ],
)
def test_ways_in(configuration: dict[str, str], environment: Mapping[str, str]) -> None:
    assert authenticated(configuration, environment) == (catalogue.REGION, "")


@pytest.mark.parametrize(
    ("configuration", "environment", "words"),
    [
        (PLACE, {}, "You must provide a password to authenticate"),
        (PLACE, {"OS_PASSWORD": "lab"}, "Exactly one of Username and UserID must be provided for password"),
        (PLACE, {**WHO, "OS_PASSWORD": "wrong"}, "Authentication failed"),
        (PLACE, {**WHO, "OS_USERNAME": "somebody"}, "Authentication failed"),
        (PLACE, {**WHO, "OS_PROJECT_NAME": "other"}, "Authentication failed"),
        ({**PLACE, "password": "wrong"}, WHO, "Authentication failed"),
        ({**PLACE, "applicationCredentialId": CREDENTIAL}, {}, "You must provide an Application Credential Secret"),
        (
            {**PLACE, "authUrl": "https://cloud.example/v3"},
            WHO,
            'Post "https://cloud.example/v3/auth/tokens": dial tcp: lookup cloud.example: no such host',
        ),
    ],
)
def test_who_is_not_let_in(configuration: dict[str, str], environment: Mapping[str, str], words: str) -> None:
    region, refusal = authenticated(configuration, environment)
    assert region == catalogue.REGION
    assert refusal.startswith(words)


def test_no_cloud_is_named() -> None:
    with pytest.raises(CloudError, match=r"^One of 'auth_url' or 'cloud' must be specified$"):
        authenticated({}, WHO)


def test_a_cloud_of_clouds_yaml(tmp_path: Path) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(
        f"clouds:\n  oslo:\n    region_name: {catalogue.REGION}\n    auth:\n      auth_url: {catalogue.AUTH_URL}\n"
        "      username: fortress\n      password: lab\n      project_name: fortress\n"
    )
    environment = {"OS_CLIENT_CONFIG_FILE": str(file)}
    assert authenticated({"cloud": "oslo"}, environment) == (catalogue.REGION, "")
    assert authenticated({}, {**environment, "OS_CLOUD": "oslo"}) == (catalogue.REGION, "")
    with pytest.raises(CloudError, match=r"^cloud bergen does not exist$"):
        authenticated({"cloud": "bergen"}, environment)
    home = tmp_path / "home" / ".config" / "openstack"
    home.mkdir(parents=True)
    file.rename(home / "clouds.yaml")
    assert authenticated({"cloud": "oslo"}, {"HOME": str(tmp_path / "home")}) == (catalogue.REGION, "")


def test_no_clouds_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CloudError, match=r"^unable to load clouds.yaml: no clouds.yml file found"):
        authenticated({"cloud": "oslo"}, {"HOME": str(tmp_path)})
