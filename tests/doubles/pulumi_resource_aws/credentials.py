"""Who asks: region and credentials, looked for as the AWS provider does, short of what is not of this program.

Order as in the provider: its own configuration, the AWS_* variables, the shared files. Files are read only where the
configuration or a variable names them, since this machine's own (~/.aws) are no business of a stand-in; there is no
instance metadata service.
"""

from __future__ import annotations

import configparser
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session

from ..cloud_plugin.kinds import CloudError
from . import catalogue
from .words import NOT_MODELLED

# pulumi-aws, provider/configure_test.go
_MORE = (
    "Please see https://www.pulumi.com/registry/packages/aws/installation-configuration/ for more information about "
    "providing credentials.\n"
    "NEW: You can use Pulumi ESC to set up dynamic credentials with AWS OIDC to ensure the correct and valid "
    "credentials are used.\n"
    "Learn more: https://www.pulumi.com/registry/packages/aws/installation-configuration/"
    "#dynamically-generate-credentials-via-pulumi-esc"
)
_MODELLED = frozenset({"region", "accessKey", "secretKey", "token", "profile", "defaultTags", "allowedAccountIds"}) | {
    *("sharedConfigFiles", "sharedCredentialsFiles", "version", "pluginDownloadUrl"),
    *("skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation"),
}


@dataclass(frozen=True)
class Caller:
    """The provider's configuration, found good."""

    region: str
    access_key: str
    secret_key: str
    default_tags: dict[str, str]


def caller(configuration: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Caller:
    """Who asks, by the provider's configuration in camelCase.

    Raises:
        CloudError: no region or credentials, or none that the account of the catalogue knows, in the provider's words.
    """
    given = {name: _decoded(name, value) for name, value in configuration.items() if value not in (None, "")}
    for name in sorted(given.keys() - _MODELLED):
        raise CloudError(f"{NOT_MODELLED} '{name}' of the provider")
    profile = str(given.get("profile") or environment.get("AWS_PROFILE") or "")
    shared = _profile(_files(given, environment), profile)
    region = given.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    region = str(region or shared.get("region") or "")
    if not region:
        raise CloudError(
            "Missing region information\n"
            "Make sure you have set your AWS region, e.g. `pulumi config set aws:region us-west-2`."
        )
    pair = next(
        (
            (access, secret)
            for access, secret in (
                (given.get("accessKey"), given.get("secretKey")),
                (environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")),
                (shared.get("aws_access_key_id"), shared.get("aws_secret_access_key")),
            )
            if access and secret
        ),
        None,
    )
    if pair is None:
        raise CloudError(f"No valid credential sources found.\n{_MORE}")
    _check_region(region)
    _check_pair(*pair)
    _check_account(given)
    tags = (given.get("defaultTags") or {}).get("tags") or {}
    return Caller(region, *pair, {str(key): str(value) for key, value in tags.items()})


def _decoded(name: str, value: Any) -> Any:
    """The engine hands a provider what is not a string as its JSON text."""
    if name in ("defaultTags", "allowedAccountIds", "sharedConfigFiles", "sharedCredentialsFiles"):
        return json.loads(value) if isinstance(value, str) else value
    return value


def _files(given: Mapping[str, Any], environment: Mapping[str, str]) -> Sequence[str]:
    named = [*given.get("sharedConfigFiles", ()), *given.get("sharedCredentialsFiles", ())]
    return named or [environment[name] for name in _FILES if environment.get(name)]


_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


def _profile(files: Sequence[str], profile: str) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    parser.read([Path(file).expanduser() for file in files])
    name = profile or "default"
    found = {
        key: value
        for section in (f"profile {name}", name)
        if parser.has_section(section)
        for key, value in parser.items(section)
    }
    if profile and not found:
        raise CloudError(
            "unable to validate AWS credentials.\n"
            f"Details: loading configuration: failed to get shared config profile, {profile}\n"
        )
    return found


def _check_region(region: str) -> None:
    if region == catalogue.REGION:
        return
    session = botocore.session.Session()
    partitions = session.get_available_partitions()
    if not any(region in session.get_available_regions("ec2", partition) for partition in partitions):
        raise CloudError(
            "unable to validate AWS credentials.\n"
            "Details: validating provider credentials: retrieving caller identity from STS: operation error STS: "
            "GetCallerIdentity, exceeded maximum number of attempts, 3, https response error StatusCode: 0, "
            f'RequestID: , request send failed, Post "https://sts.{region}.amazonaws.com/": dial tcp: '
            f"lookup sts.{region}.amazonaws.com: no such host\n"
            "Make sure you have set your AWS region, e.g. `pulumi config set aws:region us-west-2`."
        )
    raise CloudError(f"{NOT_MODELLED} region {region}; it has {catalogue.REGION} alone")


def _check_pair(access: str, secret: str) -> None:
    if access != catalogue.ACCESS_KEY:
        code, message = "InvalidClientTokenId", "The security token included in the request is invalid."
    elif secret != catalogue.SECRET_KEY:
        code, message = (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )
    else:
        return
    raise CloudError(
        "Invalid credentials configured.\n"
        "Details: validating provider credentials: retrieving caller identity from STS: operation error STS: "
        f"GetCallerIdentity, https response error StatusCode: 403, RequestID: , api error {code}: {message}\n{_MORE}"
    )


def _check_account(given: Mapping[str, Any]) -> None:
    allowed = given.get("allowedAccountIds")
    if allowed and catalogue.ACCOUNT not in allowed:
        raise CloudError(f"AWS account ID not allowed: {catalogue.ACCOUNT}")
