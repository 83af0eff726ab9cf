"""Recommendations for everybody: users a second, beside faiss and the machine's own limit.

    python -m benchmarks.bench_recommend [--users 20000] [--items 100000] [--rounds 5]

Search: the best 100 of all items for some users, from user and item vectors of SASRec (width 128,
random weights) that were made before. "ours" is what ``mmq recommend`` does, product and selection;
"faiss" is ``IndexFlatIP.search`` over the same vectors with as many threads; "products" is the
multiplication alone, which no exact search can do without. They take turns, the first untimed; a
time is the least of the rounds, and "own" the least of the process's own time, which other
processes on the machine lengthen less. HeterRec (six codes of 100, and item tokens) has no peer
there, and is timed beside.

Encode: from histories of 20 items to user vectors, which a search needs first.

Verb: ``recommend_users`` as a whole, from a file of histories to Parquet: load, encode, search,
write. A million users are extrapolated from it, linearly.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmarks.bench_decode import HISTORY, WIDTH, draw_codes, our_model, seconds
from benchmarks.common import RESULTS, provenance, write
from mmq.data._sequences import Packed, Sequences
from mmq.decoding import Filters
from mmq.recommenders import Items, SASRec, top_items
from mmq.recommenders._base import BLOCK
from mmq.training._weights import to_arrays
from mmq.workflows import recommend_users

K, MILLION = 100, 1_000_000


def sasrec(items: int) -> SASRec:
    """SASRec as it starts; popularity is of no account here."""
    model = SASRec(hidden_dim=WIDTH, history=HISTORY, device="cpu")
    model.load_items(Items(pa.array(range(items)), None, np.ones(items, np.int64)))
    model.restore(to_arrays(model.drawn()), Path())
    return model


def draw_histories(users: int, items: int) -> Sequences:
    rows = np.random.default_rng(0).integers(0, items, users * HISTORY)
    return Sequences.of(Packed(rows, np.full(users, HISTORY)))


def in_blocks(users: Tensor, job: Callable[[Tensor], Any]) -> Callable[[], list[Any]]:
    """A job for the users whom the search takes at a time."""
    return lambda: [job(block) for block in users.split(BLOCK)]


def measure_search(model: SASRec, users: int, rounds: int) -> dict[str, Any]:
    """Users a second of ours, faiss and products, in turns; and whether lists agree."""
    vectors = model.user_vectors(draw_histories(users, len(model.items.item_ids)))
    table = model.network.items.detach()
    index = faiss.IndexFlatIP(WIDTH)
    index.add(table.numpy())
    ours = in_blocks(vectors, lambda block: top_items(block @ table.T, K, Filters()))
    theirs = lambda: index.search(vectors.numpy(), K)[1]  # noqa: E731
    same = torch.cat([each.rows for each in ours()]).numpy() == theirs()
    times = seconds(
        rounds, ours=ours, faiss=theirs, products=in_blocks(vectors, lambda block: block @ table.T)
    )
    flops = 2 * users * len(table) * WIDTH
    return {
        "users": users,
        "items": len(table),
        "dim": WIDTH,
        "k": K,
        "users_per_second": rates(times, users),
        "ours_to_faiss": {key: times["faiss"][key] / times["ours"][key] for key in times["ours"]},
        "products_gflops": flops / times["products"]["least"] / 1e9,
        "products_to_ours": {
            key: times["products"][key] / times["ours"][key] for key in times["ours"]
        },
        "same_places": float(same.mean()),
    }


def rates(times: dict[str, dict[str, float]], users: int) -> dict[str, dict[str, float]]:
    return {
        name: {key: users / value for key, value in each.items()} for name, each in times.items()
    }


def measure_models(model: SASRec, users: int, rounds: int) -> dict[str, Any]:
    """Users a second: encoding alone, and each model's encoding and search together."""
    items = len(model.items.item_ids)
    heterrec, histories = our_model(draw_codes(items)), draw_histories(users, items)
    heterrec.prepare(items)
    times = seconds(
        rounds,
        **{
            "encode sasrec": lambda: model.user_vectors(histories),
            "encode heterrec": lambda: heterrec.user_vectors(histories),
            "whole sasrec": lambda: model.search(histories, K),
            "whole heterrec": lambda: heterrec.search(histories, K),
        },
    )
    return {"users": users, "users_per_second": rates(times, users)}


def measure_verb(model: SASRec, users: int) -> dict[str, Any]:
    """The verb as a whole, with titles left out."""
    items = len(model.items.item_ids)
    packed = draw_histories(users, items).pack()
    offsets = pa.array(np.arange(0, len(packed.rows) + 1, HISTORY), pa.int32())
    histories = pa.ListArray.from_arrays(offsets, pa.array(packed.rows))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(
            pa.table({"user_id": range(users), "history": histories}), folder / "h.parquet"
        )
        model.save(folder / "model")
        found = recommend_users(folder / "model", folder / "h.parquet", folder / "recs.parquet", K)
        size = (folder / "recs.parquet").stat().st_size
    return {
        **{name: found[name] for name in ("users", "rows", "seconds", "users_per_second")},
        "hours_of_a_million_users": MILLION / found["users_per_second"] / 3600,
        "file_bytes": size,
        "most_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--searched", type=int, default=2_048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "recommend.json")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(torch.get_num_threads())
    record: dict[str, Any] = {**provenance(), "threads": torch.get_num_threads()}
    record["versions"]["faiss-cpu"] = version("faiss-cpu")
    model = sasrec(arguments.items)
    record["verb"] = measure_verb(model, arguments.users)
    record["search"] = measure_search(model, arguments.searched, arguments.rounds)
    record["models"] = measure_models(model, arguments.searched // 4, arguments.rounds)
    write(arguments.out, record)
    for part in ("verb", "search", "models"):
        print(part, record[part], flush=True)


if __name__ == "__main__":
    main()
