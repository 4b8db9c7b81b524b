"""A real JupyterLab, seen through a real browser."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import nbformat
import pytest
from themes import THEMES, dress

ROOT: Final = Path(__file__).parents[2]
BROWSER: Final = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED: Final = os.environ.get("AISDK_BROWSER") == "required"  # before the tests clean it away
UNSEEN: Final = "NO BROWSER: THE NOTEBOOKS WERE NOT SEEN. Install Debian's chromium to see them."
UNCHECKED: Final = "NO AXE-CORE: ACCESSIBILITY WAS NOT CHECKED. Name its file in AXE_CORE."
SIZE: Final = {"width": 1100, "height": 2600}
LONGEST_S: Final = 120  # that a notebook may take
RUN_ALL: Final = """
seconds => Promise.race([
  jupyterapp.commands.execute('notebook:run-all-cells'),
  new Promise((_, fail) => setTimeout(() => fail(Error('the cells took too long')), 1e3 * seconds)),
])
"""
STATE: Final = """
() => {
  const panel = jupyterapp.shell.currentWidget;
  const cells = panel.content.widgets.filter(cell => cell.model.type === 'code');
  return {
    kernel: panel.sessionContext?.session?.kernel?.status,
    pending: cells.filter(cell => cell.model.executionState === 'running').length,
    counts: cells.map(cell => cell.model.executionCount),
  };
}
"""
ERRORS: Final = """
() => jupyterapp.shell.currentWidget.content.widgets
  .filter(cell => cell.model.type === 'code')
  .flatMap(cell => cell.model.outputs.toJSON())
  .filter(output => output.output_type === 'error')
  .map(output => output.traceback.join('\\n'))
"""


class Lab:
    """The server, and its folder of notebooks."""

    def __init__(self, folder: Path, port: int, token: str) -> None:
        self.folder = folder
        self.address = f"http://127.0.0.1:{port}"
        self.token = token
        self.log = folder.parent / "lab.log"

    def write(self, name: str, *cells: str) -> str:
        """A notebook of these cells; its name."""
        book = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(book, self.folder / f"{name}.ipynb")
        return f"{name}.ipynb"


class Seen:
    """A notebook that is open in the browser, and what the browser asked for and complained of."""

    def __init__(self, page: Any, lab: Lab, pictures: Path | None) -> None:
        self._pictures = pictures
        self.page = page
        self.lab = lab
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(_as_http(socket.url)))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._listen)

    def open(self, name: str) -> None:
        """Opens the notebook in a workspace of its own and waits for its kernel."""
        place = f"{self.lab.address}/lab/workspaces/{secrets.token_hex(4)}/tree/{name}"
        self.page.goto(f"{place}?token={self.lab.token}")
        self.page.wait_for_selector(".jp-NotebookPanel-notebook", timeout=90_000)
        self.page.wait_for_function(f"({STATE})().kernel === 'idle'", timeout=90_000)

    def _listen(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def run_all(self, seconds: float = LONGEST_S) -> None:
        """Runs every cell and waits until the kernel rests; fails after two minutes."""
        self.page.evaluate(RUN_ALL, seconds)
        self.page.wait_for_function(
            f"(() => {{const s = ({STATE})(); return s.kernel === 'idle' && "
            "s.counts.every(count => count !== null);})()",
            timeout=30_000,
        )
        self.page.wait_for_timeout(500)

    def cell_errors(self) -> list[str]:
        """The errors that cells show."""
        found: list[str] = self.page.evaluate(ERRORS)
        return found

    def wait_for_error(self, seconds: float) -> str:
        """The first error that a cell shows."""
        self.page.wait_for_function(f"({ERRORS})().length > 0", timeout=seconds * 1_000)
        return self.cell_errors()[0]

    def strangers(self) -> list[str]:
        """Requests that left this machine."""
        local = (f"{self.lab.address}/", "data:", "blob:", f"{self.lab.address}?")
        return [url for url in self.requests if not url.startswith(local)]

    def keep(self, name: str) -> None:
        """Keeps a picture where ``--screenshots`` asks for one."""
        if self._pictures is not None:
            self._pictures.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(self._pictures / f"{name}.png"))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks, with nothing of the user's own."""
    if BROWSER is None:
        _miss(UNSEEN)
    own = Path(tempfile.mkdtemp(prefix="aisdk-"))
    folder = own / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns(".*"))
    _settle_in(own)
    port, token = _free_port(), secrets.token_hex(16)
    made = Lab(folder, port, token)
    with made.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # this interpreter, JupyterLab
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                f"--ServerApp.root_dir={folder}",
                f"--ServerApp.port={port}",
                f"--IdentityProvider.token={token}",
                "--LabApp.expose_app_in_browser=True",
            ],
            env=_variables(own),
            stdout=log,
            stderr=log,
        )
        try:
            _await(made, process)
            yield made
        finally:
            process.terminate()
            process.wait(30)
    shutil.rmtree(own, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, gone before the next file: playwright's loop lets no other one run."""
    if BROWSER is None:
        _miss(UNSEEN)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=BROWSER, args=flags)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def from_npm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], str]:
    """Reads a file of a package; where npm does not bring it, says what was not seen."""
    npm = shutil.which("npm")

    def read(package: str, file: str, unseen: str) -> str:
        folder = tmp_path_factory.mktemp("npm")
        if npm is None:
            _miss(unseen)
        command = [npm, "pack", package, "--silent", "--pack-destination", str(folder)]
        if subprocess.run(command, check=False, timeout=120).returncode:  # noqa: S603  # npm itself
            _miss(unseen)
        with tarfile.open(next(folder.glob("*.tgz"))) as packed:
            source = packed.extractfile(f"package/{file}")
            assert source is not None
            return source.read().decode()

    return read


@pytest.fixture(scope="session")
def axe(from_npm: Callable[[str, str, str], str]) -> str:
    """The source of axe-core: the file named by AXE_CORE, else from npm."""
    named = os.environ.get("AXE_CORE")
    if named:
        return Path(named).read_text("utf-8")
    return from_npm("axe-core", "axe.min.js", UNCHECKED)


@pytest.fixture
def see(lab: Lab, browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Seen]]:
    """Opens a notebook."""
    context = browser.new_context(viewport=SIZE)

    def open_one(name: str) -> Seen:
        seen = Seen(context.new_page(), lab, request.config.getoption("--screenshots"))
        seen.open(name)
        return seen

    yield open_one
    context.close()


def _miss(reason: str) -> NoReturn:
    """Skips what cannot be seen here; fails where ``AISDK_BROWSER=required`` asks to see it."""
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)  # loud: it says what was not seen, and how to see it


def _settle_in(own: Path) -> None:
    """No news, no questions, and every cell in the page whether it is in view or not."""
    config = own / "config" / "labconfig"
    config.mkdir(parents=True)
    news = "@jupyterlab/apputils-extension:announcements"
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": {news: True}}))
    settings = own / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    plain = json.dumps({"windowingMode": "none"})
    (settings / "tracker.jupyterlab-settings").write_text(plain)


def _variables(own: Path) -> dict[str, str]:
    """As on a machine without a login, where packages warn of what is missing."""
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "AISDK_HOME": "home",
    }
    kept = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    return {**kept, **{name: str(own / folder) for name, folder in folders.items()}}


def _as_http(url: str) -> str:
    """The address of a socket as that of its page."""
    return f"http{url.removeprefix('ws')}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _await(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "JupyterLab ended before it was ready"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(lab.address.rsplit(":", 1)[1]))) == 0:
                return
        time.sleep(0.2)
    pytest.fail("JupyterLab was not ready within a minute")


@pytest.fixture
def run_in(see: Callable[[str], Any]) -> Iterator[Callable[..., Any]]:
    """Opens a notebook, runs it, and returns it in a theme; leaves the light one behind."""
    opened: list[Any] = []

    def run(name: str, theme: str = THEMES[0]) -> Any:
        seen = see(name)
        opened.append(seen)
        dress(seen, theme)
        seen.run_all()
        return seen

    yield run
    for seen in opened:
        dress(seen, THEMES[0])


@pytest.fixture
def show(run_in: Any, lab: Any) -> Callable[..., Any]:
    """Runs a notebook of these cells in a theme."""

    def run(name: str, *cells: str, theme: str = THEMES[0]) -> Any:
        return run_in(lab.write(name, *cells), theme)

    return run
