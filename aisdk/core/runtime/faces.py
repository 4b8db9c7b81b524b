"""Typed one-line faces: the same verb awaited, blocking, or with the tenant given each time.

A face class holds one line a verb::

    class AsyncRag(Face[RagService]):
        query = bound(RagService.query)      # await session.rag.query("…")

    class Rag(Face[RagService]):
        query = blocking(RagService.query)   # session.rag.query("…")

    class ClientRag(Face[RagService]):
        query = hosted(RagService.query)     # await client.rag.query("acme", "…")

Every face runs the verb on the client's portal, so all of them may share one client.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import (
    Any,
    Concatenate,
    Final,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from aisdk.core.results.page import AsyncPage, Page
from aisdk.core.runtime.loop import LoopThread
from aisdk.core.runtime.options import CallOptions, Options, call_options, changed_options
from aisdk.core.runtime.tenancy import checked_tenant
from aisdk.errors import InvalidInput, TenantRequired

__all__ = ["DEFAULT_OPTIONS", "Face", "administered", "blocking", "bound", "hosted", "spelled"]

DEFAULT_OPTIONS: Final = CallOptions()

# A docstring's line about the tenant; its whole section, where that has no other line.
_TENANT: Final = re.compile(r"^ *Args:\n +tenant_id: .*\n\n|^ +tenant_id: .*\n", re.MULTILINE)

D = TypeVar("D")
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _LeftOut:
    """The default of an option, shown as in stubs."""

    def __repr__(self) -> str:
        return "..."


def spelled(function: F) -> F:
    """The function, whose signature names each option of a ``TypedDict`` that it unpacks.

    So ``?`` and Tab show ``mode=`` and not ``**options``.
    """
    signature = inspect.signature(function)
    told = signature.replace(parameters=_spelled(signature, function))
    function.__signature__ = told  # type: ignore[attr-defined]  # read by inspect
    return function


def _spelled(signature: inspect.Signature, function: Callable[..., Any]) -> list[inspect.Parameter]:
    *parameters, last = signature.parameters.values()
    unpacked = re.fullmatch(r"Unpack\[(\w+)\]", str(last.annotation))
    if unpacked is None:
        return [*parameters, last]
    options = inspect.unwrap(function).__globals__[unpacked[1]].__annotations__
    spell = functools.partial(inspect.Parameter, kind=last.KEYWORD_ONLY, default=_LeftOut())
    return parameters + [
        spell(name, annotation=getattr(kind, "__forward_arg__", kind))
        for name, kind in options.items()
    ]


class Face(Generic[D]):
    """A domain's service seen through a portal, for one tenant where a tenant is bound."""

    __slots__ = ("_options", "_portal", "_service", "_tenant_id")

    def __init__(
        self,
        service: D,
        portal: LoopThread,
        tenant_id: str = "",
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> None:
        self._service = service
        self._portal = portal
        self._tenant_id = tenant_id
        self._options = options

    @spelled
    def with_options(self, **options: Unpack[Options]) -> Self:
        """The same face, whose calls are made with these options; costs no I/O.

        Args:
            options: ``deadline_s``, ``retries``, ``idempotency_key``; see `CallOptions`.

        Raises:
            InvalidInput: An option is unknown or out of its range.
        """
        changed = changed_options(self._options, options)
        return type(self)(self._service, self._portal, self._tenant_id, changed)

    def _body(
        self, call: Callable[..., Coroutine[Any, Any, R]], *args: Any, **kwargs: Any
    ) -> Callable[[], Coroutine[Any, Any, R]]:
        """What the portal runs: the call with this face's options, which end with its start."""

        def make() -> Coroutine[Any, Any, R]:
            token = call_options.set(self._options)
            try:
                return call(self._service, *args, **kwargs)
            finally:
                call_options.reset(token)

        return make

    async def _hop(self, body: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        result = await self._portal.hop(body)
        return result.hopping(self._portal.hop) if isinstance(result, AsyncPage) else result

    def __repr__(self) -> str:
        verbs = [name for name in vars(type(self)) if not name.startswith("_")]
        tenant = f" of {self._tenant_id}" if self._tenant_id else ""
        return f"<{type(self).__name__}{tenant}: {', '.join(verbs)}>"


def hosted(
    method: Callable[Concatenate[D, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Face[D], P], Coroutine[Any, Any, R]]:
    """The verb awaited from any loop, its tenant given as the first argument.

    A missing or malformed tenant is refused at once, before anything is awaited.
    """
    call = cast("Callable[..., Coroutine[Any, Any, R]]", method)

    def face(self: Face[D], tenant_id: str = "", *args: Any, **kwargs: Any) -> Any:
        checked_tenant(tenant_id)
        return self._hop(self._body(call, tenant_id, *args, **kwargs))

    return cast(
        "Callable[Concatenate[Face[D], P], Coroutine[Any, Any, R]]",
        _dressed(face, method, drop=0),
    )


def administered(
    method: Callable[Concatenate[D, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Face[D], P], Coroutine[Any, Any, R]]:
    """A verb of the platform itself, awaited from any loop; no tenant is bound.

    A missing tenant is refused at once, before anything is awaited, where it is about one.
    """
    about_one = list(inspect.signature(method).parameters)[1:2] == ["tenant_id"]

    def face(self: Face[D], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        if about_one and not (args or "tenant_id" in kwargs):
            raise TenantRequired(hint="client.tenants.list() shows those there are.")
        return self._hop(self._body(method, *args, **kwargs))

    return cast(
        "Callable[Concatenate[Face[D], P], Coroutine[Any, Any, R]]",
        _dressed(face, method, drop=0),
    )


def bound(
    method: Callable[Concatenate[D, str, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Face[D], P], Coroutine[Any, Any, R]]:
    """The verb awaited from any loop, its tenant bound by the session."""

    def face(self: Face[D], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return self._hop(self._body(method, self._tenant_id, *args, **kwargs))

    return cast(
        "Callable[Concatenate[Face[D], P], Coroutine[Any, Any, R]]",
        _dressed(face, method, drop=1),
    )


@overload
def blocking(
    method: Callable[Concatenate[D, str, P], Coroutine[Any, Any, AsyncPage[T]]],
) -> Callable[Concatenate[Face[D], P], Page[T]]: ...
@overload
def blocking(
    method: Callable[Concatenate[D, str, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Face[D], P], R]: ...
def blocking(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """The verb called from a cell: waits for the result; a page comes back with blocking verbs."""

    def face(self: Face[Any], *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # an interrupted cell shows the user's own lines
        result = self._portal.call(self._body(method, self._tenant_id, *args, **kwargs))
        return Page(result, self._portal.call) if isinstance(result, AsyncPage) else result

    dressed = _dressed(face, method, drop=1)
    signature = inspect.signature(dressed)
    returned = str(signature.return_annotation).removeprefix("Async")  # AsyncPage[Hit]: Page[Hit]
    dressed.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]  # read by inspect
    return dressed


def _dressed(
    face: Callable[..., Any], method: Callable[..., Any], *, drop: int
) -> Callable[..., Any]:
    """``face`` with the name, docstring and signature of ``method``, less the bound tenant.

    Arguments that the signature does not have are refused before anything is done.
    """
    signature = inspect.signature(method)
    own, *rest = _spelled(signature, method)
    taken = rest[drop:]
    check = _checker(method.__name__, taken)

    def verb(self: Face[Any], *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # as those of the face
        check(args, kwargs)
        return face(self, *args, **kwargs)

    functools.update_wrapper(verb, method)
    del verb.__wrapped__  # type: ignore[attr-defined]  # it would bring the tenant back into help()
    if drop:
        verb.__doc__ = _TENANT.sub("", method.__doc__ or "")
    verb.__signature__ = signature.replace(parameters=[own, *taken])  # type: ignore[attr-defined]  # read by inspect
    return verb


def _checker(
    verb: str, taken: Sequence[inspect.Parameter]
) -> Callable[[Sequence[Any], Mapping[str, Any]], None]:
    """What refuses arguments that a verb does not take; a missing tenant is told elsewhere."""
    named = [one.name for one in taken if one.kind is one.POSITIONAL_OR_KEYWORD]
    names = frozenset(one.name for one in taken)
    needed = {one.name for one in taken if one.default is one.empty}
    others = [one.name for one in taken if one.name not in named]
    by_name = f", and by name: {', '.join(others)}" if others else ""
    hint = f"It takes {', '.join(named) or 'no value'}{by_name}."

    def check(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        given = named[: len(args)]
        if len(args) > len(named):
            raise InvalidInput(f"{verb}() was given too many values.", hint=hint)
        if not kwargs.keys() <= names:
            raise InvalidInput(f"{verb}() has no such option.", hint=hint)
        if any(name in kwargs for name in given):
            raise InvalidInput(f"{verb}() was given an argument twice.", hint=hint)
        missing = needed.difference(given, kwargs)
        if missing and "tenant_id" not in missing:
            raise InvalidInput(f"{verb}() needs {', '.join(sorted(missing))}.", hint=hint)

    return check
