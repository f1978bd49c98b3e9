"""The life cycle of stored streams: look up, list and delete them, by id or by label.

    DELETE /thumb/{id}              delete a stream
    GET    /streams/{id}            when a stream was uploaded, under which labels, when it expires
    GET    /streams?label=L         the streams of a label, page by page
    DELETE /streams?label=L         remove a label, and delete the streams without other uploads

All of them require a bearer token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from thumbstream.errors import StoreUnavailableError
from thumbstream.http.errors import NotFoundError
from thumbstream.http.schemas import (
    After,
    Id,
    LabelDeletion,
    LabelQuery,
    Limit,
    StreamDescription,
    StreamList,
)
from thumbstream.http.services import Services
from thumbstream.ids import is_id
from thumbstream.storage import StreamInfo
from thumbstream.storage.base import NO_LABEL

T = TypeVar("T")


class StreamsEndpoint:
    """The endpoints of the life cycle of streams."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store

    async def delete(self, key: Id) -> Response:
        """Deletes a stream and its curve, whatever its labels. 204 for an unknown id as well."""
        if not is_id(key):
            raise NotFoundError("no stream has this id")
        await self._in_time(self._store.delete_many([key]))
        self._services.forget([key])
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    async def show(self, key: Id) -> Response:
        """When a stream was uploaded, under which labels, and when it expires."""
        [info] = await self._in_time(self._store.info_many([key])) if is_id(key) else [None]
        if info is None:
            raise NotFoundError("no stream has this id")
        return _no_store(self._describe(info).model_dump())

    async def list_label(
        self, label: LabelQuery, after: After = "", limit: Limit = 100
    ) -> Response:
        """The streams that were uploaded under a label, in the order of their ids."""
        page = await self._in_time(self._store.list_label(label, after=after, limit=limit))
        following = None
        if page.after is not None:
            query = urlencode({"label": label, "limit": limit, "after": page.after})
            following = f"{self._services.settings.root_path}/streams?{query}"
        streams = [self._describe(info) for info in page.streams]
        return _no_store(StreamList(label=label, streams=streams, next=following).model_dump())

    async def remove_label(self, label: LabelQuery) -> Response:
        """Removes a label from up to 1,000 streams, and deletes those without another upload.

        A stream that was also uploaded under another label, or without one, stays. Repeat the
        request while `more` is true.
        """
        removal = await self._in_time(self._store.remove_label(label))
        self._services.forget(removal.deleted)
        answer = LabelDeletion(label=label, deleted=removal.deleted, more=removal.more)
        return _no_store(answer.model_dump())

    def _describe(self, info: StreamInfo) -> StreamDescription:
        record = info.record
        return StreamDescription(
            id=info.key,
            length=info.length,
            created=_rfc3339(record.created),
            expires=_rfc3339(record.expires),
            labels=sorted(record.labels - {NO_LABEL}),
            url=f"{self._services.settings.root_path}/thumb/{info.key}",
        )

    async def _in_time(self, operation: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._services.settings.store_timeout_seconds):
                return await operation
        except TimeoutError:
            raise StoreUnavailableError("the store did not answer in time") from None


def _rfc3339(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _no_store(document: object) -> Response:
    return JSONResponse(document, headers={"Cache-Control": "no-store"})
