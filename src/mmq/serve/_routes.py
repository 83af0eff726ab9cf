"""The routes under ``/v1``: recommending, judging, encoding, items, codes, events."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import JSONResponse

from mmq.release import ReleaseName
from mmq.serve import _items as items
from mmq.serve import _wire as wire
from mmq.serve._judging import encode, rank
from mmq.serve._problems import ServiceError
from mmq.serve._recommending import Question
from mmq.serve._service import Service, service_of

routes = APIRouter(prefix="/v1")
Active = Annotated[Service, Depends(service_of)]
ItemPath = Annotated[str, Path(min_length=1, max_length=256)]
Few = Annotated[int, Query(ge=1, le=100)]
RELEASE = "X-Release"


def answer(release: ReleaseName, content: Mapping[str, Any]) -> JSONResponse:
    """An answer that names its release, in itself and in a header."""
    headers = {RELEASE: "/".join(release)}
    return JSONResponse({"release": release._asdict(), **content}, headers=headers)


@routes.post("/recommend", response_model=wire.RecommendResponse, tags=["recommend"])
async def recommend_items(asked: wire.RecommendRequest, service: Active) -> Response:
    """Items to show next, for one user or several.

    Answers are those that ``Recommender.search`` gives in Python.
    """
    histories = asked.histories or [asked.history or []]
    if asked.user_id is not None:
        histories = [await _kept(service, asked.user_id)]
    question = Question(
        (),
        asked.k,
        None if asked.allow is None else tuple(asked.allow),
        tuple(asked.exclude),
        tuple(sorted(asked.categories.items())),
        asked.exclude_history,
        asked.new_item_share,
        asked.why,
    )
    found = await service.batcher.ask([question._replace(history=each) for each in histories])
    for each in found.answers:
        if isinstance(each, Exception):
            raise each
    return answer(found.release, {"results": found.answers})


async def _kept(service: Service, user_id: str) -> list[Any]:
    """The history of a user by the events that are kept."""
    return await service.database.run(partial(service.events.history, user_id, wire.MOST_HISTORY))


@routes.post("/rank", response_model=wire.RankResponse, tags=["recommend"])
async def rank_items(asked: wire.RankRequest, service: Active) -> Response:
    """Candidates by the probability that the user likes them."""
    history = asked.history
    if history is None:
        history = await _kept(service, str(asked.user_id))
    release, found = await service.beside(
        lambda release: rank(release, asked.user_id, history, asked.candidates, asked.context)
    )
    return answer(release.identity, {"items": found})


@routes.post("/encode", response_model=wire.EncodeResponse, tags=["items"])
async def encode_items(asked: wire.EncodeRequest, service: Active) -> Response:
    """Semantic IDs for embeddings of new items."""
    release, found = await service.beside(lambda release: encode(release, asked.embeddings))
    return answer(release.identity, found)


@routes.get("/items", response_model=wire.FoundResponse, tags=["items"])
async def find_items(
    service: Active, words: Annotated[str, Query(max_length=256)] = "", limit: Few = 20
) -> Response:
    """Items by their id, or by words of their title."""
    release, found = await service.beside(lambda release: items.find(release, words, limit))
    return answer(release.identity, {"items": found})


@routes.get("/attributes", tags=["items"])
async def list_attributes(service: Active) -> Response:
    """Attributes that items can be filtered by, and the group of every code position."""
    release = service.swap.active
    content = {"attributes": release.shown.columns, "groups": items.groups(release)}
    return answer(release.identity, content)


@routes.get("/attributes/{column}", tags=["items"])
async def list_values(column: ItemPath, service: Active) -> Response:
    """The most frequent values of an attribute."""
    release, found = await service.beside(lambda release: items.values(release, column))
    return answer(release.identity, {"attribute": column, "values": found})


@routes.get("/items/{item_id:path}/similar", response_model=wire.SimilarResponse, tags=["items"])
async def similar_items(item_id: ItemPath, service: Active, count: Few = 10) -> Response:
    """Items whose decoded vectors point most alike, nearest first."""
    release, found = await service.beside(
        lambda release: items.similar_items(release, item_id, count)
    )
    return answer(release.identity, {"items": found})


@routes.get(
    "/items/{item_id:path}/picture",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
    tags=["items"],
)
async def picture(item_id: ItemPath, service: Active) -> Response:
    """A small JPEG of an item."""
    release = service.swap.active
    found = release.shown.picture(items.row_of(release, item_id))
    if found is None:
        raise ServiceError(404, "the item has no picture")
    return Response(found, headers={RELEASE: "/".join(release.identity)}, media_type="image/jpeg")


@routes.get("/items/{item_id:path}", response_model=wire.ItemResponse, tags=["items"])
async def item(item_id: ItemPath, service: Active) -> Response:
    """All that is known of an item."""
    release = service.swap.active
    return answer(release.identity, items.item(release, item_id))


@routes.get("/codes/{position}/{code}", response_model=wire.CodeResponse, tags=["items"])
async def code(position: int, code: int, service: Active) -> Response:
    """What a code stands for, and some of the items that have it."""
    release, found = await service.beside(lambda release: items.code(release, position, code))
    return answer(release.identity, found)


@routes.post("/events", response_model=wire.EventsResponse, tags=["events"])
async def keep_events(asked: wire.EventsRequest, service: Active) -> Response:
    """Keep what users did; when this answers, it is on the disk.

    An event whose id is known already is counted as a duplicate, so that a request of which no
    answer came may be sent again.
    """
    kept = await service.database.run(partial(service.events.keep, asked.events))
    service.metrics.events.labels("accepted").inc(kept.accepted)
    service.metrics.events.labels("duplicate").inc(kept.duplicates)
    return JSONResponse(kept._asdict())
