"""Looks at the page of `whimbrel bench report` in a real browser: wide and on a phone, light and dark, without scripts, printed.

`python -m bench_report.check [--keep DIR]`: screenshots stay in DIR. Needs WHIMBREL and Debian's chromium.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from bench_report import sample
from bench_report.browser import Browser

INSPECT = (Path(__file__).parent / "inspect.js").read_text()
SECTIONS = ["summary", "matrix", "percentiles", "time", "uptime", "cost", "verification", "generator", "setup"]
WIDTHS = (1400, 768, 390)
SVG = "{http://www.w3.org/2000/svg}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=Path, default=Path(".test/bench-report"), help="where screenshots go")
    keep = parser.parse_args().keep
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        pages = Pages(Path(folder))
        lines = list(sample.lines())
        page = pages.make("full", lines)
        check("every section is there, and the text around", lambda: whole_page(browser, page))
        for width in WIDTHS:
            for dark in (False, True):
                name = f"{width} px, {'dark' if dark else 'light'}"
                check(f"nothing overflows, overlaps or fades at {name}", lambda: layout(browser, page, width, dark, keep))
        check("light is light and dark is dark", lambda: schemes(browser, page))
        check("names that try to be markup stay text", lambda: hostile(browser, page))
        check("a plot is read off under the pointer", lambda: pointer(browser, page))
        check("everything is there without scripts", lambda: without_scripts(browser, page))
        check("it prints, with what was folded", lambda: printed(browser, page, keep))
        few = {
            "one point on one system": [lines[0], lines[1]],
            "a run without points": [lines[0]],
            "a point without a run": [lines[1]],
            "nothing": [],
            "a point without records": [lines[0], empty(lines[1])],
            "six systems": [lines[0], *six_systems(lines)],
        }
        for name, some in few.items():
            sparse = pages.make(name.replace(" ", "-"), some)
            check(f"a page of {name}", lambda: [layout(browser, sparse, width, False, None) for width in (1400, 390)])
        check("a page of a sweep over partitions", lambda: swept(browser, pages.make("sweep", sweep(lines))))
        check("each plot is a file of its own", lambda: files(browser, pages))
        check("faults that are planted are found", lambda: planted(browser, page))


class Pages:
    """Where pages and plots are made."""

    def __init__(self, folder):
        self.folder = folder

    def make(self, name, lines):
        run = self.folder / name
        run.mkdir()
        (run / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        subprocess.run([os.environ["WHIMBREL"], "bench", "report", run, "--svg", run / "plots"], check=True, stdout=subprocess.DEVNULL)
        return (run / "report.html").as_uri()


def check(name, look):
    look()
    print(f"ok  {name}")


def show(browser, page, width=1400, dark=False):
    browser.look(width, dark)
    browser.open(page)
    quiet(browser, page)


def quiet(browser, page):
    """No error in the console, and nothing asked for but the page."""
    said = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening"}
    assert not (errors := [event for event in browser.events if event["method"] in said]), errors
    asked = [event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [page], asked


def whole_page(browser, page):
    show(browser, page)
    found = browser.evaluate("[...document.querySelectorAll('main > section')].map((section) => section.id)")
    assert found == SECTIONS, found
    links = browser.evaluate("[...document.querySelectorAll('nav a')].map((link) => !!document.querySelector(link.hash))")
    assert links == [True] * len(SECTIONS), links
    ids = browser.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids)), sorted(name for name in ids if ids.count(name) > 1)
    text = browser.evaluate("document.body.innerText")
    for expected in ("37 acknowledged records were lost", "4 records were stored twice", "The load generator was the bottleneck",
                     "whimbrel bench run --scenario paper", "loopback copy 5.31 GB/s", "10 k/s, 1 KiB", "broker 1 killed", "request timed out"):
        assert expected in text, f"{expected!r} is not on the page"
    counts = browser.evaluate("""Object.fromEntries(['matrix', 'percentiles', 'time', 'uptime', 'cost'].map(
        (id) => [id, document.querySelectorAll(`#${id} figure svg`).length]))""")
    # Four figures by two systems and their ratio; two latencies of ten points; one plot a point, two where there are faults.
    assert counts == {"matrix": 12, "percentiles": 20, "time": 11, "uptime": 2, "cost": 6}, counts
    for name in ("th:not([scope])", "svg[role=img]:not([aria-labelledby]):not([aria-label])", "figure svg:not(:has(desc))"):
        assert browser.evaluate(f"document.querySelectorAll({json.dumps(name)}).length") == 0, name
    bands = browser.evaluate("document.querySelectorAll('#time .fault').length")
    assert bands == 4, bands


def layout(browser, page, width, dark, keep):
    show(browser, page, width, dark)
    for folded in (True, False):
        if not folded:
            browser.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        wrong = browser.evaluate(INSPECT)
        assert not wrong, f"{len(wrong)} faults:\n  " + "\n  ".join(wrong[:20])
        if keep and folded:
            browser.screenshot(keep / f"{width}-{'dark' if dark else 'light'}.png")


def schemes(browser, page):
    found = {}
    for dark in (False, True):
        show(browser, page, dark=dark)
        found[dark] = browser.evaluate("""[document.body, document.querySelector('figure svg rect.s0')].map((element) =>
            getComputedStyle(element)[element.localName === 'rect' ? 'fill' : 'backgroundColor'])""")
    assert found[False][0] == "rgb(255, 255, 248)" and found[True][0] == "rgb(21, 21, 20)", found
    assert found[False][1] != found[True][1], found


def hostile(browser, page):
    show(browser, page)
    counts = browser.evaluate("['script', 'img', 'iframe', 'object', '[onerror]'].map((name) => document.querySelectorAll(name).length)")
    assert counts == [1, 0, 0, 0, 0], counts
    assert "<script>alert(1)</script>" in browser.evaluate("document.body.innerText")
    assert "\u202e" not in browser.evaluate("document.documentElement.outerHTML")


def pointer(browser, page):
    show(browser, page)
    place = browser.evaluate("""(() => {
        const plot = document.querySelector('#percentiles figure svg');
        plot.scrollIntoView({ block: 'center', behavior: 'instant' });
        const box = plot.getBoundingClientRect();
        return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
    })()""")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
    shown = browser.evaluate("(() => { const box = document.querySelector('#reading'); return box.hidden ? '' : box.innerText; })()")
    assert shown.startswith("p9") and "Whimbrel 0.1.0" in shown and "Kafka 3.9.2" in shown, shown
    quiet(browser, page)


def without_scripts(browser, page):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        show(browser, page)
        tree = browser.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        plots = browser.call("DOM.querySelectorAll", nodeId=tree, selector="figure svg > title")["nodeIds"]
        assert len(plots) == 51, len(plots)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def printed(browser, page, keep):
    import base64

    show(browser, page)
    pdf = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    (keep / "printed.pdf").write_bytes(pdf)
    assert pdf.startswith(b"%PDF") and 50_000 < len(pdf), len(pdf)
    browser.look(1000, media="print")
    folded = browser.evaluate("[...document.querySelectorAll('details table')].filter((table) => table.getBoundingClientRect().height < 20).length")
    assert folded == 0, folded


def files(browser, pages):
    plots = sorted((pages.folder / "full" / "plots").glob("*.svg"))
    assert len(plots) == 51, len(plots)
    for plot in plots:
        root = ElementTree.parse(plot).getroot()
        assert root.tag == SVG + "svg" and root.find(SVG + "title").text and root.find(SVG + "desc").text, plot
    for plot in (plots[0], plots[-1]):
        browser.look(800)
        browser.open(plot.as_uri())
        quiet(browser, plot.as_uri())
        wide = browser.evaluate("Math.max(...[...document.querySelectorAll('text')].map((text) => text.getBBox().x + text.getBBox().width))")
        assert wide <= browser.evaluate("document.documentElement.viewBox.baseVal.width") + 2, (plot, wide)


# What each check must find, and how it is brought about.
PLANTED = {
    "the page is": "document.querySelector('h1').style.width = '3000px'",
    "beyond the edge": "document.querySelector('h1').style.marginLeft = '-99px'",
    "text runs over": "document.querySelector('.lede').style.cssText = 'width: 60px; white-space: nowrap'",
    "the section time is": "document.querySelector('#time').style.cssText = 'height: 5px; overflow: hidden'",
    "has no marks": "document.querySelectorAll('#time figure svg [class*=s0], #time figure svg [class*=s1]').forEach((mark) => mark.remove())",
    "no number in": "document.querySelector('#percentiles figure polyline').setAttribute('points', 'NaN,1')",
    "outside the plot": "document.querySelector('#percentiles text').setAttribute('x', '-40')",
    "lies over \"": "document.querySelectorAll('#percentiles figure text').forEach((text) => text.setAttribute('y', '50'))",
    "contrast": "document.querySelector('.lede').style.color = '#bbb'",
}


def planted(browser, page):
    for expected, plant in PLANTED.items():
        show(browser, page)
        browser.evaluate(plant)
        wrong = browser.evaluate(INSPECT)
        assert any(expected in line for line in wrong), f"{expected!r} is not among {wrong[:5]}"
    for plant, event in {
        "console.log('hello')": "Runtime.consoleAPICalled",
        "fetch('http://127.0.0.1:1/').catch(() => 0); 0": "Log.entryAdded",
        "setTimeout(() => alert(1)); 0": "Page.javascriptDialogOpening",
    }.items():
        show(browser, page)
        browser.evaluate(plant)
        browser.wait_for(event)
        if "Dialog" in event:
            browser.call("Page.handleJavaScriptDialog", accept=True)
        try:
            quiet(browser, page)
        except AssertionError:
            continue
        raise RuntimeError(f"{plant!r} went unseen")


def swept(browser, page):
    layout(browser, page, 1400, False, None)
    layout(browser, page, 390, True, None)
    assert browser.evaluate("document.querySelectorAll('#sweeps figure svg').length") == 5


def sweep(lines):
    yield lines[0]
    for line in lines:
        if line["kind"] == "point" and line["name"] == "rate=10000 record_bytes=1024":
            for partitions in (1, 10, 1000, 100_000):
                yield line | {"name": f"partitions={partitions}", "workload": line["workload"] | {"partitions": partitions}}


def empty(point):
    nothing = {"count": 0, "mean_us": 0, "min_us": 0, "p50_us": 0, "p90_us": 0, "p99_us": 0, "p999_us": 0, "max_us": 0, "histogram": ""}
    flow = {"records": 0, "bytes": 0, "records_per_s": 0, "mb_per_s": 0}
    verification = {"acknowledged": 0, "read": 0, "lost": 0, "duplicated": 0, "reordered": 0, "is_complete": False}
    return point | {
        "produced": flow, "consumed": flow, "ack_latency": nothing, "end_to_end_latency": nothing, "series": [], "cost": [],
        "verification": verification,
    }


def six_systems(lines):
    points = [line for line in lines if line["kind"] == "point" and line["workload"]["record_bytes"] == 100]
    for index, name in enumerate(("whimbrel", "kafka", "whimbrel", "kafka", "10.0.0.1:9092,10.0.0.2:9092,10.0.0.3:9092", "another")):
        for point in points:
            if point["system"]["name"] == "kafka":
                yield point | {"system": point["system"] | {"name": name, "brokers": index + 1, "settings": {}}}


if __name__ == "__main__":
    main()
