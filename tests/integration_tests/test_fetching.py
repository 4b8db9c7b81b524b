"""Fetching over HTTP: each wall against a real server, and the same without the wall."""

from __future__ import annotations

import io
import itertools
import socket
import ssl
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from webfetch import GUARDED, OPEN, fetch, fetch_naively, named, reason
from webserver import WebServer, anonymous_tls, found, redirect, serving

import aisdk
from aisdk.core.documents.access import Access, is_public
from aisdk.core.documents.fetching import MOST_REDIRECTS
from aisdk.errors import AddFailed, Unreadable
from aisdk.settings import URL_SCHEMES, Settings


class Neighbourly(Access):
    """Takes 127.0.0.1 for public, so that a test has a first server that may be reached."""

    def allows_address(self, address: str) -> bool:
        """Public addresses, and that one."""
        return address == "127.0.0.1" or is_public(address)


NEIGHBOURLY: Final = Neighbourly(schemes=frozenset(URL_SCHEMES), timeout_s=20)


@pytest.fixture
def server() -> Iterator[WebServer]:
    """A server that has a text at every path."""
    with serving(lambda _: [found(b"text")]) as made:
        yield made


# --- addresses

LOOPBACK: Final = """
    127.0.0.1 127.0.0.1. localhost LOCALHOST localhost. LocalHost 127.1 127.0.1 127.00.0.1
    127.0.0.01 127.0.0.001 0127.0.0.1 0177.0.0.1 0x7f.0.0.1 0x7f.1 0x7f000001 0X7F000001
    0x7f.0x0.0x0.0x1 0x07f000001 2130706433 02130706433 017700000001 0017700000001 127.0x1 0177.1
    0 0.0.0.0 0.0 00 0x0 0.0.0.0. 127.0.0.1%00 127.0.0.1%20
    [::1] [0:0:0:0:0:0:0:1] [0000::0001] [::0.0.0.1] [::] [::1%25lo] [::1%lo]
    [::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:7F00:0001] [0:0:0:0:0:ffff:7f00:1] [::ffff:0:0]
    [::127.0.0.1] [::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::127.0.0.1]
    [2002:7f00:1::] [2002:7f00:1::1] [::ffff:0:127.0.0.1]
    %31%32%37.0.0.1 127%2e0%2e0%2e1 %6cocalhost \uff11\uff12\uff17.0.0.1 \u2460\u2461\u2466.0.0.1
    \u24dbocalhost 127\u30020\u30020\u30021 127\uff0e0\uff0e0\uff0e1 127\uff610\uff610\uff611
    user@127.0.0.1 192.0.2.1@127.0.0.1 user:pass@localhost a@b@127.0.0.1
    127.0.0.1\\@192.0.2.1 192.0.2.1\\@127.0.0.1 127.0.0.1#@192.0.2.1
    127.0.0.1\t \t127.0.0.1 127.\t0.0.1
"""
ELSEWHERE: Final = """
    169.254.169.254 0xa9fea9fe 2852039166 169.254.43518 [::ffff:169.254.169.254] [fd00:ec2::254]
    [fe80::1] [fe80::1%25eth0] 10.0.0.1 10.1 172.16.0.1 192.168.0.1 192.168.1 100.64.0.1 198.18.0.1
    224.0.0.1 [ff02::1] 240.0.0.1 255.255.255.255 [fc00::1] [fec0::1] [2001:db8::1] 192.0.2.1
"""


def spelled(table: str) -> list[str]:
    """The entries of a table, apart by spaces and line ends only."""
    return [entry for line in table.split("\n") for entry in line.split(" ") if entry]


class Here(Access):
    """The control's: connects to this machine, and to no other."""

    def allows_address(self, address: str) -> bool:
        """Whether it is this machine's, in one of the forms that sockets take."""
        return address in ("127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:7f00:1")  # noqa: S104


@pytest.fixture
def here() -> Iterator[list[WebServer]]:
    """Servers on one port of this machine: by IPv4 and, where it has that, by IPv6."""
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(lambda _: [found(b"text")]))]
        with suppress(OSError):
            again = serving(lambda _: [found(b"text")], "::1", port=servers[0].port)
            servers.append(stack.enter_context(again))
        yield servers


@pytest.mark.parametrize("host", spelled(LOOPBACK) + spelled(ELSEWHERE))
def test_fetch_odd_address_is_refused(here: list[WebServer], host: str) -> None:
    """However this machine or its network is spelled, no request arrives."""
    reason(f"http://{host}:{here[0].port}/a.txt", replace(GUARDED, timeout_s=5))
    assert sum(server.hits for server in here) == 0


def test_fetch_odd_address_without_the_wall_arrives(here: list[WebServer]) -> None:
    """The control: many of these spellings do lead to this machine."""
    arrived = set()
    for host in spelled(LOOPBACK):
        before = sum(server.hits for server in here)
        try:
            fetch(f"http://{host}:{here[0].port}/a.txt", Here(GUARDED.schemes, timeout_s=5))
        except (Unreadable, aiohttp.ClientError):
            continue
        assert sum(server.hits for server in here) == before + 1
        arrived.add(host)
    assert {"127.0.0.1", "localhost", "0x7f000001", "[::ffff:127.0.0.1]"} <= arrived
    assert len(here) == 1 or "[::1]" in arrived
    assert len(arrived) > 20


@pytest.mark.parametrize(
    "there",
    [
        "http://127.0.0.2:{port}/b.txt",
        "//127.0.0.2:{port}/b.txt",
        "http://user:pass@127.0.0.2:{port}/b.txt",
        "http://0x7f000002:{port}/b.txt",
        "http://[::ffff:127.0.0.2]:{port}/b.txt",
        "http://[::ffff:7f00:2]:{port}/b.txt",
    ],
)
def test_fetch_redirect_to_a_private_address_is_refused(there: str) -> None:
    """The second server is never asked; without the wall it is."""
    with (
        serving(lambda _: [found(b"inside")], "127.0.0.2") as inside,
        serving(lambda _: [redirect(there.format(port=inside.port))]) as outside,
    ):
        assert reason(outside.url(), NEIGHBOURLY) == "private_address"
        assert (outside.hits, inside.hits) == (1, 0)
        assert fetch(outside.url()) == b"inside"
        assert inside.hits == 1


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives the name rebind.test addresses: those of each lookup in turn, then the last."""

    def give(*lookups: list[str]) -> None:
        answers = itertools.chain(lookups, itertools.repeat(lookups[-1]))
        ask = socket.getaddrinfo

        def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if host != "rebind.test":
                return ask(host, port, *args, **kwargs)
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*kind, (address, port)) for address in next(answers)]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return give


def test_fetch_name_that_changes_its_address_is_refused(names: Callable[..., None]) -> None:
    """A name is public when it is first asked for and private afterwards."""
    with (
        serving(lambda _: [found(b"inside")], "127.0.0.2") as inside,
        serving(lambda _: [redirect(inside.url(host="rebind.test"))]) as outside,
    ):
        url = outside.url(host="rebind.test")
        names(["127.0.0.1"], ["127.0.0.2"])
        assert reason(url, NEIGHBOURLY) == "private_address"
        assert (outside.hits, inside.hits) == (1, 0)
        names(["127.0.0.1"], ["127.0.0.2"])
        assert fetch(url) == b"inside"  # the control: the names do lead there


def test_fetch_name_that_changes_between_check_and_use_is_refused(
    names: Callable[..., None],
) -> None:
    """The address that is checked is the one that is connected to; a check before it is none."""
    with serving(lambda _: [found(b"inside")], "127.0.0.2") as inside:
        url = inside.url(host="rebind.test")
        names(["127.0.0.1"], ["127.0.0.2"])
        first = socket.getaddrinfo("rebind.test", inside.port)[0][4][0]
        assert NEIGHBOURLY.allows_address(str(first))
        assert reason(url, NEIGHBOURLY) == "private_address"
        assert inside.hits == 0
        assert fetch_naively(url) == b"inside"  # the control: checked by name, then fetched


def test_fetch_name_with_two_addresses_takes_the_public_one(names: Callable[..., None]) -> None:
    """A private address beside a public one is passed over."""
    with (
        serving(lambda _: [found(b"inside")], "127.0.0.2") as inside,
        serving(lambda _: [found(b"outside")], port=inside.port) as outside,
    ):
        names(["127.0.0.2", "127.0.0.1"])
        url = inside.url(host="rebind.test")
        assert fetch(url, NEIGHBOURLY) == b"outside"
        assert (inside.hits, outside.hits) == (0, 1)
        assert fetch(url) == b"inside"  # the control: it comes first


# --- hosts, schemes, redirects


def test_fetch_host_that_is_not_listed_is_refused(server: WebServer) -> None:
    """By name and before a connection is opened."""
    listed = replace(OPEN, hosts=("localhost",))
    assert reason(server.url(), listed) == "host_refused"
    assert server.hits == 0
    assert fetch(server.url(host="localhost"), listed) == b"text"
    assert fetch(server.url()) == b"text"


def test_fetch_redirect_to_a_host_that_is_not_listed_is_refused(server: WebServer) -> None:
    """The list holds for every step."""
    with serving(lambda _: [redirect(server.url())]) as first:
        url = first.url(host="localhost")
        assert reason(url, replace(OPEN, hosts=("localhost",))) == "host_refused"
        assert (first.hits, server.hits) == (1, 0)
        assert fetch(url) == b"text"
        assert server.hits == 1


@pytest.mark.parametrize(
    "there",
    [
        *(
            "file:///etc/hostname",
            "ftp://127.0.0.1/a",
            "FILE:///etc/hostname",
            "gopher://127.0.0.1/",
        ),
        *(
            "javascript:alert(1)",
            "data:text/plain,x",
            "ws://127.0.0.1/",
            "unix:///run/x",
            "tcp://h:1",
        ),
        *("http://", "http://[::1", "http://a:b:c/", "https://127.0.0.1:99999/"),
    ],
)
def test_fetch_redirect_to_what_is_not_http_is_refused(there: str) -> None:
    """One request, and nothing of what the redirect names."""
    with serving(lambda _: [redirect(there)]) as server:
        assert reason(server.url()) in ("redirect_refused", "not_readable")
        assert server.hits == 1


def test_fetch_scheme_is_checked_at_every_step(server: WebServer) -> None:
    """Not only where the URL is taken in."""
    for url in (server.url(), server.url().upper()):
        with pytest.raises(Unreadable) as error:
            fetch(url, replace(OPEN, schemes=frozenset({"https"})))
        assert error.value.reason == "scheme_refused"
        assert server.hits == 0
    assert fetch(server.url(), replace(OPEN, schemes=frozenset({"http"}))) == b"text"


def test_fetch_redirect_from_https_to_http_is_refused(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What began encrypted stays so; from http to https is the good direction."""
    trusting = anonymous_tls(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)
    tls = anonymous_tls(ssl.PROTOCOL_TLS_SERVER)
    there = {"/down": redirect(server.url()), "/a.txt": found(b"safe")}
    with serving(lambda path: [there[path]], tls=tls) as safe:
        url = safe.url("/down").replace("http", "https", 1)
        assert reason(url) == "redirect_refused"
        assert (safe.hits, server.hits) == (1, 0)
        assert fetch_naively(url) == b"text"  # the control: aiohttp itself follows
        with serving(lambda _: [redirect(safe.url().replace("http", "https", 1))]) as plain:
            assert fetch(plain.url()) == b"safe"


def test_fetch_redirects_without_end_are_refused() -> None:
    """As many as allowed are followed, one more is not."""

    def answer(path: str) -> list[bytes]:
        left = int(path.strip("/"))
        return [redirect(f"/{left - 1}", status=(301, 302, 303, 307, 308)[left % 5])]

    with serving(answer) as server:
        assert reason(server.url("/1000000")) == "redirect_refused"
        assert server.hits == MOST_REDIRECTS + 1
    with serving(lambda path: answer(path) if path != "/0" else [found(b"end")]) as server:
        assert fetch(server.url(f"/{MOST_REDIRECTS}")) == b"end"
        assert reason(server.url(f"/{MOST_REDIRECTS + 1}")) == "redirect_refused"
    with serving(lambda _: [redirect("/same")]) as server:
        assert reason(server.url("/same")) == "redirect_refused"
        assert server.hits == MOST_REDIRECTS + 1


def test_fetch_credentials_stay_with_their_host(server: WebServer) -> None:
    """Another host, or port, gets neither password nor cookie; the same one gets the password."""
    cookie = "Set-Cookie: session=hunter2; Path=/"
    there = {"/away": server.url(host="localhost"), "/here": "/end"}

    def answer(path: str) -> list[bytes]:
        return [redirect(there[path], cookie) if path in there else found(b"end", cookie)]

    with serving(answer) as first:
        for path in there:
            fetch(f"http://user:hunter2@localhost:{first.port}{path}")
        assert ["Authorization: Basic" in request for request in first.requests] == [True] * 3
        assert ["Authorization" in request for request in server.requests] == [False]
        assert ["Cookie: " in request for request in first.requests + server.requests] == [
            False
        ] * 4
        fetch_naively(first.url("/here", host="localhost"))
        assert "Cookie: session=hunter2" in first.requests[-1]  # the control: a plain session


def test_fetch_environment_is_not_asked(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy nor a password that this process's environment names is used."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login user password hunter2")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(lambda _: [found(b"by proxy")]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
        monkeypatch.setenv("http_proxy", proxy.url(""))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert fetch(server.url(host="localhost")) == b"text"
        assert proxy.hits == 0
        assert "hunter2" not in server.requests[0]
        assert "Authorization" not in server.requests[0]
        naive = fetch_naively(server.url(host="localhost"), trust_env=True)
        assert (naive, proxy.hits) == (b"by proxy", 1)  # the control: a session that asks it


# --- through the door


def packed(name: str, text: str) -> bytes:
    """A zip of one file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, text)
    return target.getvalue()


def test_enumerate_archive_behind_http_obeys_the_same_walls() -> None:
    """A link of a chain is fetched like a URL by itself, also one within another archive."""
    inner = packed("a.md", "alpha")
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("inner.zip", inner)
    bodies = {"/a.zip": inner, "/b.zip": outer.getvalue()}
    with serving(lambda path: [found(bodies[path.partition("?")[0]])]) as server:
        one = f"zip://*.md::http://user:hunter2@127.0.0.1:{server.port}/a.zip?token=hunter2"
        two = f"zip://*.md::zip://inner.zip::{server.url('/b.zip')}"
        assert [reason(url, GUARDED) for url in (one, two)] == ["private_address"] * 2
        assert server.hits == 0
        for url in (one, two):
            (source,) = named(url)
            assert source.read() == b"alpha"
            assert "hunter2" not in source.source
        assert reason(one, max_bytes=len(inner) - 1) == "too_large"


def test_add_url_of_this_machine_needs_the_setting(
    home: Path, session: aisdk.Session, tenant: str, server: WebServer
) -> None:
    """A client refuses it, and one that is set to reach private addresses does not."""
    with pytest.raises(AddFailed) as error:
        session.documents.add(server.url(), progress=False)
    row = error.value.result.to_frame().iloc[0]
    assert (row["status"], row["error_code"]) == ("failed", "private_address")
    assert "AISDK_URL_PRIVATE" in row["hint"]
    assert server.hits == 0
    settings = Settings(home=home, embedding="none", url_private=True)
    with aisdk.Client(settings) as client:
        added = aisdk.connect(tenant, client=client).documents.add(server.url(), progress=False)
        assert list(added.to_frame()["status"]) == ["added"]
    assert server.hits == 1


def test_add_path_outside_the_folders_is_refused(home: Path, tenant: str, tmp_path: Path) -> None:
    """The setting holds for a path by itself and for one of a list."""
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("text")
    settings = Settings(home=home, embedding="none", source_folders=(tmp_path / "open",))
    with aisdk.Client(settings) as client:
        documents = aisdk.connect(tenant, client=client).documents
        with pytest.raises(Unreadable, match="AISDK_SOURCE_FOLDERS"):
            documents.add(tmp_path / "shut")
        both = [tmp_path / name / "a.txt" for name in ("open", "shut")]
        table = documents.add(both, progress=False, raise_on_error=False).to_frame()
        assert list(table["status"]) == ["added", "failed"]
        assert list(table["error_code"])[1] == "outside_folder"
