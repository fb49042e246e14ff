"""The page of ``reidclip report`` in a real browser: nothing asked of a network, filters, keyboard, narrow windows, hostile names."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reidclip.cli.app import main
from reidclip.report.contents import Contents, Found, GroupView, Item, ProtocolView, Query
from reidclip.report.page import render
from tests.browser import PHONE, Visit
from tests.cli.report_data import HOSTILE, PEOPLE, evaluate_twice

Go = Callable[..., Visit]
COUNT, ENTRIES = "#lists-0-count", "#lists-0-list > li"
QUERIES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """``page.html`` of both evaluations, ``alone.html`` of the first, and the store."""
    root = tmp_path_factory.mktemp("report")

    def run(*words: object) -> None:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.setattr(sys, "argv", ["reidclip", *map(str, words)])
            main()
        assert not end.value.code, words

    store = evaluate_twice(root, run)
    common = ("--store", store, "--device", "cpu", "--workers", 0, "-q")
    run("report", "first", "second", "--output", root / "page.html", "--title", HOSTILE[0] + HOSTILE[1], *common)
    run("report", "first", "--output", root / "alone.html", *common)
    yield root


def ranks(folder: Path, name: str, protocol: str = "general") -> list[dict[str, str]]:
    with (folder / f"store/evaluation/{name}/v0001/ranks-{protocol}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def shown(seen: Visit) -> int:
    """How many queries fit, as the page says."""
    return int(str(seen.page.locator(COUNT).text_content()).split()[0])


def choose(seen: Visit, label: str) -> None:
    seen.page.get_by_label(label, exact=True).check()


@pytest.mark.parametrize("name", ["page.html", "alone.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_loads_in_silence(folder: Path, visit: Go, name: str, scheme: str) -> None:
    seen = visit(folder / name, color_scheme=scheme)
    assert seen.page.locator(ENTRIES).count() == 10
    assert (seen.errors, seen.requests, seen.failed) == ([], [], [])


def test_the_page_may_not_ask_a_network(folder: Path, visit: Go) -> None:
    """Its policy stops even a script that is let in."""
    seen = visit(folder / "page.html")
    seen.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
    seen.page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    refused = " ".join(error for error in seen.errors if "Content Security Policy" in error)
    assert "'http://127.0.0.1:9/' violates" in refused and "'http://127.0.0.1:9/x.png' violates" in refused


def test_hostile_names_are_text(folder: Path, visit: Go) -> None:
    seen = visit(folder / "page.html")
    seen.page.on("dialog", lambda dialog: pytest.fail(f"a name ran: {dialog.message}"))
    assert seen.page.title() == HOSTILE[0] + HOSTILE[1]
    assert seen.page.locator("h1").text_content() == HOSTILE[0] + HOSTILE[1]
    seen.page.locator("#lists-0-more").click()
    told = "\n".join(seen.page.locator("h4").all_text_contents())
    assert all(f"query/{name}-00.png" in told for name in HOSTILE)
    assert seen.page.locator("img:not([src^='data:image/jpeg;base64,'])").count() == 0
    assert seen.page.evaluate("document.scripts.length") == 2  # the data and the page's own
    assert (
        seen.page.evaluate("[...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on')))") is False
    )
    assert seen.errors == []


def test_pictures_are_decoded_and_named(folder: Path, visit: Go) -> None:
    seen = visit(folder / "alone.html")
    pictures = seen.page.locator(f"{ENTRIES} img")
    sizes = pictures.evaluate_all(
        "all => Promise.all(all.map(async i => { await i.decode(); return [i.naturalHeight, i.alt.length > 0] }))"
    )
    assert sizes and all(height == 32 and named for height, named in sizes)


def test_order_borders_and_numbers_of_a_list(folder: Path, visit: Go) -> None:
    """The worst query of the table stands first, and its first green picture at the rank of the table."""
    seen = visit(folder / "alone.html")
    worst = min(ranks(folder, "first"), key=lambda row: float(row["average_precision"]))
    first = seen.page.locator(ENTRIES).first
    precision = f"AP {100 * float(worst['average_precision']):.1f}\u00a0%"
    assert f"{precision}, first match at rank {worst['first_rank']}," in str(first.text_content())
    marks = first.locator(".strip .badge").all_text_contents()
    assert len(marks) == 10 and marks.index("✓") + 1 == int(worst["first_rank"])
    distances = [float(text.split("· ")[1]) for text in first.locator(".answer figcaption span:first-child").all_text_contents()]
    assert distances == sorted(distances)
    assert first.locator(".match").count() == marks.count("✓") and first.locator(".error").count() == marks.count("✗")


def test_distances_that_lie_close_together_are_told_apart(tmp_path: Path, visit: Go) -> None:
    """The range of 0.00079 is told to six digits."""
    items = tuple(Item(f"{n}.png", n) for n in range(4))
    found = Found(0.5, 2, 1, ((1, 0.00212, False), (2, 0.00287, True), (3, 0.00291, False)))
    protocol = ProtocolView("general", "", "", ({"R1": 0.0},), (None,), (None,), (Query(0, ("best",), (found,)),), 1, (None,))
    (tmp_path / "page.html").write_bytes(render(Contents("t", "now", "1", (GroupView("d", ("e@v1",), None, (protocol,), items),))))
    captions = visit(tmp_path / "page.html").page.locator(".answer figcaption span:first-child").all_text_contents()
    assert captions == ["#1 · 0.002120", "#2 · 0.002870", "#3 · 0.002910"]


def test_filters(folder: Path, visit: Go) -> None:
    seen, table = visit(folder / "alone.html"), ranks(folder, "first")
    assert shown(seen) == len(table) == QUERIES
    choose(seen, "first answer wrong")
    wrong = sum(row["first_rank"] != "1" for row in table)
    assert shown(seen) == wrong and 0 < wrong < QUERIES
    choose(seen, "all shown")
    seen.page.get_by_label("AP from, %").fill("50")
    assert shown(seen) == sum(float(row["average_precision"]) >= 0.5 for row in table)
    seen.page.get_by_label("AP from, %").fill("0")
    seen.page.get_by_label("to, %").fill("49")
    assert shown(seen) == sum(float(row["average_precision"]) <= 0.49 for row in table)
    seen.page.get_by_label("to, %").fill("100")
    seen.page.get_by_label("Person", exact=True).fill("3")
    assert shown(seen) == QUERIES // PEOPLE
    seen.page.get_by_label("Person", exact=True).fill("33")
    assert shown(seen) == 0 and seen.page.locator(ENTRIES).count() == 0
    seen.page.get_by_label("Person", exact=True).fill("")
    for kind in ("best", "worst", "random"):
        choose(seen, kind)
        assert 0 < shown(seen) <= QUERIES
    choose(seen, "best")
    values = [float(str(text).split("AP ")[1].split()[0]) for text in seen.page.locator(".found > .facts").all_text_contents()]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(100 * max(float(row["average_precision"]) for row in table), abs=0.05)


def test_protocols_and_cloth_changing(folder: Path, visit: Go) -> None:
    """Under cloth-changing whoever is found first is found in other clothes; under same-clothes nobody is."""
    seen = visit(folder / "alone.html")
    for protocol, everybody in (("cloth-changing", True), ("same-clothes", False)):
        choose(seen, protocol)
        assert f"under {protocol} there are {QUERIES}" in str(seen.page.locator(COUNT).text_content())
        choose(seen, "cloth-changing: found in other clothes")
        right = sum(row["first_rank"] == "1" for row in ranks(folder, "first", protocol))
        assert shown(seen) == (right if everybody else 0)
        choose(seen, "all shown")


def test_several_side_by_side(folder: Path, visit: Go) -> None:
    seen = visit(folder / "page.html")
    first = seen.page.locator(ENTRIES).first
    assert first.locator(".strip").count() == 2
    assert [str(text).split(":")[0] for text in first.locator(".found > .facts").all_text_contents()] == ["first@v1", "second@v1"]
    choose(seen, "first answer wrong")
    either = shown(seen)
    seen.page.get_by_label("AP of").select_option("second@v1")
    wrong = sum(row["first_rank"] != "1" for row in ranks(folder, "second"))
    assert shown(seen) == wrong <= either
    rows = seen.page.locator("#settings-tables tr")
    assert rows.filter(has_text="zero_shot").first.is_visible() and not rows.filter(has_text="settings.batch_size").first.is_visible()
    seen.page.get_by_label("only what differs").uncheck()
    assert rows.filter(has_text="settings.batch_size").first.is_visible()


def test_keyboard(folder: Path, visit: Go) -> None:
    """Tab leads from the skip link through the filters to the lists; arrows choose, Enter opens more and goes on there."""
    seen = visit(folder / "alone.html")
    press = seen.page.keyboard.press
    press("Tab")
    assert seen.focused == "a Skip to the results"
    for _ in range(60):
        press("Tab")
        if seen.focused == "input#lists-0-filter-all":
            break
    assert seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    press("ArrowRight")
    assert seen.focused == "input#lists-0-filter-best"
    assert shown(seen) < QUERIES
    press("ArrowLeft")
    for _ in range(60):
        press("Tab")
        if seen.focused == "button#lists-0-more":
            break
        assert seen.focused.startswith(("input", "div Answers of"))
    press("Enter")
    assert seen.page.locator(ENTRIES).count() == QUERIES
    assert seen.focused.startswith("div Answers of first@v1")
    assert seen.page.evaluate("[...document.querySelectorAll('.strip')].indexOf(document.activeElement)") == 10


@pytest.mark.parametrize("name", ["page.html", "alone.html"])
@pytest.mark.parametrize("width", [320, PHONE[0], 768, 1280])
def test_the_page_does_not_scroll_sideways(folder: Path, visit: Go, name: str, width: int) -> None:
    seen = visit(folder / name, (width, 800))
    assert not seen.scrolls_sideways
    seen.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert not seen.scrolls_sideways


def test_what_is_seen_has_a_name(folder: Path, visit: Go) -> None:
    """Charts, pictures and controls are told to whoever does not see them."""
    seen = visit(folder / "page.html")
    nameless = """() => [...document.querySelectorAll('svg[role=img], [role=region], input, select')].filter(
      e => !(e.getAttribute('aria-label') || (e.labels && e.labels.length))).length"""
    assert seen.page.evaluate(nameless) == 0
    assert seen.page.locator("img:not([alt])").count() == 0
    assert seen.page.locator("svg[role=img]").count() >= 3 * (1 + 2) + 2  # CMC, distances, maps
    assert seen.page.evaluate(
        "[...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    )


def test_prints_what_is_folded_in_and_no_controls(folder: Path, visit: Go) -> None:
    seen = visit(folder / "alone.html")
    seen.page.emulate_media(media="print")
    assert not seen.page.locator(".controls").first.is_visible() and not seen.page.locator("nav").is_visible()
    seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert seen.page.locator("details:not([open])").count() == 0
