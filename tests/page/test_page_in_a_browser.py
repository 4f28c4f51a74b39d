"""The page in Chromium: rows by keys, filters and search; nothing of a set runs; large sets."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from builders.recipe import row_id
from builders.schema import Row, user
from tests.cases import each
from tests.page.browser import CHROMIUM, Tab, tab
from tests.page.test_page import HOSTILE, made, rows_of, written

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium"),
]
STATE = "document.getElementById('state').textContent"
ROW = "document.getElementById('row').textContent"


def in_browser(page: Path, steps: Callable[[Tab], Awaitable[None]], **size: Any) -> None:
    """Open a page and take steps; what it logs, throws or asks a network for is a failure."""

    async def run() -> None:
        async with tab() as browser:
            await browser.open(page, **size)
            await steps(browser)
            wrong = ("Log.entryAdded", "Runtime.exceptionThrown", "Audits.issueAdded")
            assert [one for one in browser.events if one["method"] in wrong] == []
            asked = [one for one in browser.events if one["method"] == "Network.requestWillBeSent"]
            assert {one["params"]["request"]["url"] for one in asked} == {page.as_uri()}

    asyncio.run(run())


def many(rows: int) -> dict[str, list[Row]]:
    """Pairs, and as many dropped rows for two reasons."""
    some = rows_of("a")
    pair, dropped = some["default"][0], some["dropped"][0]
    prompts = [user(f"Question {number}?") for number in range(rows)]
    reasons = ("tie", "refusal") * rows
    return {
        "default": [pair | {"id": row_id(prompt), "prompt": prompt} for prompt in prompts],
        "dropped": [
            dropped | {"id": f"d{n}", "reason": reason, "evidence": json.dumps({"prompt": prompt})}
            for n, (reason, prompt) in enumerate(zip(reasons, prompts, strict=False))
        ],
        "calls": [],
    }


async def find(browser: Tab, text: str) -> str:
    """Search, and give what the page states when it has searched all rows."""
    await browser.value(
        f"(() => {{ const box = document.getElementById('search'); box.value = {text!r};"
        "box.dispatchEvent(new Event('input')); })()"
    )
    await asyncio.sleep(0.3)  # a search waits until no key was pressed for 0.18 s
    await browser.until(f"!{STATE}.includes('searched')")
    return str(await browser.value(STATE))


@each("text", HOSTILE)
def test_nothing_of_a_set_runs_or_becomes_an_element(text: str, tmp_path: Path) -> None:
    folder = written(tmp_path / str(len(list(tmp_path.iterdir()))), rows_of(text))
    html = tmp_path / "set.html"
    made(folder, html)

    async def steps(browser: Tab) -> None:
        assert text.replace("\x00", "") in (await browser.value(ROW)).replace("\x00", "")
        for place in range(3):  # each config
            await browser.value(f"document.querySelectorAll('#configs button')[{place}].click()")
            await browser.until("document.querySelector('#row header')")
            await browser.press("o")
        assert not await browser.value("!!document.querySelector('img, iframe, main script')")

    in_browser(html, steps)


def test_keys_filters_and_search_choose_rows(tmp_path: Path) -> None:
    html = tmp_path / "set.html"
    made(written(tmp_path / "draft", many(300)), html)

    async def steps(browser: Tab) -> None:
        await browser.until(f"{ROW}.includes('Question 0?')")
        for key, shown in (("j", "1"), ("j", "2"), ("k", "1")):
            await browser.press(key)
            await browser.until(f"{ROW}.includes('Question {shown}?')")
        await browser.value("document.getElementById('list').focus()")
        await browser.press("End", 35)
        await browser.until(f"{ROW}.includes('Question 299?')")
        chosen = "document.querySelector('[aria-selected=true]')"
        assert await browser.value(f"{chosen}.getAttribute('aria-posinset')") == "300"
        active = "document.getElementById('list').getAttribute('aria-activedescendant')"
        assert await browser.value(active) == await browser.value(f"{chosen}.id")
        assert await find(browser, "question 17") == "11 of 300 rows"  # 17 and 170 to 179
        assert await find(browser, "A WORSE") == "300 of 300 rows"  # an answer, not an opening
        assert await browser.value("document.querySelectorAll('#row mark').length") > 0
        assert await find(browser, "score_chosen") == "0 of 300 rows"  # a column's name is no text
        await browser.press("Escape", 27)
        await browser.until(f"{STATE} === '300 of 300 rows'")
        await browser.value("document.querySelectorAll('#funnel button')[1].click()")
        assert await browser.value(STATE) == "150 of 300 rows"
        reason = "document.getElementById('reason').selectedOptions[0].text"
        assert await browser.value(reason) == "refusal"
        await browser.until(f"{ROW}.includes('See the row that was kept')")
        await browser.value("document.querySelector('#row .step').click()")
        await browser.until(f"{ROW}.includes('worse')")  # its rejected answer
        assert await browser.value(STATE) == "300 of 300 rows"

    in_browser(html, steps)


@each(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True), (320, False)])
def test_each_width_has_no_sideways_scroll_and_each_text_enough_contrast(
    width: int, dark: bool, tmp_path: Path
) -> None:
    html = tmp_path / "set.html"
    if not html.exists():
        made(written(tmp_path / "draft", rows_of("word " * 60 + "x" * 300)), html)

    async def steps(browser: Tab) -> None:
        await browser.press("o")  # what is folded too
        assert await browser.value("document.documentElement.scrollWidth") <= width
        assert await browser.value(STICKING_OUT) == []
        assert await browser.value(CONTRASTS) == []

    in_browser(html, steps, width=width, dark=dark)


# What is wider than the card that it is in.
STICKING_OUT = """
[...document.querySelectorAll(".card, .answer, .turn")]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)
"""
# Texts whose contrast with the nearest opaque ground behind them is below 4.5 (WCAG 2.2, AA).
CONTRASTS = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => color.slice(0, 3).map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const poor = [];
  for (const node of document.querySelectorAll("body *:not(script, noscript, .skip, .hidden)")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || !node.checkVisibility()) continue;
    let ground = node;
    const color = () => rgba(getComputedStyle(ground).backgroundColor);
    while (ground !== document.body && color()[3] < 255) ground = ground.parentElement;
    const behind = light(color());
    const text = light(rgba(getComputedStyle(node).color));
    const contrast = (Math.max(behind, text) + 0.05) / (Math.min(behind, text) + 0.05);
    if (contrast < 4.5) poor.push([node.tagName, node.className, contrast, node.textContent]);
  }
  return poor;
})()
"""


def test_every_control_has_a_name(tmp_path: Path) -> None:
    html = tmp_path / "set.html"
    made(written(tmp_path / "draft", rows_of("a")), html)

    async def steps(browser: Tab) -> None:
        await browser.send("Accessibility.enable")
        nodes = (await browser.send("Accessibility.getFullAXTree"))["nodes"]
        need = {"button", "textbox", "searchbox", "combobox", "listbox", "option", "image"}
        controls = [one for one in nodes if one.get("role", {}).get("value") in need]
        assert len(controls) > 10
        assert [one for one in controls if not one.get("name", {}).get("value")] == []

    in_browser(html, steps)


def test_one_row_and_one_call_are_named_in_the_singular(tmp_path: Path) -> None:
    html = tmp_path / "set.html"
    made(written(tmp_path / "draft", rows_of("a")), html)

    async def steps(browser: Tab) -> None:
        assert await browser.value(STATE) == "1 of 1 row"
        assert "1 call to teachers" in await browser.value(ROW)
        line = "document.getElementById('cost-line').textContent"
        assert await browser.value(line) == "1 call, 7 tokens"

    in_browser(html, steps)


def test_a_set_without_rows_says_so(tmp_path: Path) -> None:
    html = tmp_path / "set.html"
    made(written(tmp_path / "draft", {"default": [], "dropped": [], "calls": []}), html)

    async def steps(browser: Tab) -> None:
        assert "no rows yet" in await browser.value(ROW)

    in_browser(html, steps)


def test_50_000_rows_are_listed_opened_and_searched_in_seconds(tmp_path: Path) -> None:
    html = tmp_path / "set.html"
    made(written(tmp_path / "draft", many(25_000)), html)

    async def steps(browser: Tab) -> None:
        assert await browser.value("document.querySelectorAll('.item').length") < 50
        assert await browser.value("performance.memory.usedJSHeapSize") < 150_000_000
        assert await browser.value("performance.now()") < 15_000
        async with asyncio.timeout(30):
            assert await find(browser, "question 24999?") == "1 of 25,000 rows"
            assert await find(browser, "a worse") == "25,000 of 25,000 rows"

    in_browser(html, steps)
