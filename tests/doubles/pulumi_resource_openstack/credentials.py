"""Who the provider says that it is, and whether the identity service believes it.

From the Terraform provider's `provider.go`, `gophercloud/utils` (`terraform/auth`, `openstack/clientconfig`) and
gophercloud's `auth_options.go`: the provider's configuration, the OS_* variables, clouds.yaml.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ..cloud_plugin.kinds import CloudError, Properties
from . import catalogue
from .cloud import Cloud, clouds

_VARIABLES = {
    "authUrl": ("OS_AUTH_URL",),
    "region": ("OS_REGION_NAME",),
    "userName": ("OS_USERNAME",),
    "userId": ("OS_USER_ID",),
    "password": ("OS_PASSWORD",),
    "tenantName": ("OS_TENANT_NAME", "OS_PROJECT_NAME"),
    "applicationCredentialId": ("OS_APPLICATION_CREDENTIAL_ID",),
    "applicationCredentialSecret": ("OS_APPLICATION_CREDENTIAL_SECRET",),
    "cloud": ("OS_CLOUD",),
}
_YAML = {
    "auth_url": "authUrl",
    "username": "userName",
    "user_id": "userId",
    "password": "password",
    "project_name": "tenantName",
    "application_credential_id": "applicationCredentialId",
    "application_credential_secret": "applicationCredentialSecret",
}


def connect(configuration: Properties) -> Cloud:
    """The project for a provider's configuration; the process's environment fills in what that leaves out.

    Raises:
        CloudError: it names no cloud at all, or one that clouds.yaml does not have.
    """
    return Cloud(clouds(), *authenticated(configuration, os.environ))


def authenticated(configuration: Properties, environment: Mapping[str, str]) -> tuple[str, str]:
    """The region, and what the identity service answers: "" when it lets us in.

    Raises:
        CloudError: the provider cannot be configured like this.
    """
    given = {name: configuration.get(name) or _first(environment, names) for name, names in _VARIABLES.items()}
    if not given["authUrl"] and not given["cloud"]:
        raise CloudError("One of 'auth_url' or 'cloud' must be specified")
    if given["cloud"]:
        entry = _cloud(str(given["cloud"]), environment)
        given = {"region": given["region"] or entry.get("region_name"), **_from_yaml(entry)}
    return str(given.get("region") or ""), _refusal(given)


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def _from_yaml(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {ours: (entry.get("auth") or {}).get(name) for name, ours in _YAML.items()}


def _cloud(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    home = Path(environment.get("HOME") or "/nonexistent")
    places = [Path.cwd(), home / ".config" / "openstack", Path("/etc/openstack")]
    files = [place / f"clouds.{ending}" for place in places for ending in ("yaml", "yml")]
    if named := environment.get("OS_CLIENT_CONFIG_FILE"):
        files = [Path(named)]
    for file in files:
        if file.exists():
            found = (yaml.safe_load(file.read_text()) or {}).get("clouds") or {}
            if name not in found:
                raise CloudError(f"cloud {name} does not exist")
            return dict(found[name])
    raise CloudError("unable to load clouds.yaml: no clouds.yml file found: file does not exist")


def _refusal(given: Mapping[str, Any]) -> str:
    url = str(given.get("authUrl") or "")
    if url.rstrip("/") != catalogue.AUTH_URL:
        host = urlsplit(url).hostname or ""
        return f'Post "{url.rstrip("/")}/auth/tokens": dial tcp: lookup {host}: no such host'
    if credential := given.get("applicationCredentialId"):
        secret = given.get("applicationCredentialSecret")
        if not secret:
            return "You must provide an Application Credential Secret"
        return "" if (credential, secret) == catalogue.APPLICATION_CREDENTIAL else "Authentication failed"
    if not given.get("password"):
        return "You must provide a password to authenticate"
    if not given.get("userName") and not given.get("userId"):
        return "Exactly one of Username and UserID must be provided for password authentication"
    who = given.get("userName") == catalogue.USER or given.get("userId") == catalogue.USER_ID
    project = given.get("tenantName") in (None, catalogue.PROJECT)
    return "" if who and project and given["password"] == catalogue.PASSWORD else "Authentication failed"
