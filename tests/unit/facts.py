"""Facts of components in tests: with some changed, and what is said about those that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from fortress.explain import Place, lines
from fortress.values import Model

M = TypeVar("M", bound=Model)


def changed_facts(facts: M, **changes: Any) -> M:
    """The same facts but for these, checked anew."""
    return type(facts)(**{**dict(facts), **changes})


def refusal_of(make: Callable[[], object]) -> list[str]:
    """The lines about facts that are refused."""
    with pytest.raises(ValidationError) as bad:
        make()
    return lines(bad.value, Model, Place())
