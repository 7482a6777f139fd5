"""A browser without a network shows every page and view of the site, from files and from a web server."""

import functools
import http.server
import json
import re
import shutil
import threading
import urllib.parse

import pytest

from tools import dashboard

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    """Return Chromium without a network and without windows, or skip where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    programs = [
        next(filter(None, map(shutil.which, names)), None)
        for names in (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",))
    ]
    if not all(programs):
        pytest.skip("there is no Chromium with its driver (Debian: apt-get install chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = programs[0]
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(programs[1]))
    yield driver
    driver.quit()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture(params=["file", "http"])
def address(request, folder):
    """Return where the site is to be read: as files, or from a web server of this machine."""
    if request.param == "file":
        yield folder.resolve().as_uri() + "/"
        return
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    ) as server:  # fmt: skip
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def check_logs(browser, address):
    """Fail where a page complained, or asked for something outside the site."""
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in severe if "favicon.ico" not in message]
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:", "about:"))]


def wait(browser, script, what):
    """Wait until a script returns something true; return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda _: browser.execute_script("return " + script), what)


#: Chooses every option of every list of an element in turn; calls check() after each; returns what it did not like.
EVERY_CHOICE = """
const wrong = [];
for (const select of [...arguments[0].querySelectorAll("select")]) {
  for (const option of [...select.options].reverse()) {
    select.value = option.value;
    select.dispatchEvent(new Event("change", {bubbles: true}));
    if (!(%s)) wrong.push([...arguments[0].querySelectorAll("select")].map((s) => s.value).join("|"));
  }
}
return wrong;
"""
DRAWN = "arguments[0].querySelectorAll('.scatterlayer .trace path.js-line').length > 0"
ONE_SHOWN = "arguments[0].querySelectorAll('.choice:not([hidden]) tbody tr').length > 0"


def test_every_page_shows_every_view_without_a_network(browser, address, folder, own_pages):
    from selenium.webdriver.common.by import By

    for page in own_pages:
        browser.get(address + page.relative_to(folder).as_posix())
        assert browser.find_element(By.TAG_NAME, "h1").text
        for figure in browser.find_elements(By.CSS_SELECTOR, "figure.interactive"):
            assert browser.execute_script(EVERY_CHOICE % DRAWN, figure) == [], page
        for group in browser.find_elements(By.CSS_SELECTOR, ".switched"):
            assert browser.execute_script(EVERY_CHOICE % ONE_SHOWN, group) == [], page
            assert len(browser.find_elements(By.CSS_SELECTOR, ".choice:not([hidden])")) == 1, page
        check_logs(browser, address)


def test_no_page_is_wider_than_a_telephone(browser, own_pages):
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for page in own_pages:
            browser.get(page.resolve().as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 400, page
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_figure_of_many_curves_shows_the_best_and_the_others_when_they_are_ticked(browser, folder):
    from selenium.webdriver.common.by import By

    browser.get((folder / "results" / "breast_cancer.html").resolve().as_uri())
    shown = lambda: len(browser.find_elements(By.CSS_SELECTOR, ".scatterlayer .trace path.js-line"))
    buttons = {b.text: b for b in browser.find_elements(By.CSS_SELECTOR, ".legend button")}
    assert list(buttons) == ["all 12", "none", "the best 10"]
    for text, n in (("all 12", 12), ("none", 0), ("the best 10", 10)):
        buttons[text].click()
        wait(browser, f"document.querySelectorAll('.legend input:checked').length === {n}", text)
        assert shown() == n
    browser.find_element(By.CSS_SELECTOR, ".legend input:not(:checked)").click()
    assert shown() == 11


@pytest.mark.parametrize("npm", [True, False])
def test_every_view_of_the_dashboards_works_without_a_network(browser, address, folder, npm, tmp_path, request):
    if not npm:
        request.getfixturevalue("no_npm")
        if address.startswith("http"):
            pytest.skip("the same pages as files show it")
        whole = folder / "dashboards"
        folder = tmp_path / "site"
        shutil.copytree(whole, folder / "dashboards", ignore=shutil.ignore_patterns("assets"))
        for page in (folder / "dashboards").glob("*.html"):  # as benchopt wrote them
            text = page.read_text(encoding="utf-8")
            text = re.sub("assets/gridjs/dist/gridjs.umd.js", "https://cdn.jsdelivr.net/npm/gridjs@6/gridjs.js", text)
            text = re.sub("assets/gridjs/.*?css", "https://cdn.jsdelivr.net/npm/gridjs@6/gridjs.css", text)
            text = re.sub("assets/plotly.min.js", "https://cdn.plot.ly/plotly-2.12.1.min.js", text)
            text = re.sub("assets/jquery/.*?js", "https://code.jquery.com/jquery-3.5.1.min.js", text)
            text = re.sub("assets/jquery-ui-dist/.*?js", "https://x.org/jqueryui/a.js", text)
            text = re.sub("assets/jquery-ui-dist/.*?css", "https://x.org/jqueryui/a.css", text)
            text = re.sub('assets/datatables.*?js"', 'https://cdn.datatables.net/a.js"', text)
            text = re.sub("assets/datatables.*?css", "https://cdn.datatables.net/a.css", text)
            page.write_text(text, encoding="utf-8")
        dashboard.localise(folder / "dashboards")
        address = folder.resolve().as_uri() + "/"
    elif not (folder / "dashboards" / "assets" / "gridjs").exists():
        pytest.skip("the packages of npm could not be had; the plain tables are tested")
    pages = [page for page in (folder / "dashboards").glob("*.html") if page.name != "index.html"]
    assert len(pages) == 2, "the list of runs, and the page of the file"
    for page in pages:
        browser.get(address + "dashboards/" + urllib.parse.quote(page.name))
        if not browser.execute_script("return typeof setState === 'function'"):
            wait(browser, "document.querySelectorAll('#summary tbody tr').length === 1", "the list of runs")
            check_logs(browser, address)
            continue
        for view in range(1, 5):
            browser.execute_script(f"setConfig(document.getElementsByClassName('view')[{view}])")
            wait(browser, f"({IS_DRAWN})()", f"view {view}")
        for kind in browser.execute_script("return [...document.getElementById('plot_kind')].map((o) => o.value)"):
            browser.execute_script("setState({plot_kind: arguments[0]})", kind)
            for name, values in browser.execute_script(LISTS, kind):
                unknown = "objective_h_gap" if name == "bilevel_curves_metric" else None  # on the first of the problems
                for value in sorted(values, key=lambda value: value != unknown):
                    browser.execute_script("setState({[arguments[0]]: arguments[1]})", name, value)
                    if value != unknown:
                        wait(browser, f"({IS_DRAWN})() || ({IS_TOLD})()", f"{kind}, {name} = {value}")
        check_logs(browser, address)


#: Whether the chart or the table of benchopt's page shows something.
IS_DRAWN = (
    "() => [...document.querySelectorAll('#plot_container .scatterlayer path.js-line, #table_container tbody tr')]"
    ".some((e) => e.offsetParent !== null || e.getBoundingClientRect().width > 0)"
)
#: Whether the chart says that its runs recorded nothing for it.
IS_TOLD = "() => document.querySelector('#plot_container .gtitle')?.textContent.includes('nothing recorded')"
#: The lists of a kind of chart on benchopt's page: name and values.
LISTS = (
    "return [...document.querySelectorAll(`select[id^=change_${arguments[0]}_]`)]"
    ".map((s) => [s.id.replace('change_', ''), [...s.options].map((o) => o.value)])"
)
