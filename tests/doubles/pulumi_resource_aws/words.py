"""Errors as the Terraform AWS provider words them around what the service says."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError, ConnectionError, ParamValidationError
from botocore.parsers import ResponseParserError

from ..cloud_plugin.kinds import CloudError

NOT_MODELLED = "the stand-in for pulumi-resource-aws does not model"


class Refusal(Exception):
    """What the service answers where moto would let it pass: an error code of EC2 and its sentence."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(message)
        self.operation, self.code, self.message = operation, code, message


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Whatever the service refuses inside becomes a CloudError that begins with `what`, in the provider's form."""
    try:
        yield
    except ClientError as error:
        answer: dict[str, Any] = dict(error.response)
        fact, meta = answer.get("Error", {}), answer.get("ResponseMetadata", {})
        raise CloudError(
            _said(
                what,
                error.operation_name,
                meta.get("HTTPStatusCode", 400),
                meta.get("RequestId", ""),
                fact.get("Code", ""),
                fact.get("Message", ""),
            )
        ) from None
    except Refusal as error:
        raise CloudError(_said(what, error.operation, 400, str(uuid.uuid4()), error.code, error.message)) from None
    except ParamValidationError as error:
        raise CloudError(f"{what}: the service's model refuses the request: {error}") from None
    except ConnectionError as error:
        # all that it knew went with it
        raise CloudError(
            f"{what}: moto no longer answers ({error}). Fix: python -m lab down, and start again"
        ) from None
    except ResponseParserError as error:
        raise CloudError(f"{what}: moto broke down over the request: {error}") from None


def _said(what: str, operation: str, status: int, request: str, code: str, message: str) -> str:
    answer = f"https response error StatusCode: {status}, RequestID: {request}, api error {code}: {message}"
    return f"{what}: operation error EC2: {operation}, {answer}"


def is_gone(error: ClientError) -> bool:
    """Whether the service does not know the thing (any more)."""
    return str(error.response.get("Error", {}).get("Code", "")).endswith((".NotFound", "NotFound", ".Malformed"))
