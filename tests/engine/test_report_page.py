"""The pages of `fortress report` and `fortress record` in a real browser: looked at, clicked, printed.

Its pictures are kept in the folder of the test, for a person to look at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from fortress.cli.record import page as record
from fortress.cli.report import page as report
from fortress.cli.report.custody import Custody
from tests.engine import chromium
from tests.unit import example_record, example_report
from tests.unit.stack_file import oslo

CHECKS = "table.checks tbody tr"
SHOWN = f"{CHECKS}:visible"
WIDE, PHONE = ViewportSize(width=1200, height=900), ViewportSize(width=375, height=812)


@dataclass
class Opened:
    """A page in the browser, and what it did meanwhile."""

    page: Page
    asked: list[str] = field(default_factory=list)
    """Addresses of requests."""
    said: list[str] = field(default_factory=list)
    """What the browser's console shows: errors, breaches of the policy, words of the script."""

    @property
    def hosts(self) -> set[str]:
        """Hosts of the checks that can be seen."""
        return set(self.page.locator(f"{SHOWN} .on").all_inner_texts())

    @property
    def unfolded(self) -> list[str]:
        """Titles of the kinds of checks that are open."""
        return self.page.locator("details.group[open] > summary .kind").all_inner_texts()

    def shows_only(self, host: str) -> bool:
        """Whether what can be seen are checks of one host and about it, both."""
        rows = self.page.locator(SHOWN).all_inner_texts()
        return all(host in row for row in rows) and {host} < self.hosts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("report")
    (found / "report.html").write_text(report.as_html(example_report.facts(instead=example_report.BROKEN)))
    large = example_report.facts({"oslo": 4, "frankfurt": 8, "stockholm": 6})
    kept = Custody({"oslo": "NO", "frankfurt": "US"}, dict.fromkeys(large.outputs.hosts, "personal"))
    (found / "large.html").write_text(report.as_html(replace(large, custody=kept)))
    (found / "record.html").write_text(record.render(example_record.standing("oslo", oslo)))
    return found


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with chromium.browser(folder) as found:
        yield found


@pytest.fixture
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The page, with options of a browser's page given by a test's parameter."""
    with browser.new_page(**{"viewport": WIDE, **getattr(request, "param", {})}) as page:
        found = Opened(page)
        page.on("request", lambda asked: found.asked.append(asked.url))
        page.on("console", lambda said: found.said.append(said.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        page.goto("file:///mnt/report.html")
        yield found
        assert found.asked == ["file:///mnt/report.html"]
        assert found.said == []


def test_a_host_of_the_drawing_shows_its_checks(opened: Opened) -> None:
    page = opened.page
    at_first = opened.unfolded
    assert at_first == ["handshake", "backend", "edge certificate", "database over TLS"]
    page.locator(".drawing a", has_text="frankfurt-2").click()
    expect(page.locator("select")).to_have_value("frankfurt-2")
    assert opened.shows_only("frankfurt-2")
    assert page.locator("#checks-title").bounding_box()["y"] < WIDE["height"] / 2  # type: ignore[index]
    page.locator("select").select_option("every host")
    assert len(opened.hosts) == 5
    assert opened.unfolded == at_first
    # The same host once more, though the address has it already; and by the keyboard.
    page.locator(".drawing a", has_text="frankfurt-2").click()
    expect(page.locator("select")).to_have_value("frankfurt-2")
    assert opened.shows_only("frankfurt-2")
    page.locator(".drawing a", has_text="oslo-1").focus()
    page.keyboard.press("Enter")
    expect(page.locator("select")).to_have_value("oslo-1")
    assert opened.shows_only("oslo-1")


def test_checks_are_found_by_state_and_words(opened: Opened) -> None:
    page = opened.page
    every = page.locator(CHECKS).count()
    page.get_by_role("radio", name="fail").check()
    assert page.locator(SHOWN).count() == 3
    assert page.locator("output").inner_text() == f"3 of {every}"
    page.get_by_role("searchbox").fill("CERTIFICATE")
    assert page.locator(f"{SHOWN} th").all_inner_texts() == ["edge certificate\nrenew it"]
    assert opened.unfolded == ["edge certificate"]
    page.get_by_role("radio", name="all").check()
    page.get_by_role("searchbox").fill("no such check")
    assert page.locator(SHOWN).count() == 0
    page.get_by_role("searchbox").fill("")
    assert 0 < page.locator(SHOWN).count() < every
    page.locator("summary", has_text="host key").click()
    assert page.locator(SHOWN, has_text="as pinned").count() == 5


@pytest.mark.parametrize("opened", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_a_host_shows_its_checks_too(opened: Opened) -> None:
    assert opened.page.locator("#filter").is_hidden()
    opened.page.locator(".drawing a", has_text="frankfurt-2").click()
    assert opened.shows_only("frankfurt-2")
    opened.page.locator(".all").click()
    assert len(opened.hosts) == 5


@pytest.mark.parametrize(
    "opened",
    [{"viewport": size, "color_scheme": scheme} for size in (WIDE, PHONE) for scheme in ("light", "dark")],
    ids=["wide-light", "wide-dark", "phone-light", "phone-dark"],
    indirect=True,
)
def test_it_fits_and_is_not_blank(opened: Opened, folder: Path, request: pytest.FixtureRequest) -> None:
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    file = folder / f"{request.node.callspec.id}.png"
    page.screenshot(path=file, full_page=True)
    with Image.open(file) as picture:
        assert picture.height > 2000
        colours = picture.convert("L").histogram()
    assert sum(count > 0 for count in colours) > 100
    ground = colours.index(max(colours))
    assert ground < 50 if "dark" in file.name else ground > 200


@pytest.mark.parametrize(
    "opened",
    [{}, {"color_scheme": "dark"}, {"viewport": PHONE}],
    ids=["light", "dark", "phone"],
    indirect=True,
)
def test_it_is_for_everyone(opened: Opened) -> None:
    """Names, roles, order, contrast: the rules of axe-core, those of WCAG 2.2 AA among them."""
    found = Axe().run(opened.page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("opened", [{"viewport": PHONE}], indirect=True)
def test_on_a_phone_each_check_is_whole(opened: Opened) -> None:
    cut = opened.page.evaluate(
        """() => [...document.querySelectorAll('table.checks tbody :is(th, td)')].filter((cell) => {
            const box = cell.getBoundingClientRect();
            return box.left < 0 || box.right > innerWidth || cell.scrollWidth > cell.clientWidth + 1;
        }).map((cell) => cell.textContent)"""
    )
    assert cut == []
    assert opened.page.locator(f"{SHOWN} .limit").first.is_visible()


@pytest.mark.parametrize("opened", [{"viewport": PHONE}], indirect=True)
def test_on_a_phone_no_column_is_lost_and_the_drawing_says_that_it_goes_on(opened: Opened) -> None:
    page = opened.page
    page.locator("summary", has_text="The same as a table").click()
    cut = page.evaluate(
        """() => [...document.querySelectorAll('table.plain tbody :is(th, td)')].filter((cell) => {
            const box = cell.getBoundingClientRect();
            return box.width && (box.left < 0 || box.right > innerWidth);
        }).map((cell) => cell.textContent)"""
    )
    assert cut == []
    labels = (
        page.locator("#hosts tbody tr")
        .first.locator("td")
        .evaluate_all("(cells) => cells.map((cell) => getComputedStyle(cell, '::before').content)")
    )
    columns = ("role", "site", "in the mesh", "address", "open ports", "up", "services", "last push", "checks")
    assert [label.split('"')[1].strip() for label in labels] == [*columns]
    assert page.locator(".swipe").is_visible()
    fade = page.locator(".canvas").evaluate("(canvas) => getComputedStyle(canvas).maskImage")
    assert fade.startswith("linear-gradient")


def test_nothing_of_a_large_drawing_is_cut(browser: Browser, folder: Path) -> None:
    """Words lie within their boxes, measured by the browser with its own font."""
    with browser.new_page(viewport=WIDE) as page:
        page.goto("file:///mnt/large.html")
        page.screenshot(path=folder / "large.png", full_page=True)
        assert page.locator(".drawing a").count() == 20
        outside = page.evaluate(
            """() => [...document.querySelectorAll('.drawing a')].flatMap((node) => {
                const box = node.querySelector('rect').getBBox();
                return [...node.querySelectorAll('text')].filter((text) => {
                    const own = text.getBBox();
                    return own.x < box.x || own.x + own.width > box.x + box.width
                        || own.y < box.y || own.y + own.height > box.y + box.height;
                }).map((text) => text.textContent);
            })"""
        )
        assert outside == []


@pytest.mark.parametrize("opened", [{}, {"color_scheme": "dark"}], ids=["light", "dark"], indirect=True)
def test_printed_it_is_all_there(opened: Opened, folder: Path) -> None:
    # A4 without its margins, in the pixels of a browser: what is wider shrinks the whole page.
    opened.page.set_viewport_size(ViewportSize(width=700, height=1000))
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    file = folder / "report.pdf"
    opened.page.pdf(path=file, format="A4")
    document = pypdfium2.PdfDocument(file)
    words = " ".join(" ".join(page.get_textpage().get_text_bounded() for page in document).split())
    assert 2 <= len(document) <= 6
    for wanted in (
        "3 of 42 checks fail",
        "the tunnel is silent",
        "23.09 ms",
        "Certificates and keys by age",
        "Narrow the tunnel to 1340",
        "/etc/wireguard/wg0.d/mtu",
        "carries",  # the table that is folded on a screen
    ):
        assert wanted in words
    assert "words in a check" not in words
    for number, page in enumerate(document, 1):
        picture = page.render(scale=1).to_pil()
        picture.save(folder / f"page-{number}.png")
        assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.parametrize("size", [WIDE, PHONE, ViewportSize(width=680, height=1000)], ids=["wide", "phone", "paper"])
def test_the_record_fits_and_is_for_everyone(browser: Browser, size: ViewportSize) -> None:
    with browser.new_page(viewport=size) as page:
        opened = Opened(page)
        page.on("request", lambda asked: opened.asked.append(asked.url))
        page.on("console", lambda said: opened.said.append(said.text))
        page.goto("file:///mnt/record.html")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        outside = page.evaluate(
            """() => [...document.querySelectorAll('figure svg text')].filter((text) => {
                const own = text.getBBox(), box = text.ownerSVGElement.viewBox.baseVal;
                return own.x < 0 || own.x + own.width > box.x + box.width;
            }).map((text) => text.textContent)"""
        )
        assert outside == []
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert (opened.asked, opened.said) == (["file:///mnt/record.html"], [])


def test_the_record_prints_with_its_signatures_on_one_page(browser: Browser, folder: Path) -> None:
    with browser.new_page() as page:
        page.goto("file:///mnt/record.html")
        file = folder / "record.pdf"
        page.pdf(path=file, prefer_css_page_size=True)
    document = pypdfium2.PdfDocument(file)
    pages = [" ".join(sheet.get_textpage().get_text_bounded().split()) for sheet in document]
    assert 5 <= len(pages) <= 9
    assert all(round(size) in (595, 842) for sheet in document for size in sheet.get_size())
    assert "Record of processing activities" in pages[0]
    assert "Everything that the record must have is declared." in pages[0]
    (last,) = [words for words in pages if "Signatures" in words]
    assert "Data protection officer Kari Nordmann" in last
    assert "Controller Example Shop AS" in last
    for number, sheet in enumerate(document, 1):
        sheet.render(scale=1).to_pil().save(folder / f"record-{number}.png")
