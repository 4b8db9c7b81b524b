"""The magics: ``%aisdk`` to connect and look around, ``%rag`` to ask."""

from __future__ import annotations

import keyword
import re
import sys
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from IPython.display import display
from traitlets import Enum, Int, ObjectName, TraitError, validate

from aisdk.core.results.page import Page, Rows
from aisdk.core.results.text import clean_text
from aisdk.errors import ConfigError, InvalidInput
from aisdk.notebook.command import interpolated, read_command, value_of

if TYPE_CHECKING:
    from aisdk.session import Session

__all__ = ["AisdkMagics", "Status"]

_WORD: Final = re.compile(r"\{\{.*?\}\}|\S+")
_QUESTION_MARK: Final = re.compile(r"\s+(\?+)$")


@dataclass(frozen=True, slots=True)
class Status:
    """What ``%aisdk status`` shows.

    Attributes:
        tenant: The tenant of the session.
        database: ``embedded PostgreSQL``, or ``PostgreSQL``: one of your own.
        cache: ``shared``, or ``in this process``.
        embedding_model: The model of the stored vectors; ``None`` while there are none.
        documents: Documents of the tenant.
        chunks: Chunks of them.
    """

    tenant: str
    database: str
    cache: str
    embedding_model: str | None
    documents: int
    chunks: int


@magics_class
class AisdkMagics(Magics):
    """What ``%config AisdkMagics`` can set for ``%aisdk`` and ``%rag``."""

    shell: Any
    session = ObjectName("session", help="The variable that holds the session.").tag(config=True)
    top_k = Int(10, min=1, max=1_000, help="Hits that %rag asks for without -k.").tag(config=True)
    mode = Enum(
        ("hybrid", "dense", "lexical"), "hybrid", help="How %rag searches without --mode."
    ).tag(config=True)
    named = ""  # by --as, until the next connect or %config says otherwise

    @needs_local_scope
    @no_var_expand
    @line_cell_magic
    def aisdk(
        self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> Any:
        """Connect, and look around.

        %aisdk connect TENANT            puts the variable `session` into your namespace, or the
                                         one that %config AisdkMagics.session names
        %aisdk connect TENANT --as NAME  the same under another name; %rag uses it from then on
        %aisdk status                    tenant, database, cache, embedding model, how much it holds
        %aisdk usage                     shows what is left of the limits; gives the calls by hour
        %aisdk tenants                   the tenants of the platform, where you may see them

        TENANT may be {{ name }}, which is looked up among your variables, those of a
        function first.
        """
        verbs: dict[str, Callable[..., Any]] = {
            "connect": partial(self._connect, self._names(local_ns)),
            "status": self._status,
            "tenants": self._tenants,
            "usage": self._usage,
        }
        verb, *words = _WORD.findall(line) or [""]
        if verb not in verbs or cell is not None:
            raise InvalidInput(
                "%aisdk takes one of its verbs, on one line.",
                hint=f"Verbs are {', '.join(verbs)}; write %aisdk? for help.",
            )
        if words and verb != "connect":
            raise InvalidInput(f"%aisdk {verb} takes nothing more.", hint="Write %aisdk? for help.")
        return verbs[verb](*words)

    @needs_local_scope
    @no_var_expand
    @line_cell_magic
    def rag(
        self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> Any:
        """The chunks that answer a question best.

        %rag [options] QUESTION          shows the page of hits; not with ; at the end
        hits = %rag [options] QUESTION   assigns it
        %rag [options] hits << QUESTION  assigns it too, as does %%rag [options] hits <<

        %%rag [options]
        The question, on as many lines as you like.

        Options stand before the question; after -- everything is the question.

        -k N          hits wanted, 1 to 1,000; else what %config AisdkMagics.top_k says
        --mode MODE   hybrid, dense or lexical; else what %config AisdkMagics.mode says
        --where JSON  conditions on metadata, such as {"year": {">=": 2020}}
        --frame       a DataFrame instead of a page

        {{ name }} is replaced by your variable of that name, in the question and behind an option;
        nothing is evaluated.
        """
        names = self._names(local_ns)
        command = read_command(line.rstrip().removesuffix(";") if cell is None else line, names)
        question = command.question if cell is None else cell
        if cell is not None and command.question:
            raise InvalidInput(
                "The question of %%rag stands in the cell, below the line.",
                hint="Write options only behind %%rag, or use %rag.",
            )
        text = interpolated(_QUESTION_MARK.sub(r"\1", question.strip()), names)
        options = command.options
        found: Any = self._session().rag.query(
            text,
            top_k=_whole(options.get("-k", self.top_k)),
            mode=options.get("--mode", self.mode),
            where=options.get("--where"),
        )
        if "--frame" in options:
            found = found.to_frame()
        if not command.target:
            return found
        self.shell.push({command.target: found})
        return None

    def find(self, name: str) -> Session | None:
        """The session in a variable, or in the one that the magics use where no name is given."""
        held = self.shell.user_ns.get(name or self._variable())
        if held is None:
            return None
        from aisdk.session import Session  # takes long; whoever has a session has paid for it

        return held if isinstance(held, Session) else None

    def update_config(self, config: Any) -> None:
        """Takes what ``%config`` says, and tells what is refused.

        IPython would log it, and by that print what other libraries log into every later cell.
        """
        try:
            super().update_config(config)
        except TraitError as error:
            told = str(error)
        except (InvalidInput, TypeError):  # traitlets copies what it is given
            told = "A setting is a number or a text."
        else:
            if "session" in config.get(type(self).__name__, {}):  # also the name that it has
                self.named = ""
            return
        line = clean_text(f"AisdkMagics keeps what it had: {' '.join(told.split())}")
        print(line, file=sys.stderr)  # noqa: T201  # the cell says what it left out

    @validate("session")
    def _usable(self, proposal: Any) -> str:
        name = str(proposal["value"])
        if keyword.iskeyword(name):
            raise TraitError(
                f"The 'session' trait of an AisdkMagics instance names a variable, not {name}."
            )
        return name

    def _variable(self) -> str:
        """The variable that holds the session now."""
        return self.named or str(self.session)

    def _session(self) -> Session:
        session = self.find("")
        if session is None:
            raise ConfigError(
                f"There is no session in the variable {self._variable()}.",
                hint="Connect first: %aisdk connect TENANT",
            )
        return session

    def _names(self, local_ns: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The variables that the user sees where the magic stands: in a function its own first."""
        return ChainMap(dict(local_ns or {}), self.shell.user_ns)

    def _connect(self, names: Mapping[str, Any], *words: str) -> None:
        match words:
            case [tenant]:
                named = ""
            case [tenant, "--as", named] if named.isidentifier() and not keyword.iskeyword(named):
                pass
            case [_, "--as", _]:
                raise InvalidInput(
                    "Behind --as stands no name of a variable.",
                    hint="Write %aisdk connect TENANT --as NAME, such as --as other.",
                )
            case _:
                raise InvalidInput(
                    "%aisdk connect takes one tenant.",
                    hint="Write %aisdk connect TENANT, or %aisdk connect TENANT --as NAME.",
                )
        from aisdk.connect import connect

        session = connect(value_of(tenant, names))
        self.named = named
        name = self._variable()
        self.shell.push({name: session})
        print(f"{name} = {session!r}")  # noqa: T201  # the cell says what it has made

    def _status(self) -> Rows[Status]:
        session = self._session()
        settings, info = session.client.settings, session.documents.info()
        record = (
            session.tenant_id,
            "PostgreSQL" if settings.database_url else "embedded PostgreSQL",
            "shared" if settings.dragonfly_url else "in this process",
            info.embedding_model,
            info.documents,
            info.chunks,
        )
        return Rows(Status, [record])

    def _tenants(self) -> Page[Any]:
        client = self._session().client
        return Page(client.call(client.tenants.list), client.call)

    def _usage(self) -> Rows[Any]:
        usage = self._session().usage
        show: Any = display  # it has no types
        show(usage.limits())
        return usage.list()


def _whole(value: Any) -> int:
    try:
        return int(value) if isinstance(value, str) else value
    except ValueError:
        raise InvalidInput("-k takes a whole number.", hint="Write %rag -k 5 QUESTION.") from None
