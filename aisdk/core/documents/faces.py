"""The faces of the documents domain."""

from __future__ import annotations

from aisdk.core.documents.service import DocumentsService
from aisdk.core.runtime.faces import Face, blocking, bound, hosted

__all__ = ["AsyncDocuments", "ClientDocuments", "Documents"]


class AsyncDocuments(Face[DocumentsService]):
    """A tenant's documents, awaited."""

    __slots__ = ()

    add = bound(DocumentsService.add)
    get = bound(DocumentsService.get)
    list = bound(DocumentsService.list)
    count = bound(DocumentsService.count)
    update = bound(DocumentsService.update)
    delete = bound(DocumentsService.delete)
    info = bound(DocumentsService.info)
    set_language = bound(DocumentsService.set_language)


class Documents(Face[DocumentsService]):
    """A tenant's documents, for notebook cells."""

    __slots__ = ()

    add = blocking(DocumentsService.add)
    get = blocking(DocumentsService.get)
    list = blocking(DocumentsService.list)
    count = blocking(DocumentsService.count)
    update = blocking(DocumentsService.update)
    delete = blocking(DocumentsService.delete)
    info = blocking(DocumentsService.info)
    set_language = blocking(DocumentsService.set_language)


class ClientDocuments(Face[DocumentsService]):
    """Any tenant's documents, awaited; the tenant comes first."""

    __slots__ = ()

    add = hosted(DocumentsService.add)
    get = hosted(DocumentsService.get)
    list = hosted(DocumentsService.list)
    count = hosted(DocumentsService.count)
    update = hosted(DocumentsService.update)
    delete = hosted(DocumentsService.delete)
    info = hosted(DocumentsService.info)
    set_language = hosted(DocumentsService.set_language)
