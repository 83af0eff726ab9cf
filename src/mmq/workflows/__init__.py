"""What every verb of the command line does, as a function.

A function reads files, writes what it makes to ``out`` and gives back the figures that the verb
prints with ``--json``; :func:`fit`, :func:`encode` and :func:`tune` give what they made as well. It
prints nothing. A mistake of the caller's is a :class:`~mmq.errors.UserError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmq.workflows._ab import AbLogs as AbLogs
    from mmq.workflows._ab import ab_analyse as ab_analyse
    from mmq.workflows._ab import ab_plan as ab_plan
    from mmq.workflows._ab import ab_replay as ab_replay
    from mmq.workflows._ab import ab_simulate as ab_simulate
    from mmq.workflows._compare import Contender as Contender
    from mmq.workflows._compare import compare as compare
    from mmq.workflows._demo import demo as demo
    from mmq.workflows._doctor import doctor as doctor
    from mmq.workflows._embed import embed as embed
    from mmq.workflows._embed_behaviour import embed_behaviour as embed_behaviour
    from mmq.workflows._encode import encode as encode
    from mmq.workflows._encode_parts import encode_parts as encode_parts
    from mmq.workflows._evaluate import evaluate as evaluate
    from mmq.workflows._export_onnx import export_onnx as export_onnx
    from mmq.workflows._export_vectors import export_vectors as export_vectors
    from mmq.workflows._files import LogFile as LogFile
    from mmq.workflows._files import ModelFolder as ModelFolder
    from mmq.workflows._finetune import Stage1 as Stage1
    from mmq.workflows._finetune import finetune as finetune
    from mmq.workflows._fit import fit as fit
    from mmq.workflows._hub import pull as pull
    from mmq.workflows._hub import push as push
    from mmq.workflows._import import import_data as import_data
    from mmq.workflows._import import import_npy as import_npy
    from mmq.workflows._import_ids import IdImport as IdImport
    from mmq.workflows._import_ids import import_ids as import_ids
    from mmq.workflows._inspect import inspect as inspect
    from mmq.workflows._recommend import ItemFilters as ItemFilters
    from mmq.workflows._recommend import recommend as recommend
    from mmq.workflows._recommend_users import RecommendationFile as RecommendationFile
    from mmq.workflows._recommend_users import recommend_users as recommend_users
    from mmq.workflows._release import release as release
    from mmq.workflows._run import Run as Run
    from mmq.workflows._score import score as score
    from mmq.workflows._settings import defaults_of as defaults_of
    from mmq.workflows._settings import kinds_by_family as kinds_by_family
    from mmq.workflows._settings import settings_of as settings_of
    from mmq.workflows._train_ranking import train_ranking as train_ranking
    from mmq.workflows._train_retrieval import train_retrieval as train_retrieval
    from mmq.workflows._tune import tune as tune

_HOMES = {
    **{
        name: f"_{name}"
        for name in (
            "compare",
            "demo",
            "doctor",
            "embed",
            "embed_behaviour",
            "encode",
            "encode_parts",
        )
    },
    **{name: f"_{name}" for name in ("evaluate", "export_onnx", "finetune", "fit", "inspect")},
    **{
        name: f"_{name}"
        for name in ("recommend", "release", "score", "train_ranking", "train_retrieval", "tune")
    },
    **dict.fromkeys(("AbLogs", "ab_analyse", "ab_plan", "ab_replay", "ab_simulate"), "_ab"),
    "Contender": "_compare",
    "export_vectors": "_export_vectors",
    "IdImport": "_import_ids",
    "ItemFilters": "_recommend",
    "LogFile": "_files",
    "ModelFolder": "_files",
    "RecommendationFile": "_recommend_users",
    "Run": "_run",
    "Stage1": "_finetune",
    "defaults_of": "_settings",
    "import_data": "_import",
    "import_ids": "_import_ids",
    "import_npy": "_import",
    "kinds_by_family": "_settings",
    "recommend_users": "_recommend_users",
    "pull": "_hub",
    "push": "_hub",
    "settings_of": "_settings",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a verb when it is first used: most need torch, and ``mmq --help`` does not."""
    if name in _HOMES:
        return getattr(import_module(f"mmq.workflows.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mmq.workflows' has no attribute '{name}'")
