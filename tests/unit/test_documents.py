"""Documents: each command is run by a test or says why not, links lead somewhere, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fortress.cli.main import app
from tests.unit import documents
from tests.unit.documents import ROOT, Block, blocks, missing

ALL = {str(path.relative_to(ROOT)): path.read_text() for path in documents.documents()}
"""Text of each document, by its name."""
PROSE = {name: re.sub(r"```.*?```", "", text, flags=re.S) for name, text in ALL.items()}
"""The same without its blocks."""


def every(pattern: str, texts: dict[str, str]) -> list[tuple[str, str]]:
    """The document and what is found, for each place in any of them; there must be one."""
    found = [(name, place) for name, text in texts.items() for place in re.findall(pattern, text, re.M)]
    assert found
    return found


def test_each_block_has_a_language_and_each_command_is_run_or_says_why_not() -> None:
    every_block = [block for name in ALL for block in blocks(ROOT / name)]
    assert every_block
    for block in every_block:
        assert block.language in documents.LANGUAGES, block.place
        if block.language == "sh":
            assert block.not_run or block.document in documents.RUN, (
                f"{block.place}: no test runs these commands; say why in the line before: <!-- not run: … -->"
            )


def test_no_block_is_made_by_indenting() -> None:
    assert [(name, found) for name, text in PROSE.items() for found in re.findall(r"\n\n( {4}\S.*)", text)] == []


def test_each_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for page in sorted(folder.glob("0*.md")):
        title = page.read_text().splitlines()[0].removeprefix("# ")
        assert f"| {page.name[:4]} | [{title}]({page.name}) |\n" in index, page.name


def test_a_mark_stands_before_commands() -> None:
    for name, text in ALL.items():
        marked = {block.line for block in blocks(ROOT / name) if block.not_run and block.language == "sh"}
        marks = len(re.findall("<!-- not run: ", text))
        assert marks == (1 if text.startswith("<!-- not run: ") and marked else len(marked)), name


def test_no_secret_stands_in_a_command_line() -> None:
    """Whoever is on the machine sees command lines: a secret is piped, or asked for."""
    folders = [path for folder in ("docs", "examples") for path in (ROOT / folder).rglob("*.*")]
    for path in {*documents.documents(), *folders}:
        if path.suffix in (".md", ".yml", ".yaml", ".sh", ".py", ".json"):
            text = path.read_text()
            assert "aws configure set" not in text, path
            given = re.findall(r"config set .*?--secret [\w:.-]+(?: --stack \S+)* +[^-#<|\s].*", text)
            assert given == [], path


def test_there_are_commands_to_run() -> None:
    found = {name: len(documents.steps(ROOT / name)) for name in documents.RUN}
    assert found["README.md"] > 2
    assert found["docs/tour.md"] > 10


def test_links_lead_somewhere() -> None:
    texts = {name: re.sub(r"`[^`\n]*`", "", text) for name, text in PROSE.items()}
    for name, link in every(r"\]\(([^)\s]+)\)", texts):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = ROOT / name if not path else (ROOT / name).parent / path
        assert target.exists(), f"{name}: {link}: {target} is not there"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{name}: {link}"


def test_files_of_the_project_that_a_text_names_are_there() -> None:
    for name, path in every(r"`((?:components|docs|examples|fortress|lab|package|tests)/[\w./-]*)`", PROSE):
        assert (ROOT / path).exists() or ((ROOT / name).parent / path).exists(), f"{name}: {path}"


def test_verbs_of_the_command_that_a_text_names_are_there() -> None:
    verbs = {command.name or (command.callback and command.callback.__name__) for command in app.registered_commands}
    verbs |= {group.name for group in app.registered_groups}
    for name, verb in every(r"`(?:lab/fortress\.sh|fortress) ([a-z]+)", ALL):
        assert verb in verbs, f"{name}: {verb}"


def test_marks_and_expected_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "Do\n\n```sh\none\n```\n\nand see\n\n```text\n1\n…\n```\n\n<!-- not run: a cloud -->\n```sh\ntwo\n```\n"
        "\n```sh\nthree\n```\n\n```yaml\na: 1\n```\n"
    )
    assert [(block.line, block.language, block.not_run) for block in blocks(page)] == [
        (3, "sh", ""),
        (9, "text", ""),
        (15, "sh", "a cloud"),
        (19, "sh", ""),
        (23, "yaml", ""),
    ]
    assert [(step.commands.text, step.shown) for step in documents.steps(page)] == [
        ("one\n", ("1", "…")),
        ("three\n", ()),
    ]
    page.write_text("<!-- not run: all of it -->\n# Page\n\n```sh\none\n```\n")
    assert next(blocks(page)) == Block("page.md", 4, "sh", "one\n", "all of it")


@pytest.mark.parametrize(
    ("shown", "output", "lacks"),
    [
        (("a 1", "c"), "a   1\nb\n  c\n", None),
        (("a … ok",), "a 17 checks, ok", None),
        (("a … ok",), "a 17 ok, 1 fail", "a … ok"),
        (("b", "a"), "a\nb\n", "a"),
        (("…", "", "b"), "a\nb\n", None),
        (("a.c",), "abc\n", "a.c"),
        (("a", "a"), "a\n", "a"),
    ],
)
def test_lines_are_looked_for_in_order(shown: tuple[str, ...], output: str, lacks: str | None) -> None:
    assert missing(shown, output) == lacks
