"""What Tab offers, in a real shell on a real database."""

from __future__ import annotations

import dataclasses
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import aisdk
from aisdk.core.runtime.faces import Face
from aisdk.settings import Settings

HOSTILE = ['a"); import os; ("', "a'b", "a\\b", "a\nb", "a\x1b[2J", "a{{ b }}"]


def offered(shell: InteractiveShell, code: str) -> list[str]:
    """The lines that Tab at the end of the code would make."""
    with provisionalcompleter():
        found = list(shell.Completer.completions(code, len(code)))
    return [code[: one.start] + one.text + code[one.end :] for one in found]


@pytest.fixture
def loaded(shell: InteractiveShell, session: aisdk.Session) -> InteractiveShell:
    """A shell with the extension, and a session with documents of hostile names."""
    names = ["docs/dates and times.md", "docs/pumps.md", *HOSTILE]
    frame = pd.DataFrame({"text": [f"Text {name}" for name in names], "id": names})
    session.documents.add(frame, id="id", progress=False)
    shell.run_line_magic("load_ext", "aisdk")
    shell.push({"session": session})
    return shell


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("%aisdk ", ["%aisdk connect", "%aisdk status", "%aisdk tenants", "%aisdk usage"]),
        ("%aisdk st", ["%aisdk status"]),
        ("%aisdk connect acme -", ["%aisdk connect acme --as"]),
        ("%rag -", ["%rag -k", "%rag --mode", "%rag --where", "%rag --frame"]),
        ("%rag --w", ["%rag --where"]),
        ("%rag -k 3 --mode le", ["%rag -k 3 --mode lexical"]),
        ("%rag -k 3 --mode=le", ["%rag -k 3 --mode=lexical"]),
        ("%rag --mode=", [f"%rag --mode={m}" for m in ("hybrid", "dense", "lexical")]),
        (
            "hits = %rag --mode ",
            [f"hits = %rag --mode {m}" for m in ("hybrid", "dense", "lexical")],
        ),
        ("%%rag --f", ["%%rag --frame"]),
    ],
)
def test_magics_complete(loaded: InteractiveShell, code: str, lines: list[str]) -> None:
    """Verbs, options and modes, and nothing else among them."""
    assert sorted(offered(loaded, code)) == sorted(lines)


def test_connect_completes_tenants(loaded: InteractiveShell, tenant: str) -> None:
    """Those that the platform knows."""
    assert offered(loaded, f"%aisdk connect {tenant[:8]}") == [f"%aisdk connect {tenant}"]


@pytest.mark.parametrize("verb", ["get", "update", "delete"])
def test_sources_complete_inside_quotes(loaded: InteractiveShell, verb: str) -> None:
    """Where a document is named; names with spaces are whole."""
    lines = offered(loaded, f'x = session.documents.{verb}("docs/d')
    assert lines == [f'x = session.documents.{verb}("docs/dates and times.md']


def test_sources_complete_by_keyword(loaded: InteractiveShell) -> None:
    """As without it."""
    for written in ("get(key='", "update( key = '", "delete(key='"):
        code = f"session.documents.{written}docs/p"
        assert offered(loaded, code) == [f"{code}umps.md"]


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("hits[0].sc", ["hits[0].score"]),
        ("print(hits[-1].lex", ["print(hits[-1].lexical_score"]),
        ("hits[n + 1].document_", ["hits[n + 1].document_id"]),
        ("limits[0].us", ["limits[0].used"]),
        ("hits[0:2].sc", []),
        ("hits[0].score.sc", []),
        ("names[0].sc", []),
        ("unknown[0].sc", []),
    ],
)
def test_fields_of_a_row_complete(
    loaded: InteractiveShell, session: aisdk.Session, code: str, lines: list[str]
) -> None:
    """Those of its class: no row is made, and what stands in the brackets is not evaluated."""
    hits, limits = session.rag.query("Text"), session.usage.limits()
    loaded.push({"hits": hits, "limits": limits, "names": ["a"]})
    assert offered(loaded, code) == lines


def test_all_fields_of_a_row_complete(loaded: InteractiveShell, session: aisdk.Session) -> None:
    """Nothing else among them, also where jedi is switched off or the rows are none."""
    loaded.push({"hits": session.rag.query("nobody wrote this", mode="lexical")})
    fields = {f"hits[0].{name.name}" for name in dataclasses.fields(aisdk.Hit)}
    assert set(offered(loaded, "hits[0].")) == fields
    loaded.Completer.use_jedi = False
    assert set(offered(loaded, "hits[0].")) == fields


def test_hostile_source_is_not_offered(loaded: InteractiveShell) -> None:
    """What would leave its quotes would become code in the user's cell."""
    lines = offered(loaded, "session.documents.get('")
    assert sorted(lines) == [
        "session.documents.get('docs/dates and times.md",
        "session.documents.get('docs/pumps.md",
    ]


def test_sources_are_asked_for_once_while_typing(loaded: InteractiveShell) -> None:
    """Typing on costs the tenant one request."""
    offered(loaded, "session.documents.get('d")
    loaded.user_ns["session"].documents.delete("docs/pumps.md")
    assert "session.documents.get('docs/pumps.md" in offered(
        loaded, "session.documents.get('docs/p"
    )


def test_sources_of_another_tenant_are_never_offered(
    loaded: InteractiveShell, client: aisdk.Client, tenant: str
) -> None:
    """What is kept is kept by tenant."""
    assert offered(loaded, "session.documents.get('docs/p")
    loaded.push({"session": aisdk.connect(f"{tenant}-b", client=client)})
    assert not any("docs/" in line for line in offered(loaded, "session.documents.get('docs/p"))


@pytest.mark.parametrize(
    "code", ["%aisdk connect ", "nothing.documents.get('", "%rag how ", "x = "]
)
def test_without_a_session_nothing_is_offered(shell: InteractiveShell, code: str) -> None:
    """And nothing is printed."""
    shell.run_line_magic("load_ext", "aisdk")
    assert not any("connect t-" in line or "docs/" in line for line in offered(shell, code))


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_silent_database_does_not_hold_up_typing(
    shell: InteractiveShell, silent_server: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """After half a second there are no names, and no message; typing on does not wait again."""
    shell.run_line_magic("load_ext", "aisdk")
    url = f"postgresql://app@127.0.0.1:{silent_server}/aisdk"
    settings = Settings(database_url=url, platform_database_url=url, embedding="none")
    with aisdk.Client(settings) as client:
        shell.push({"session": aisdk.Session(client, "acme")})
        for code in ("session.documents.get('", "%aisdk connect "):
            took = []
            for _ in range(2):
                started = time.monotonic()
                offered(shell, code)
                took.append(time.monotonic() - started)
            assert took[0] < 2.5
            assert took[1] < 0.5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("session.rag.query('x', mo", "session.rag.query('x', mode="),
        ("session.rag.query_many(['x'], prog", "session.rag.query_many(['x'], progress="),
        ("session.documents.list(or", "session.documents.list(order="),
        ("session.documents.add('x', rai", "session.documents.add('x', raise_on_error="),
        ("session.with_options(dead", "session.with_options(deadline_s="),
        ("session.rag.with_options(dead", "session.rag.with_options(deadline_s="),
    ],
)
def test_options_complete(
    shell: InteractiveShell, session: aisdk.Session, code: str, line: str
) -> None:
    """As keywords of the call, and no other's."""
    shell.push({"session": session})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert offered(shell, code) == [line]


def test_option_that_is_refused_is_not_offered(
    shell: InteractiveShell, session: aisdk.Session
) -> None:
    """``query_many`` takes texts only."""
    shell.push({"session": session})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert offered(shell, "session.rag.query('x', vec") == ["session.rag.query('x', vector="]
        assert offered(shell, "session.rag.query_many(['x'], vec") == []


CHAIN = '.rag.query("x").to_frame().'
GIVEN = {
    'documents.add("x")': "[0].status",
    'documents.add("x", wait=False)': ".result",
    "documents.list()": "[0].title",
    'documents.get("x")': ".metadata",
    "documents.count()": ".bit_length",
    'documents.delete("x")': ".bit_length",
    "documents.info()": ".chunks",
    'rag.query("x")': ".explore().selected",
    'rag.query_many(["x"])': "[0].query",
    'rag.explain("x")': "[0].milliseconds",
    "jobs.list()": "[0].state",
    'jobs.get("x")': ".state",
    'jobs.result("x")': ".to_frame",
    'jobs.cancel("x")': ".ended_at",
    'cache.set("x", 1)': ".bit_length",
    'cache.delete("x")': ".bit_length",
    "cache.stats()": "[0].misses",
    "usage.limits()": "[0].per_minute",
    "usage.list(days=7)": ".plot",
    'job("x")': ".result().to_frame",
    "verify_isolation()": "[0].leaked",
    "with_options(retries=0)": ".rag.query_many",
    "asynchronous()": ".rag.query_many",
}
NOTHING = {"documents.update", "documents.set_language", "cache.get", "close"}  # or anything


def test_jedi_completes_what_a_verb_gives(shell: InteractiveShell, session: aisdk.Session) -> None:
    """A session made by ``connect``, through page and item to the frame's methods."""
    shell.push({"session": session})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jedi's own, about modules it looks into
        assert f"session{CHAIN}groupby" in offered(shell, f"session{CHAIN}gro")
        assert 'session.rag.query("x").to_arrow' in offered(shell, 'session.rag.query("x").to_a')
        assert 'session.rag.query("x")[0].heading' in offered(shell, 'session.rag.query("x")[0].h')
        assert offered(shell, f"session{CHAIN}no_such") == []


def test_jedi_completes_what_every_verb_gives(
    shell: InteractiveShell, session: aisdk.Session
) -> None:
    """The last letters of a line are left to Tab; what is not there is not offered."""
    shell.push({"session": session})
    lines = [f"session.{call}{follows}" for call, follows in GIVEN.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [line for line in lines if line not in offered(shell, line[:-3])] == []
        assert [call for call in GIVEN if offered(shell, f"session.{call}.no_such")] == []


def test_no_verb_is_left_out(session: aisdk.Session) -> None:
    """Of those that the test above completes."""
    verbs = {
        f"{name}.{verb}"
        for name, face in vars(session).items()
        if isinstance(face, Face)
        for verb in vars(type(face))
        if not verb.startswith("_")
    }
    own = {name for name in vars(aisdk.Session) if not name.startswith("_")}
    assert verbs | own == {call.split("(")[0] for call in GIVEN} | NOTHING


def test_jedi_completes_a_session_of_the_magic(
    shell: InteractiveShell, tenant: str, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """``%aisdk connect`` makes the same kind of session."""
    monkeypatch.setenv("AISDK_HOME", str(home))
    monkeypatch.setenv("AISDK_EMBEDDING", "none")
    shell.run_line_magic("load_ext", "aisdk")
    shell.run_cell(f"%aisdk connect {tenant} --as mine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert f"mine{CHAIN}groupby" in offered(shell, f"mine{CHAIN}gro")
    shell.user_ns["mine"].close()
