"""Documents: each command is run by a test or says why not, links lead somewhere, and what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fortress.cli.main import app
from tests.unit import documents
from tests.unit.documents import ROOT, Block, blocks, missing

ALL = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in documents.documents()]


@pytest.mark.parametrize("document", ALL)
def test_each_block_has_a_language_and_each_command_is_run_or_says_why_not(document: Path) -> None:
    for block in blocks(document):
        assert block.language in documents.LANGUAGES, block.place
        if block.language == "sh":
            assert block.not_run or block.document in documents.RUN, (
                f"{block.place}: no test runs these commands; say why in the line before: <!-- not run: … -->"
            )


@pytest.mark.parametrize("document", ALL)
def test_no_block_is_made_by_indenting(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    assert re.findall(r"\n\n( {4}\S.*)", text) == []


def test_each_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for page in sorted(folder.glob("0*.md")):
        title = page.read_text().splitlines()[0].removeprefix("# ")
        assert f"| {page.name[:4]} | [{title}]({page.name}) |\n" in index, page.name


@pytest.mark.parametrize("document", ALL)
def test_a_mark_stands_before_commands(document: Path) -> None:
    text = document.read_text()
    marked = {block.line for block in blocks(document) if block.not_run and block.language == "sh"}
    marks = len(re.findall("<!-- not run: ", text))
    assert marks == (1 if text.startswith("<!-- not run: ") and marked else len(marked))


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


@pytest.mark.parametrize("document", ALL)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{link}: {target} is not there"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], link


@pytest.mark.parametrize("document", ALL)
def test_files_of_the_project_that_a_text_names_are_there(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    for path in re.findall(r"`((?:components|docs|examples|fortress|lab|package|tests)/[\w./-]*)`", text):
        assert (ROOT / path).exists() or (document.parent / path).exists(), path


@pytest.mark.parametrize("document", ALL)
def test_verbs_of_the_command_that_a_text_names_are_there(document: Path) -> None:
    verbs = {command.name or (command.callback and command.callback.__name__) for command in app.registered_commands}
    for verb in re.findall(r"`(?:lab/fortress\.sh|fortress) ([a-z]+)", document.read_text()):
        assert verb in verbs


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
