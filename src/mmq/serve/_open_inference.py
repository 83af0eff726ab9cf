"""The Open Inference Protocol (version 2, as KServe speaks it) beside the routes of our own.

One model, ``recommender``: input ``history`` (BYTES or INT64, ``[users, items]``, oldest first;
an empty text fills up shorter ones), outputs ``item_id`` (BYTES) and ``score`` (FP32), both
``[users, k]``; an empty text and 0 where fewer items may be given.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmq._version import __version__
from mmq.serve._control import live, ready
from mmq.serve._recommending import Question
from mmq.serve._routes import Active
from mmq.serve._wire import MOST_HISTORY, MOST_K, MOST_USERS, Whole

open_inference = APIRouter(prefix="/v2", tags=["open inference protocol"])
Name = Annotated[Literal["recommender"], Path()]
_Padded = Annotated[str, Field(strict=True, max_length=256, pattern=r"^[^\x00]*$")]


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Parameters(_Open):
    """Of a request."""

    k: int = Field(default=10, ge=1, le=MOST_K)
    exclude_history: bool = True


class Input(_Open):
    """A tensor: the histories of some users."""

    name: Literal["history"]
    datatype: Literal["BYTES", "INT64"]
    shape: list[Annotated[int, Field(ge=0, le=MOST_HISTORY)]] = Field(min_length=2, max_length=2)
    data: list[Whole | _Padded] = Field(max_length=MOST_USERS * MOST_HISTORY)

    @model_validator(mode="after")
    def _whole(self) -> Input:
        users, items = self.shape
        if not 1 <= users <= MOST_USERS or users * items != len(self.data):
            raise ValueError(
                f"shape {self.shape} and {len(self.data)} values do not fit; give [users, items] "
                f"of 1 to {MOST_USERS} users, row after row"
            )
        return self


class InferRequest(_Open):
    """What KServe's clients send."""

    id: str | None = Field(default=None, max_length=256)
    parameters: Parameters = Parameters()
    inputs: list[Input] = Field(min_length=1, max_length=1)


@open_inference.get("")
async def server() -> dict[str, Any]:
    """Metadata of the server."""
    return {"name": "mmq", "version": __version__, "extensions": []}


open_inference.get("/health/live")(live)
open_inference.get("/health/ready")(ready)


@open_inference.get("/models/{name}/ready")
async def model_ready(name: Name, service: Active) -> dict[str, str]:
    """That the model answers."""
    return await ready(service)


@open_inference.get("/models/{name}")
async def model(name: Name, service: Active) -> dict[str, Any]:
    """Metadata of the model; its version is the active release."""
    return {
        "name": name,
        "versions": [service.swap.active.identity.name],
        "platform": "mmq",
        "inputs": [{"name": "history", "datatype": "BYTES", "shape": [-1, -1]}],
        "outputs": [
            {"name": "item_id", "datatype": "BYTES", "shape": [-1, -1]},
            {"name": "score", "datatype": "FP32", "shape": [-1, -1]},
        ],
    }


@open_inference.post("/models/{name}/infer")
async def infer(name: Name, asked: InferRequest, service: Active) -> Response:
    """Recommendations for some histories."""
    k, tensor = asked.parameters.k, asked.inputs[0]
    users, items = tensor.shape
    rows = [tensor.data[user * items : (user + 1) * items] for user in range(users)]
    shared = Question((), k, exclude_history=asked.parameters.exclude_history)
    questions = [shared._replace(history=[item for item in row if item != ""]) for row in rows]
    found = await service.batcher.ask(questions)
    lists = [_items(each) for each in found.answers]
    ids = [[str(item["item_id"]) for item in each] for each in lists]
    scores = [[item["score"] for item in each] for each in lists]
    return JSONResponse(
        {
            "model_name": name,
            "model_version": found.release.name,
            "id": asked.id,
            "parameters": {"release": found.release.name, "fingerprint": found.release.fingerprint},
            "outputs": [
                _tensor("item_id", "BYTES", ids, k, ""),
                _tensor("score", "FP32", scores, k, 0.0),
            ],
        }
    )


def _items(answer: Any) -> list[dict[str, Any]]:
    if isinstance(answer, Exception):
        raise answer
    items: list[dict[str, Any]] = answer["items"]
    return items


def _tensor(name: str, datatype: str, rows: list[list[Any]], k: int, empty: Any) -> dict[str, Any]:
    """Rows filled up to ``k``, end to end."""
    data = [value for row in rows for value in (*row, *[empty] * (k - len(row)))]
    return {"name": name, "datatype": datatype, "shape": [len(rows), k], "data": data}
