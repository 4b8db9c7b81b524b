"""Access: what documents may be read from, by scheme, host, address and folder."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.documents import files
from aisdk.core.documents.access import Access, is_public
from aisdk.core.documents.links import split_links
from aisdk.core.documents.loading import enumerate_sources
from aisdk.core.documents.sources import LoadOptions, Source
from aisdk.errors import InvalidInput, Unreadable
from aisdk.settings import URL_SCHEMES

ACCESS: Final = Access(schemes=frozenset(URL_SCHEMES))
SECRET: Final = b"not for you"


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


NOT_PUBLIC: Final = words("""
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.1.2.3
    127.255.255.255 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.9
    192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255
    198.51.100.1 203.0.113.1 224.0.0.1 224.0.0.251 232.1.1.1 239.255.255.250 240.0.0.1
    255.255.255.254 255.255.255.255
    :: ::1 ::127.0.0.1 ::7f00:1 ::10.0.0.1 ::a00:1 0:0:0:0:0:0:0:1 0000::0001
    ::ffff:127.0.0.1 ::ffff:7f00:1 ::FFFF:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0.0.0.0
    ::ffff:224.0.0.1 ::ffff:100.64.0.1 0:0:0:0:0:ffff:c0a8:1 ::ffff:0:127.0.0.1 ::ffff:0:7f00:1
    64:ff9b::127.0.0.1 64:ff9b::a00:1 64:ff9b::169.254.169.254 64:ff9b::192.168.1.1
    64:ff9b:1::1 64:ff9b:1::10.0.0.1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2
    2001:1::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::1 2002:808:808::
    3fff::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fe80::1%1 febf::1 fec0::1
    ff00::1 ff01::1 ff02::1 ff02::fb ff05::2 ff0e::1 2a00:1450::5efe:10.0.0.1
    2a00:1450::200:5efe:192.168.0.1
    """)
NO_ADDRESSES: Final = [
    *("", " ", "127.1", "127.0.1", "10.1", "0", "1", "2130706433", "017700000001", "0x7f000001"),
    *(
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1.",
        "127.0.0.1 ",
        " 8.8.8.8",
        "8.8.8.8/8",
    ),
    *("127.0.0.1\0", "8.8.8.8\n", "localhost", "[::1]", "::1]", "::ffff:127.1", "1::2::3"),
    *("::ffff:0x7f000001", "\uff18.8.8.8", "8.8.8.8%lo", "256.1.1.1", "8.8.8", "8.8.8.8:80"),
]
PUBLIC: Final = words("""
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255
    198.20.0.0 223.255.255.255 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::808:808 2000::1
    2001:200::1 2001:4860:4860::8888 2606:4700:4700::1111 2a00:1450:4001::1 2620:fe::fe
    """)


@pytest.mark.parametrize("address", NOT_PUBLIC + NO_ADDRESSES)
def test_is_public_odd_address_is_not(address: str) -> None:
    """Neither addresses of this machine, its network or no network, nor what is no address."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_is_public_ordinary_address_is(address: str) -> None:
    """The walls stand where the reserved blocks end."""
    assert is_public(address)


def test_is_public_table_catches_the_standard_library() -> None:
    """The control: ``is_global`` alone lets some of the table pass, and the table shows it."""
    passed = [each for each in NOT_PUBLIC if ipaddress.ip_address(each).is_global]
    assert {"224.0.0.1", "64:ff9b::127.0.0.1"} <= set(passed)


PRIVATE_NETWORKS: Final = [
    ipaddress.IPv4Network(network)
    for network in words(
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 "
        "192.168.0.0/16 198.18.0.0/15 224.0.0.0/3"
    )
]


@given(data=st.data(), carrier=st.sampled_from(["{}", "::ffff:{}", "64:ff9b::{}", "::{}"]))
def test_is_public_private_address_in_any_carrier_is_not(data: st.DataObject, carrier: str) -> None:
    """However an IPv4 address is wrapped, it stays what it is."""
    network = data.draw(st.sampled_from(PRIVATE_NETWORKS))
    address = data.draw(st.ip_addresses(v=4, network=network))
    assert not is_public(carrier.format(address))


@given(address=st.ip_addresses(v=6))
def test_is_public_says_yes_to_global_unicast_only(address: ipaddress.IPv6Address) -> None:
    """Whatever passes is in 2000::/3, or carries an IPv4 address that passes by itself."""
    if is_public(str(address)) and address not in ipaddress.ip_network("2000::/3"):
        assert is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))


@given(text=st.text())
def test_is_public_any_text_has_an_answer(text: str) -> None:
    """Nothing that a resolver may hand over raises."""
    assert is_public(text) in (True, False)


def test_allows_address_private_ones_only_on_request() -> None:
    """The setting takes the wall away."""
    assert not ACCESS.allows_address("127.0.0.1")
    assert Access(schemes=frozenset(), private=True).allows_address("127.0.0.1")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("example.org", True),
        ("EXAMPLE.org", True),
        ("example.org.", True),
        ("a.example.com", True),
        ("a.b.example.com", True),
        ("2001:db8::1", True),
        ("example.com", False),
        ("www.example.org", False),
        ("notexample.org", False),
        ("badexample.com", False),
        ("example.org.evil.net", False),
        ("a.example.com.evil.net", False),
        ("example.org@evil.net", False),
        ("evil.net", False),
        ("2001:db8::11", False),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_check_host_lets_only_listed_names_pass(host: str, allowed: bool) -> None:
    """A star stands for any name before the dot, and for one at least."""
    access = Access(frozenset(), hosts=("example.org", "*.example.com", "2001:db8::1"))
    if allowed:
        access.check_host(host)
        return
    with pytest.raises(Unreadable) as error:
        access.check_host(host)
    assert error.value.reason == "host_refused"
    assert "AISDK_URL_HOSTS" in error.value.hint
    ACCESS.check_host(host)  # the control: without a list the same name passes


def sources(what: Any, access: Access = ACCESS) -> list[Source]:
    """All sources of a call."""
    return list(enumerate_sources(what, LoadOptions(), access))


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/a.txt", "sftp://u:hunter2@host/a.txt", "ssh://u:hunter2@host/a.txt"),
        *("smb://u:hunter2@host/share/a.txt", "webhdfs://host/a.txt", "hdfs://host/a.txt"),
        *("webdav://host/a.txt", "dask://host/a.txt", "jupyter://host/a.txt", "lakefs://a/b"),
        *("github://org:hunter2@main/a.md", "git://path:ref@a.md", "gist://user:hunter2@id"),
        *("reference://a.json", "filecache://a", "simplecache://a", "blockcache://a", "cached://a"),
        *("dir://a", "generic://a", "asynclocal:///etc/hostname", "arrow_hdfs://h/a", "root://h/a"),
        *(
            "libarchive://a",
            "oss://endpoint/b/a",
            "adl://host/a",
            "dbfs://a",
            "gdrive://a",
            "box://a",
        ),
        *(
            "FTP://host/a.txt",
            "ftp://host/http://x",
            " http://host/a",
            "http ://host/a",
            "://host/a",
        ),
        *("hunter2://host/a", "javascript://host/a", "ws://host/a", "gopher://host/a", "tcp://h/a"),
        *("zip://a.md::ftp://host/a.zip", "tar://a.md::sftp://u:hunter2@host/a.tar"),
        *("zip://a.md::zip://b.zip::ftp://host/a.zip", "ftp://host/::https://host/a"),
        *("simplecache::https://host/a", "simplecache://::https://host/a", "filecache::s3://b/a"),
        *(
            "zip://a::simplecache::https://host/a.zip",
            "blockcache::https://host/a",
            "dir::s3://b/a",
        ),
        *("reference::https://host/a.json", "reference://::data:application/json,{}"),
    ],
)
def test_enumerate_url_of_refused_scheme_is_refused(url: str) -> None:
    """Before anything is opened, with a hint that names the setting and no part of the URL."""
    with pytest.raises(InvalidInput) as error:
        sources(url)
    assert "AISDK_URL_SCHEMES" in error.value.hint
    assert "hunter2" not in str(error.value)
    assert getattr(error.value, "reason", "") == "scheme_refused"


@pytest.mark.parametrize(
    "url",
    [
        *("https://host/a::https://host/b", "zip://a", "tar://a", "zip://a::zip://b"),
        *("s3://b::s3://a", "s3://bucket/[a::b]", "zip://a::s3://b/[x::file]", "memory://a::b]"),
        *("zip://::", "::zip://"),
    ],
)
def test_enumerate_url_whose_links_do_not_fit_is_refused(url: str) -> None:
    """Only archives stand before others, and fsspec is given no chance to see another chain."""
    with pytest.raises(InvalidInput):
        sources(url)


def test_enumerate_url_of_scheme_added_to_the_list_is_tried() -> None:
    """The control: the refusal is the list's doing."""
    access = Access(schemes=frozenset({"nothing"}))
    with pytest.raises(InvalidInput) as error:
        sources("nothing://host/a", access)
    assert "AISDK_URL_SCHEMES" not in error.value.hint
    with pytest.raises(InvalidInput) as error:
        sources("memory://a", access)
    assert "AISDK_URL_SCHEMES names those that are: nothing." in error.value.hint


def test_url_schemes_by_default_are_known_and_name_no_host() -> None:
    """Each is one of fsspec's; those that connect to a host of the user's choice are not there."""
    known = {*fsspec.available_protocols(), "abfss"}
    assert set(URL_SCHEMES) <= known
    held = {"memory", "local", "file", "cached", "dir", "generic", "reference"}  # by this process
    assert held & known
    assert not held & set(URL_SCHEMES)
    assert "data" not in URL_SCHEMES  # whose URLs hold what a list of texts takes as it is
    with pytest.raises(InvalidInput, match="wrap it in a list"):
        sources("data:text/plain;base64,aGVsbG8=")
    with pytest.raises(InvalidInput, match="scheme are not allowed"):
        sources("zip://a.txt::data:application/zip;base64,AAAA")
    with pytest.raises(InvalidInput) as error:
        sources("memory://another/tenant.txt")
    assert getattr(error.value, "reason", "") == "scheme_refused"
    named = {"ftp", "sftp", "ssh", "smb", "webhdfs", "hdfs", "github", "git", "webdav", "jupyter"}
    assert not named & set(URL_SCHEMES)


@pytest.mark.parametrize(
    ("url", "links"),
    [
        ("HTTPS://Host/A", ["https://Host/A"]),
        ("zip://a::https://h/b.zip", ["zip://a", "https://h/b.zip"]),
        ("zip::tar://b::/c.tar", ["zip", "tar://b", "/c.tar"]),
        ("http://[::1]/a", ["http://[::1]/a"]),
        ("http://[fe80::1%25lo]:80/a", ["http://[fe80::1%25lo]:80/a"]),
        ("zip://a::http://[::ffff:10.0.0.1]:8/a", ["zip://a", "http://[::ffff:10.0.0.1]:8/a"]),
        ("zip://[a]::http://h/a", ["zip://[a]", "http://h/a"]),
    ],
)
def test_split_links_separates_links_not_addresses(url: str, links: list[str]) -> None:
    """The colons of an address in brackets are its own."""
    assert split_links(url) == links


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A folder that may be read and one that may not, each with a text, with links between."""
    for name in ("open", "shut"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "a.txt").write_bytes(SECRET if name == "shut" else b"for you")
        (tmp_path / name / "sub" / "b.txt").write_bytes(SECRET if name == "shut" else b"for you")
    (tmp_path / "open" / "link.txt").symlink_to(tmp_path / "shut" / "a.txt")
    (tmp_path / "open" / "folder").symlink_to(tmp_path / "shut")
    (tmp_path / "shut" / "back.txt").symlink_to(tmp_path / "open" / "a.txt")
    return tmp_path


OUTSIDE: Final[list[Callable[[Path], str]]] = [
    lambda rooms: f"{rooms}/shut/a.txt",
    lambda rooms: f"{rooms}/shut",
    lambda rooms: f"{rooms}/shut/*.txt",
    lambda rooms: f"{rooms}/open/../shut/a.txt",
    lambda rooms: f"{rooms}/open/sub/../../shut/*.txt",
    lambda rooms: f"{rooms}/open/folder",
    lambda rooms: f"{rooms}/open/folder/a.txt",
    lambda rooms: f"{rooms}/open/folder/*.txt",
    lambda rooms: f"{rooms}/open/link.txt",
    lambda rooms: f"{rooms}/*/a.txt",
    lambda rooms: f"{rooms}/**",
    lambda rooms: f"{rooms}",
    lambda rooms: f"{rooms}/opener.txt",
    lambda rooms: f"{rooms}/shut/nothing.txt",
    lambda rooms: f"file://{rooms}/shut/a.txt",
    lambda rooms: f"FILE://{rooms}/shut/a.txt",
    lambda rooms: f"local://{rooms}/shut/a.txt",
    lambda rooms: f"zip://*::file://{rooms}/shut/a.zip",
    lambda rooms: f"zip://*::LOCAL://{rooms}/shut/a.zip",
    lambda rooms: f"tar://*::{rooms}/shut/a.tar",
    lambda rooms: f"zip://*::zip://b.zip::{rooms}/shut/a.zip",
    lambda rooms: os.path.relpath(rooms / "shut" / "a.txt"),
    lambda _: "~",
    lambda _: "/proc/self/environ",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_enumerate_path_outside_the_folders_is_refused(
    rooms: Path, name: Callable[[Path], str]
) -> None:
    """By whatever way it is named; whether it is there is not told."""
    access = Access(ACCESS.schemes, folders=(rooms / "open",))
    with pytest.raises(InvalidInput) as error:
        sources(name(rooms), access)
    assert getattr(error.value, "reason", "") == "outside_folder"
    assert "AISDK_SOURCE_FOLDERS" in error.value.hint


def test_enumerate_glob_that_looks_like_a_folder_is_refused(rooms: Path) -> None:
    """A folder may be called like a pattern; the pattern then lists others than the folder."""
    (rooms / "[s]hut").mkdir()
    access = Access(ACCESS.schemes, folders=(rooms / "[s]hut",))
    with pytest.raises(Unreadable) as error:
        sources(f"{rooms}/[s]hut/*.txt", access)
    assert error.value.reason == "outside_folder"
    found = sources(f"{rooms}/[s]hut/*.txt")  # the control: without folders it lists the other
    assert f"{rooms}/shut/a.txt" in [each.source for each in found]
    assert sources(rooms / "[s]hut", access) == []


def test_enumerate_path_within_the_folders_is_read(rooms: Path) -> None:
    """A folder, a glob and a path; links that lead out fail by themselves, links back are read."""
    access = Access(ACCESS.schemes, folders=(rooms / "nothing", rooms / "open"))
    for what in (f"{rooms}/open", f"{rooms}/open/**/*.txt"):
        found = {Path(each.source).name: each for each in sources(what, access)}
        assert found["a.txt"].read() == found["b.txt"].read() == b"for you"
        with pytest.raises(Unreadable) as error:
            found["link.txt"].read()
        assert error.value.reason == "outside_folder"
    assert sources(f"{rooms}/shut/back.txt", access)[0].read() == b"for you"
    with pytest.raises(InvalidInput, match="no such file"):
        sources(f"{rooms}/open/nothing.txt", access)


def test_enumerate_listed_path_outside_the_folders_fails_by_itself(rooms: Path) -> None:
    """The others of the list are read."""
    access = Access(ACCESS.schemes, folders=(rooms / "open",))
    shut, free = sources([rooms / "shut" / "a.txt", rooms / "open" / "a.txt"], access)
    with pytest.raises(Unreadable) as error:
        shut.read()
    assert error.value.reason == "outside_folder"
    assert free.read() == b"for you"
    assert sources([rooms / "shut" / "a.txt"])[0].read() == SECRET  # the control: without folders


def test_read_file_that_became_a_link_is_refused(rooms: Path) -> None:
    """Between finding and reading a file, it or its folder is changed for a link out."""
    access = Access(ACCESS.schemes, folders=(rooms / "open",))
    found = {Path(each.source).name: each for each in sources(rooms / "open", access)}
    (rooms / "open" / "a.txt").unlink()
    (rooms / "open" / "a.txt").symlink_to(rooms / "shut" / "a.txt")
    (rooms / "open" / "sub").rename(rooms / "open" / "was")
    (rooms / "open" / "sub").symlink_to(rooms / "shut" / "sub")
    for name in ("a.txt", "b.txt"):
        with pytest.raises(Unreadable) as error:
            found[name].read()
        assert error.value.reason == "outside_folder"
        assert (
            Path(found[name].source).read_bytes() == SECRET
        )  # the control: the link does lead out


@pytest.mark.parametrize("name", ["sub/b.txt", "a.txt"])
def test_open_path_that_became_a_link_after_its_check_is_refused(rooms: Path, name: str) -> None:
    """The last moment: the path was resolved and found good, and then a part of it is changed."""
    path = rooms / "open" / name
    first = rooms / "open" / Path(name).parts[0]
    first.rename(rooms / "was")
    first.symlink_to(rooms / "shut" / Path(name).parts[0])
    opener = partial(files._open_below, rooms / "open")
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        open(path, "rb", opener=opener)  # noqa: SIM115  # raises
    with path.open("rb") as file:  # the control: opened by its path it is another file
        assert file.read() == SECRET
