"""``@verb``: makes one async method of a domain a public, guarded operation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Protocol, TypedDict, TypeVar, Unpack, cast

from aisdk.core.runtime.guard import Call, Guard, Verb
from aisdk.core.runtime.logging import new_request_id
from aisdk.core.runtime.options import call_options
from aisdk.core.runtime.tenancy import checked_tenant, is_tenant

__all__ = ["Guarded", "catalogue", "platform_verb", "verb"]

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


class More(TypedDict, total=False):
    """Attributes of a verb that most do not set."""

    bulk: bool
    rows: type[Any]
    stored: bool
    charged: bool


class Guarded(Protocol):
    """A domain's service: stateless but for the parts it was wired with."""

    @property
    def guard(self) -> Guard:
        """The steps that surround this service's verbs."""
        ...


def verb(name: str, *, reads: bool, **more: Unpack[More]) -> Callable[[F], F]:
    """Marks an async method ``(self, tenant_id, …)`` as the public operation ``name``.

    The call is checked for its tenant at once, before anything is awaited, and then runs inside
    the service's guard. Signature, defaults and docstring stay as they are written.

    Args:
        name: ``domain.method``.
        reads: Whether the tenant's data stay as they are.
        more: Further attributes of `Verb`.

    Returns:
        The decorator.
    """

    def decorate(method: F) -> F:
        spec = Verb(name, reads=reads, signature=_given(method, beyond=2), **more)

        @functools.wraps(method)
        def guarded(
            self: Guarded, tenant_id: str = "", *args: Any, **kwargs: Any
        ) -> Awaitable[Any]:
            call = _call(spec, checked_tenant(tenant_id), args, kwargs)
            body = functools.partial(method, self, tenant_id, *args, **kwargs)
            return self.guard.run(call, body)

        guarded.__verb__ = spec  # type: ignore[attr-defined]  # how catalogue() finds it again
        return cast("F", guarded)

    return decorate


def platform_verb(name: str, *, reads: bool, **more: Unpack[More]) -> Callable[[F], F]:
    """The same for an operation of the platform itself, which has no tenant or is about one."""

    def decorate(method: F) -> F:
        signature = _given(method, beyond=1)
        spec = Verb(name, reads=reads, signature=signature, **more)

        @functools.wraps(method)
        def guarded(self: Guarded, *args: Any, **kwargs: Any) -> Awaitable[Any]:
            about = signature.bind(*args, **kwargs).arguments.get("tenant_id")
            tenant_id = about if is_tenant(about) else ""
            body = functools.partial(method, self, *args, **kwargs)
            return self.guard.run(_call(spec, tenant_id, args, kwargs), body)

        guarded.__verb__ = spec  # type: ignore[attr-defined]  # how catalogue() finds it again
        return cast("F", guarded)

    return decorate


def _given(method: Callable[..., Any], *, beyond: int) -> inspect.Signature:
    """The signature of a method beyond so many parameters, which are not given by the caller."""
    signature = inspect.signature(method)
    return signature.replace(parameters=[*signature.parameters.values()][beyond:])


def _call(spec: Verb, tenant_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    return Call(spec, tenant_id, new_request_id(), call_options.get(), (args, kwargs))


def catalogue(*services: type) -> Iterator[tuple[Verb, Callable[..., Any]]]:
    """The verbs of the given service classes with their functions, in the order written.

    Args:
        services: Classes of domains, such as ``RagService``.

    Yields:
        ``(verb, function)`` for every public operation.
    """
    for service in services:
        for member in vars(service).values():
            spec = getattr(member, "__verb__", None)
            if isinstance(spec, Verb):
                yield spec, member
