"""Errors as OpenStack's services and the Terraform provider word them."""

from __future__ import annotations

import json

from ..cloud_plugin.kinds import CloudError

_KEYS = {400: "badRequest", 403: "forbidden", 404: "itemNotFound", 409: "conflictingRequest", 413: "overLimit"}
_NO_RESULTS = "Your query returned no results. Please change your search criteria and try again."
_MANY_RESULTS = "Your query returned more than one result. Please try a more specific search criteria"


def refused(doing: str, request: str, code: int, message: str) -> CloudError:
    """A request that compute or block storage refused, after what the provider was doing.

    From gophercloud v2, `errors.go` (ErrUnexpectedResponseCode), and nova's and cinder's fault bodies.
    """
    body = json.dumps({_KEYS[code]: {"code": code, "message": message}})
    return _refused(doing, request, code, body)


def neutron(doing: str, request: str, code: int, kind: str, message: str) -> CloudError:
    """A request that networking refused; `kind` is the name of neutron's exception."""
    return _refused(
        doing, request, code, json.dumps({"NeutronError": {"type": kind, "message": message, "detail": ""}})
    )


def _refused(doing: str, request: str, code: int, body: str) -> CloudError:
    method, path = request.split()
    expected = {"POST": "[200 201 202]", "GET": "[200]", "PUT": "[200 201]", "DELETE": "[202 204]"}[method]
    return CloudError(
        f"{doing}: Expected HTTP response code {expected} when accessing [{method} https://api.coolvds.com{path}], "
        f"but got {code} instead: {body}"
    )


def no_results() -> CloudError:
    """A data source that matched nothing."""
    return CloudError(_NO_RESULTS)


def many_results() -> CloudError:
    """A data source that matched several."""
    return CloudError(_MANY_RESULTS)
