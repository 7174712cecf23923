"""The report in a real browser: `make test-browser`, with Debian's Chromium."""

import shutil

import pytest
import test_report

from keras_reinit.report import report

webdriver = pytest.importorskip("selenium.webdriver")
pytestmark = pytest.mark.browser
LIGHT, DARK, PHONE = ((1280, "light"), (1280, "dark"), (390, "light"))


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd(  # The page must need no network.
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return report.write(test_report.noisy_rows(), folder)[2]


def show(browser, path, look):
    width, scheme = look
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(path.as_uri())
    return browser.execute_script


@pytest.mark.parametrize("look", [LIGHT, DARK, PHONE])
def test_it_renders_without_errors_and_fits_the_screen(browser, path, look):
    run = show(browser, path, look)
    assert run("return document.querySelector('h1').textContent") == report.TITLE
    assert run("return document.querySelectorAll('svg').length") >= 6
    assert run("return document.documentElement.scrollWidth") <= look[0]
    assert browser.get_log("browser") == []
    # Text is not set smaller than can be read.
    sizes = run("return [...document.querySelectorAll('p, td, a')]"
                ".map(e => parseFloat(getComputedStyle(e).fontSize))")  # fmt: skip
    assert min(sizes) >= 14


def test_figures_take_the_color_of_the_text(browser, path):
    colors = [
        show(browser, path, look)(
            "return getComputedStyle(document.querySelector('svg text')).fill"
        )
        for look in (LIGHT, DARK)
    ]
    assert colors == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


def test_every_figure_says_what_it_shows(browser, path):
    labels = show(browser, path, LIGHT)(
        "return [...document.querySelectorAll('svg')]"
        ".map(e => e.closest('[role=img]').getAttribute('aria-label'))"
    )
    assert all("shrink_perturb" in label for label in labels)


def test_wide_tables_scroll_in_place_on_a_phone(browser, path):
    run = show(browser, path, PHONE)
    inner, outer = run(
        "const e = document.querySelectorAll('.wide')[1];"
        "return [e.scrollWidth, e.clientWidth]"
    )
    assert inner > outer and outer <= 390
