"""A model's folder to a hub and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from mmq._artifacts import check_replaceable, write_folder
from mmq._hub import Repository
from mmq._model_folder import CARD, CONFIG, family_of, fingerprint
from mmq.errors import DataError, FormatError, UserError
from mmq.model import FAMILIES, Model, folder_format, load
from mmq.workflows._run import locks_out


def push(
    folder: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    license: str | None = None,
) -> dict[str, Any]:
    """Kind, repository and commit of a model that was put on a hub, in one commit.

    Args:
        folder: a tokenizer, recommender or ranker; it is loaded first.
        repo: OWNER/NAME; made if it is not there.
        private: make it private; one that is there stays as it is.
        revision: branch, made if it is not there; None is the main branch.
        message: of the commit.
        license: that the model card names, such as "apache-2.0".

    Raises:
        DataError: no model in the folder, no token, no network, or the hub refuses.
        FormatError: the folder is damaged.

    Example: ``push("tokenizer", "me/toys")``
    """
    folder, repository = Path(folder), Repository(repo, revision)
    model: Model[Any] = load(folder, "cpu")
    owned = model.folder_format.model_files
    contents: dict[str, Path | bytes] = {
        name: folder / name for name in owned if (folder / name).is_file()
    }
    contents[CARD] = _card(folder, license)
    repository.create(private)
    commit = repository.upload(contents, _all_files(), message or f"mmq {model.kind}")
    return _figures(model, repo, commit) | {"files": sorted(contents)}


@locks_out
def pull(
    repo: str, out: str | Path, *, revision: str | None = None, force: bool = False
) -> dict[str, Any]:
    """Kind, repository and commit of a hub's model that was written to a folder.

    It is loaded before it takes its place.

    Args:
        repo: OWNER/NAME.
        out: the folder to write.
        revision: branch, tag or commit; None is the main branch.
        force: replace another model that stands there; what is no model is never replaced.

    Raises:
        DataError: no such repository, no network, or ``out`` holds something else.
        FormatError: there is no model of mmq in the repository.

    Example: ``pull("me/toys", "tokenizer")``
    """
    out = Path(out)
    _check_target(out)
    commit = Repository(repo, revision).commit()
    with write_folder(out, CONFIG) as new:
        Repository(repo, commit).download(new, _all_files())
        model = _loaded(new, repo)
        if not force:
            _check_same(new, out)
    return _figures(model, repo, commit) | {"out": str(out)}


def _card(folder: Path, license: str | None) -> bytes:
    """The model card of a folder, with a license if there is one to name."""
    if not (folder / CARD).is_file():
        raise DataError(f"{folder} has no {CARD}; copy the whole folder, or make the model again")
    text = (folder / CARD).read_text("utf-8")
    if license is not None:
        card = ModelCard(text)
        card.data["license"] = license
        text = str(card)
    return text.encode()


def _all_files() -> set[str]:
    """Names of the files that a model of any family has."""
    return {name for family in FAMILIES for name in folder_format(family).model_files}


def _check_target(out: Path) -> None:
    """Raise :class:`~mmq.errors.DataError` if something stands there that is no model."""
    check_replaceable(out, CONFIG)
    family = family_of(out, FAMILIES)
    folder_format(family or next(iter(FAMILIES))).check_target(out)


def _check_same(new: Path, out: Path) -> None:
    """Raise :class:`~mmq.errors.DataError` if another model stands there."""
    if (out / CONFIG).is_file() and fingerprint(new) != fingerprint(out):
        raise DataError(
            f"{out} holds another model; choose another --out, or replace it with --force"
        )


def _loaded(folder: Path, repo: str) -> Model[Any]:
    try:
        model: Model[Any] = load(folder, "cpu")
    except UserError as error:
        why = str(error).replace(str(folder), repo).split(";")[0]
        raise FormatError(f"{repo} holds no model that mmq can load: {why}") from error
    return model


def _figures(model: Model[Any], repo: str, commit: str) -> dict[str, Any]:
    family = model.folder_format.family
    return {"family": family, "kind": model.kind, "repo": repo, "commit": commit}
