"""`%aisdk` and `%rag` in a real shell, on a real database."""

from __future__ import annotations

from html import unescape
from typing import Any

import pandas as pd
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from shells import run

import aisdk
from aisdk.core.results.page import Page, Rows
from aisdk.errors import AisdkError, ConfigError, InvalidInput
from aisdk.notebook.completion import Completion
from aisdk.notebook.questions import keep_silent, reach_magics
from aisdk.settings import Settings

TEXTS = ["A date is parsed by strptime.", "A pump moves water.", "Dates and pumps."]


@pytest.fixture
def loaded(shell: InteractiveShell, session: aisdk.Session) -> InteractiveShell:
    """A shell with the extension, and a session with three documents in its variable."""
    frame = pd.DataFrame(
        {"text": TEXTS, "id": ["date", "pump", "both"], "year": [2019, 2020, 2021]}
    )
    session.documents.add(frame, id="id", progress=False)
    shell.run_line_magic("load_ext", "aisdk")
    shell.push({"session": session})
    return shell


def failure(shell: InteractiveShell, cell: str) -> AisdkError:
    """The error with which a cell fails: one of ours, and never IPython's own."""
    error = shell.run_cell(cell, store_history=True).error_in_exec
    assert isinstance(error, AisdkError)
    assert not isinstance(error, UsageError)
    return error


def sources(page: Any) -> list[str]:
    """The sources of the hits."""
    return [hit.source for hit in page]


def test_rag_answers_a_question(loaded: InteractiveShell) -> None:
    """The page of a line is that of the verb."""
    page = run(loaded, "%rag what moves water")
    assert isinstance(page, Page)
    assert page.records == run(loaded, "session.rag.query('what moves water')").records
    assert sources(page)[0] == "pump"


@pytest.mark.parametrize(
    "cell",
    [
        "hits = %rag -k 1 pump",
        "%rag -k 1 hits << pump",
        "%rag hits << -k 1 pump",
        "%%rag -k 1 hits <<\npump\n",
        "%%rag hits << -k 1\n\n pump\n",
    ],
)
def test_rag_assigns_both_ways(loaded: InteractiveShell, cell: str) -> None:
    """Nothing is shown, and the variable holds the page."""
    assert run(loaded, cell) is None
    assert len(loaded.user_ns["hits"]) == 1


def test_rag_takes_options(loaded: InteractiveShell) -> None:
    """Each does what the verb's keyword does."""
    assert len(run(loaded, "%rag -k 1 pump")) == 1
    assert sources(run(loaded, '%rag --where {"year": {"<": 2021}} pump')) == ["pump"]
    frame = run(loaded, "%rag --frame --mode lexical pump")
    assert list(frame["search"].unique()) == ["none"]
    error = failure(loaded, "%rag --mode dense pump")
    assert error.message == "There is no embedding model to search by meaning."


def test_rag_cell_takes_a_question_on_many_lines(loaded: InteractiveShell) -> None:
    """The body is the question, whatever stands in it."""
    question = "\nwhat about\n-k 7 --frame {one} $two\na pump?\n"
    page = run(loaded, f"%%rag -k 2{question}")
    assert page.records == run(loaded, f"session.rag.query({question.strip()!r}, top_k=2)").records
    assert len(page) == 2


def test_rag_replaces_names(loaded: InteractiveShell) -> None:
    """In the question and behind options; IPython's own ``{expression}`` is left alone."""
    run(loaded, "thing, few, late = 'pump', 1, {'year': 2021}")
    page = run(loaded, "%rag -k {{ few }} --where {{ late }} what is a {{ thing }}")
    assert sources(page) == ["both"]
    assert sources(run(loaded, "%rag {{thing}}")) == sources(run(loaded, "%rag pump"))
    run(loaded, "hits = %rag {loaded.append(1)} $thing\nloaded = []")
    assert run(loaded, "%rag {loaded.append(1)} $loaded") is not None
    assert loaded.user_ns["loaded"] == []


def test_names_are_those_of_the_function_around_the_magic(
    loaded: InteractiveShell, tenant: str
) -> None:
    """Its own first, then those of the notebook."""
    run(loaded, "thing, few = 'valve', 1")
    run(loaded, "def ask(thing):\n    hits = %rag -k {{ few }} {{ thing }}\n    return hits")
    assert sources(run(loaded, "ask('pump')")) == sources(run(loaded, "%rag -k 1 pump"))
    assert sources(run(loaded, "ask('pump')")) != sources(run(loaded, "%rag -k 1 valve"))
    run(loaded, "def visit(name):\n    %aisdk connect {{ name }} --as there")
    run(loaded, f"visit('{tenant}-x')")
    assert loaded.user_ns["there"].tenant_id == f"{tenant}-x"


@pytest.mark.parametrize(
    "written", ["__import__('os')", "witness.append(1)", "witness.__class__", "witness[0]", "1"]
)
def test_rag_evaluates_nothing(loaded: InteractiveShell, written: str) -> None:
    """Hostile text between braces is refused before anything is asked; a name is not."""
    run(loaded, "witness = []")
    for cell in (f"%rag x {{{{ {written} }}}}", f"%%rag\nx {{{{ {written} }}}}"):
        assert "Only the name of a variable" in failure(loaded, cell).message
    for line in (f"%rag -k {{{{ {written} }}}} x", f"%aisdk connect {{{{ {written} }}}}"):
        assert "Only the name of a variable" in failure(loaded, line).message
    assert loaded.user_ns["witness"] == []
    assert run(loaded, "%rag {{ witness }} pump") is not None


@pytest.mark.parametrize(
    "cell",
    [
        "%rag",
        "%rag -k 0 x",
        "%rag -k ten x",
        "%rag --mode fuzzy x",
        "%rag --nonsense x",
        "%rag x -k 3",
        "%rag {{ unknown }}",
        "%rag --where {'a': 1} x",
        "%rag -k {{ session }} x",
        "%rag --mode {{ session }} x",
        "%rag --where {{ session }} x",
        "%aisdk connect {{ session }}",
        "%%rag",
        "%%rag -k 3",
        "%%rag\n \n",
        "%%aisdk status",
        "%%rag what\nbody",
        "%aisdk",
        "%aisdk fly",
        "%aisdk status now",
        "%aisdk connect",
        "%aisdk connect a b",
        "%aisdk connect a --as 1x",
        "%aisdk connect a --as class",
        "%aisdk connect 'no tenant!'",
        "%%aisdk connect\nacme",
    ],
)
def test_bad_line_is_an_error_of_ours_with_a_hint(loaded: InteractiveShell, cell: str) -> None:
    """The cell fails, and the error says what to do."""
    error = failure(loaded, cell)
    assert isinstance(error, ValueError)


def test_bad_name_behind_as_is_told(loaded: InteractiveShell) -> None:
    """It is the name that is wrong, not the tenant."""
    assert "name of a variable" in str(failure(loaded, "%aisdk connect a --as 1x"))
    assert "one tenant" in str(failure(loaded, "%aisdk connect a b"))


def test_error_shows_the_line_as_it_was_written(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four lines, with the magic instead of what IPython has made of it."""
    capsys.readouterr()
    failure(loaded, "x = 1\nhits = %rag -k 'ten' 'é' pump")
    line, cell = capsys.readouterr().out.splitlines(), "Cell In[1], line 2: "
    assert line == [
        "InvalidInput: -k takes a whole number.",
        f"  where: {cell}hits = %rag -k 'ten' 'é' pump",
        "  hint:  Write %rag -k 5 QUESTION.",
        "  more:  %tb Verbose",
    ]
    failure(loaded, "%%rag -k 0\npump")
    assert "Cell In[2], line 1: %%rag -k 0\n" in capsys.readouterr().out
    failure(loaded, "session.rag.query(\n'x', top_k=0)")
    assert "Cell In[3], line 1: session.rag.query(\n" in capsys.readouterr().out


def test_error_after_xmode_verbose_is_the_full_traceback(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who asks for everything gets it."""
    run(loaded, "%xmode Verbose")
    failure(loaded, "%rag -k ten pump")
    run(loaded, "%xmode Context")
    shown = capsys.readouterr().out
    assert "Traceback (most recent call last)" in shown
    assert "magics.py" in shown


def test_rag_without_session_says_to_connect(shell: InteractiveShell) -> None:
    """A variable that holds something else is no session."""
    shell.run_line_magic("load_ext", "aisdk")
    for cell in ("%rag x", "%aisdk status", "%aisdk usage", "%aisdk tenants"):
        error = failure(shell, f"session = 'acme'\n{cell}")
        assert isinstance(error, ConfigError)
        assert error.hint == "Connect first: %aisdk connect TENANT"


@pytest.mark.usefixtures("environment")
def test_connect_puts_a_session_into_the_namespace(
    shell: InteractiveShell, tenant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so, and ``%rag`` uses it; another name replaces it for ``%rag``."""
    shell.run_line_magic("load_ext", "aisdk")
    run(shell, f"%aisdk connect {tenant}")
    made = shell.user_ns["session"]
    assert capsys.readouterr().out == f"session = {made!r}\n"
    run(shell, f"name = '{tenant}-2'")
    run(shell, "%aisdk connect {{ name }} --as other")
    other = shell.user_ns["other"]
    assert (made.tenant_id, other.tenant_id) == (tenant, f"{tenant}-2")
    assert run(shell, "%aisdk status")[0].tenant == other.tenant_id
    run(shell, f"%aisdk connect {tenant}")
    assert run(shell, "%aisdk status")[0].tenant == tenant
    for session in (made, other, shell.user_ns["session"]):
        session.close()


def test_session_of_the_user_is_used_as_it_is(
    loaded: InteractiveShell, client: aisdk.Client, tenant: str
) -> None:
    """What stands in the variable now is asked, never a tenant of before."""
    assert len(run(loaded, "%rag pump")) == 2
    loaded.push({"session": aisdk.connect(f"{tenant}-b", client=client)})
    assert len(run(loaded, "%rag pump")) == 0


def test_status_is_a_record_of_one_row(loaded: InteractiveShell, tenant: str) -> None:
    """What a user wants to know at a glance."""
    status = run(loaded, "%aisdk status")
    assert isinstance(status, Rows)
    assert status.records == [(tenant, "embedded PostgreSQL", "in this process", None, 3, 3)]
    assert "embedded PostgreSQL" in status._repr_html_()


def test_status_of_a_shared_store_shows_no_address(loaded: InteractiveShell) -> None:
    """Passwords stand in addresses."""
    settings = loaded.user_ns["session"].client.settings
    secret = settings.model_copy(update={"dragonfly_url": "redis://:secret@host"})
    loaded.user_ns["session"].client.settings = secret
    try:
        status = run(loaded, "%aisdk status")
    finally:
        loaded.user_ns["session"].client.settings = settings
    assert status[0].cache == "shared"
    assert "secret" not in repr(status) + status._repr_html_()


def test_usage_shows_limits_and_gives_calls(loaded: InteractiveShell) -> None:
    """Two tables: one displayed, one the cell's result."""
    with capture_output() as captured:
        calls = run(loaded, "calls = %aisdk usage\ncalls")
    assert "size_bytes" in unescape(captured.outputs[0].data["text/html"])
    assert calls.item.__name__ == "UsageInfo"


def test_tenants_lists_them_where_one_may(loaded: InteractiveShell, tenant: str) -> None:
    """A page that goes on."""
    page = run(loaded, "%aisdk tenants")
    assert isinstance(page, Page)
    assert tenant in [row.tenant_id for row in page.collect(progress=False)]


def test_tenants_where_one_may_not_says_so(loaded: InteractiveShell) -> None:
    """A client of a database of one's own needs the platform's role."""
    settings = Settings(database_url="postgresql://app@127.0.0.1:1/aisdk")
    with aisdk.Client(settings) as client:
        loaded.push({"session": aisdk.Session(client, "acme")})
        error = failure(loaded, "%aisdk tenants")
    assert error.message == "This client may not register tenants."
    assert error.hint


def test_config_sets_the_defaults(loaded: InteractiveShell) -> None:
    """A line's option outranks them."""
    run(loaded, "%config AisdkMagics.top_k = 1")
    run(loaded, "%config AisdkMagics.mode = 'lexical'")
    assert len(run(loaded, "%rag pump")) == 1
    assert len(run(loaded, "%rag -k 2 pump")) == 2
    run(loaded, "mine = session\ndel session")
    run(loaded, "%config AisdkMagics.session = 'mine'")
    assert run(loaded, "%rag pump")[0].search == "none"


@pytest.mark.parametrize(
    "setting",
    [
        "top_k = 0",
        "top_k = 'x'",
        "mode = 'fuzzy'",
        "session = 'a b'",
        "session = 'None'",
        "session = None",
        "session = session",
        "top_k = table",
    ],
)
def test_config_with_a_bad_value_changes_nothing(
    loaded: InteractiveShell,
    setting: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is told in one line, the old value stays, and later settings are accepted."""
    run(loaded, "table = session.documents.list()")
    capsys.readouterr()
    run(loaded, f"%config AisdkMagics.{setting}")
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("AisdkMagics keeps what it had: ")
    assert "trait of an AisdkMagics instance" in told or "a number or a text" in told
    assert caplog.text == ""
    assert len(run(loaded, "%rag pump")) == 2
    run(loaded, "%config AisdkMagics.top_k = 1")
    assert len(run(loaded, "%rag pump")) == 1


def test_help_tells_how_to_use_them(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """``?`` behind a magic alone is a request for help, with and without a session."""
    for cell, told in (("%rag?", "--where"), ("%%rag?", "--where"), ("%aisdk?", "connect TENANT")):
        run(loaded, cell)
        captured = capsys.readouterr()
        payload = str(loaded.payload_manager.read_payload())
        loaded.payload_manager.clear_payload()
        assert told in captured.out + payload


def test_question_mark_ends_a_question(loaded: InteractiveShell) -> None:
    """IPython would take it for a request for help about the last word."""
    plain = sources(run(loaded, "%rag is it a pump"))
    assert plain
    for cell in (
        "%rag is it a pump?",
        "%rag what's a pump?",
        "%rag -k 5 = 'a' (pump?",
        "%rag is it a pump ?",
        "hits = %rag is it a pump??\nhits",
        "session.hits = %rag is it a pump?\nsession.hits",
        "%time %rag is it a pump?",
    ):
        assert sources(run(loaded, cell)) == plain
    run(loaded, "if True:\n    %rag hits << is it a pump?")
    assert sources(loaded.user_ns["hits"]) == plain


def test_question_mark_elsewhere_stays() -> None:
    """Help stays help, and a string is not changed."""
    for cell in (
        "%rag?\n",
        "%rag??\n",
        "%%rag?\n",
        "date?\n",
        "%time date?\n",
        "x = 1\n",
        "a=b?\n",
    ):
        assert reach_magics([cell]) == [cell]
    file = ["%%writefile x\n", "%rag what?\n"]
    assert reach_magics(file) == file
    lines = ["x = '''\n", "%rag what?\n", "'''\n", "%rag what?\n"]
    assert reach_magics(lines) == [*lines[:3], "%rag what ?\n"]


def test_load_twice_and_reload_leave_one_of_each(loaded: InteractiveShell) -> None:
    """Under either name of the extension."""
    for line in ("load_ext aisdk", "load_ext aisdk.notebook", "reload_ext aisdk"):
        loaded.run_line_magic(*line.split())
    assert [kind.__class__.__name__ for kind in loaded.configurables].count("AisdkMagics") == 1
    owners = [getattr(one, "__self__", None) for one in loaded.Completer.custom_matchers]
    assert sum(isinstance(owner, Completion) for owner in owners) == 1
    assert loaded.input_transformers_cleanup.count(reach_magics) == 1
    assert loaded.input_transformers_post.count(keep_silent) == 1
    assert len(run(loaded, "%rag pump")) == 2
    failure(loaded, "%rag -k 0 pump")


def test_unload_takes_all_away(shell: InteractiveShell) -> None:
    """The shell is as before; loading again brings all back."""
    shell.run_line_magic("load_ext", "aisdk")  # IPython's own magics come with their first use
    shell.run_line_magic("unload_ext", "aisdk")

    def state() -> tuple[Any, ...]:
        manager = shell.magics_manager
        return (
            {kind: sorted(names) for kind, names in manager.magics.items()},
            sorted(manager.registry),
            list(shell.configurables),
            list(shell.Completer.custom_matchers),
            list(shell.input_transformers_cleanup),
            list(shell.input_transformers_post),
        )

    before = state()
    shell.run_line_magic("load_ext", "aisdk")
    assert all(one != other for one, other in zip(before, state(), strict=True))
    shell.run_line_magic("unload_ext", "aisdk")
    assert state() == before
    for cell in ("%rag x", "%%rag\nx", "%aisdk status"):
        assert isinstance(shell.run_cell(cell).error_in_exec, UsageError)
    shell.run_line_magic("load_ext", "aisdk")
    assert isinstance(failure(shell, "%rag"), (InvalidInput, ConfigError))
