"""Rendering of template files."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from fortress import push

_environment = Environment(
    loader=PackageLoader("fortress", "templates"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 - configuration files, not HTML; values are validated where they enter
)
_pages = _environment.overlay(autoescape=True)


def render(template: str, **facts: object) -> str:
    """A file of `fortress/templates`, rendered with facts. Raises jinja2.UndefinedError for a missing fact."""
    return _environment.get_template(template).render(**facts)


def render_page(template: str, **facts: object) -> str:
    """The same for an HTML template: all values are escaped, except those marked as markup."""
    return _pages.get_template(template).render(**facts)


def script(name: str) -> str:
    """The text of a host script of `fortress/scripts`."""
    return (files("fortress") / "scripts" / name).read_text()


def scripts(folder: str) -> list[str]:
    """The modules in a folder of `fortress/scripts`, as `script` has them."""
    there = (files("fortress") / "scripts" / folder).iterdir()
    return sorted(f"{folder}/{each.name}" for each in there if each.name.endswith(".py"))


def push_script() -> str:
    """The text of push.sh, the first file that is put on a host, and of the host scripts that come with it."""
    return push.with_tools((files("fortress") / "push.sh").read_text(), {name: script(name) for name in push.TOOLS})
