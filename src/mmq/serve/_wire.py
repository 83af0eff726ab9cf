"""What clients send and are sent, every list and text with a bound."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MOST_USERS, MOST_K, MOST_HISTORY = 64, 200, 512
MOST_LISTED, MOST_CANDIDATES, MOST_EVENTS, MOST_ENCODED = 10_000, 1000, 500, 256
BODY = 1 << 20
"""Bytes of a request's body at most."""

Text = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=256, pattern=r"^[^\x00]+$")
]
"""A short text; databases hold no zero bytes."""
Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
ItemId = Whole | Text
History = Annotated[list[ItemId], Field(max_length=MOST_HISTORY)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]
"""What fits into a float32."""


class Wire(BaseModel):
    """Base of what is sent: unknown names and numbers that are none are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ReleaseRef(Wire):
    """The release that an answer is from."""

    name: str
    fingerprint: str


class RecommendRequest(Wire):
    """Whom to recommend what; ``history``, ``histories`` or ``user_id``."""

    history: History | None = None
    """Item ids of one user, oldest first; empty for somebody who is new."""
    histories: list[History] | None = Field(default=None, min_length=1, max_length=MOST_USERS)
    """Of several users."""
    user_id: Text | None = None
    """A user whose events this service keeps."""
    k: int = Field(default=10, ge=1, le=MOST_K)
    """Items wanted; fewer come where fewer may be given."""
    allow: list[ItemId] | None = Field(default=None, min_length=1, max_length=MOST_LISTED)
    """Recommend only these."""
    exclude: list[ItemId] = Field(default=[], max_length=MOST_LISTED)
    """Not these."""
    categories: dict[Text, Text] = Field(default={}, max_length=8)
    """Attribute -> the value that items have to have."""
    exclude_history: bool = True
    """Leave out the items of the history."""
    new_item_share: Share = 0.0
    """Share of the places that goes to items new since training, at least."""
    why: bool = False
    """Say what of the history speaks for each item."""

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        given = [self.history, self.histories, self.user_id]
        if sum(each is not None for each in given) != 1:
            raise ValueError("give one of history, histories and user_id")
        return self


class Reason(Wire):
    """Why an item is recommended."""

    item_id: ItemId
    """The item of the history that speaks most for it."""
    title: str | None
    shared_codes: list[int]
    """For each position, how many items of the history have the recommended item's code there."""


class RecommendedItem(Wire):
    """An item, and how it scores."""

    item_id: ItemId
    title: str | None
    semantic_id: list[int]
    new: bool
    """Whether it is new since training."""
    score: float
    """Comparable within a list only."""
    because: Reason | None = None


class Recommended(Wire):
    """What one user is recommended, best first."""

    items: list[RecommendedItem]
    unknown: int
    """Items of the history that the release does not know; they are left out."""
    popular: bool
    """Whether nothing was known of the user, so that the most popular are given."""


class RecommendResponse(Wire):
    """A list for each user, in the order of the request."""

    release: ReleaseRef
    results: list[Recommended]


class RankRequest(Wire):
    """A user and items to be judged."""

    user_id: Text | Whole
    """One that the ranker's training did not see is known by the history alone."""
    history: History | None = None
    """The user's positives, oldest first; None takes the events that this service keeps."""
    candidates: list[ItemId] = Field(min_length=1, max_length=MOST_CANDIDATES)
    """Items to judge; those without a semantic ID are refused."""
    context: dict[Text, Text | Whole | Number] = Field(default={}, max_length=64)
    """Further columns that the ranker reads."""


class RankedItem(Wire):
    """An item and the probability that the user likes it."""

    item_id: ItemId
    probability: float


class RankResponse(Wire):
    """The candidates, most probable first."""

    release: ReleaseRef
    items: list[RankedItem]


class EncodeRequest(Wire):
    """Embeddings of items to be given semantic IDs."""

    embeddings: dict[Text, list[list[Number] | None]] = Field(min_length=1, max_length=16)
    """Modality -> a list of numbers for each item, null where it lacks the modality."""

    @model_validator(mode="after")
    def _alike(self) -> Self:
        counts = {len(rows) for rows in self.embeddings.values()}
        if len(counts) != 1 or not 1 <= min(counts) <= MOST_ENCODED:
            raise ValueError(
                f"give each modality the same number of items, 1 to {MOST_ENCODED} of them"
            )
        return self


class EncodeResponse(Wire):
    """A semantic ID for each item."""

    release: ReleaseRef
    semantic_ids: list[list[int]]
    items: list[list[ItemId]]
    """For each, items that have this ID already."""


class ShownItem(Wire):
    """An item as people see it."""

    item_id: ItemId
    title: str | None
    semantic_id: list[int]
    new: bool


class ItemResponse(ShownItem):
    """All that is known of an item."""

    release: ReleaseRef
    attributes: dict[str, list[str]]
    picture: bool
    """Whether it has one, at ``/v1/items/{item_id}/picture``."""
    same_id: list[ItemId]
    """Other items of the same ID, the first 20."""
    code_words: list[list[str]]
    """For each code, what its items have more often than others."""


class FoundResponse(Wire):
    """Items that were looked for."""

    release: ReleaseRef
    items: list[ShownItem]


class SimilarItem(ShownItem):
    """An item that decodes to something like it."""

    cosine: float


class SimilarResponse(Wire):
    """Items by how alike their decoded vectors are."""

    release: ReleaseRef
    items: list[SimilarItem]


class CodeResponse(Wire):
    """What a code stands for."""

    release: ReleaseRef
    position: int
    code: int
    group: str
    """What the position tells of: "shared", or a modality."""
    count: int
    """Items that have it."""
    words: list[str]
    items: list[ShownItem]
    """Some of them."""


Kind = Literal["exposure", "click", "order"]


class Event(Wire):
    """Something that happened between a user and an item."""

    event_id: Text
    """The client's own; a second event of the same id is not kept."""
    user_id: Text
    item_id: ItemId
    kind: Kind
    time: AwareDatetime | None = None
    """With its zone; None is now."""
    value: Number | None = None
    experiment: Text | None = None
    arm: Text | None = None
    release: Text | None = None
    slate: Text | None = None
    propensity: float | None = Field(default=None, gt=0, le=1)


class EventsRequest(Wire):
    """Events to keep."""

    events: list[Event] = Field(min_length=1, max_length=MOST_EVENTS)


class EventsResponse(Wire):
    """Events that are on the disk now."""

    accepted: int
    duplicates: int
    """Whose id was known already; what was kept first stays."""


class ReleaseInfo(ReleaseRef):
    """A release that could be active."""

    created: str
    items: int
    new_items: int
    models: dict[str, str]
    active: bool


class ReleasesResponse(Wire):
    """All releases, the newest first."""

    active: ReleaseRef
    previous: str | None
    """The one that rollback goes back to."""
    releases: list[ReleaseInfo]
    damaged: dict[str, str] = {}
    """Name -> what is wrong with it."""


class ActivatedResponse(Wire):
    """The release that is active now."""

    release: ReleaseRef
    previous: str | None


class Problem(Wire):
    """What went wrong."""

    status: int
    code: str
    message: str
    request_id: str | None


class ProblemResponse(Wire):
    """The form of every error."""

    error: Problem
