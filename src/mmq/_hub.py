"""Model folders on a hub: what its client does, with every refusal as one sentence.

Endpoint, token and offline mode are those of the client itself: ``HF_ENDPOINT``, ``HF_TOKEN`` or
``hf auth login``, ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    errors,
    get_token,
    snapshot_download,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from mmq.errors import DataError, SettingsError

_HTTPError: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
"""Of the library under the client, which differs by the client's version."""
_LOGIN = "set HF_TOKEN, or log in with: hf auth login"


class Repository(NamedTuple):
    """A repository of a hub.

    Attributes:
        name: OWNER/NAME.
        revision: branch, tag or commit; None is the main branch.
    """

    name: str
    revision: str | None = None

    def commit(self) -> str:
        """Hash of the commit that the revision is.

        Raises:
            DataError: there is no such thing, or it cannot be reached.
        """
        with refusals(self):
            found = HfApi().model_info(self.name, revision=self.revision)
        assert found.sha is not None, "the hub names the commit of every revision"
        return found.sha

    def download(self, folder: Path, files: Collection[str]) -> None:
        """Put into a folder those of some files that there are.

        Raises:
            DataError: there is no such repository, or it cannot be reached.
        """
        with refusals(self):
            snapshot_download(
                self.name, revision=self.revision, local_dir=folder, allow_patterns=list(files)
            )
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's notes on the download

    def upload(
        self, contents: Mapping[str, Path | bytes], owned: Collection[str], message: str
    ) -> str:
        """Commit files all together, to a branch that is made if it is not there; the hash.

        Args:
            contents: name -> file or its content.
            owned: names of which those that are there and not in ``contents`` go.
            message: of the commit.

        Raises:
            DataError: there is no such repository, or the hub refuses.
        """
        api = HfApi()
        with refusals(self):
            if self.revision is not None:
                api.create_branch(self.name, branch=self.revision, exist_ok=True)
            there = api.list_repo_files(self.name, revision=self.revision)
            stale = sorted(set(there) & set(owned) - contents.keys())
            done = api.create_commit(
                self.name,
                [
                    *(CommitOperationAdd(name, what) for name, what in contents.items()),
                    *(CommitOperationDelete(name) for name in stale),
                ],
                commit_message=message,
                revision=self.revision,
            )
        return str(done.oid)

    def create(self, private: bool) -> None:
        """Make the repository, unless it is there.

        Raises:
            DataError: there is no token, or the hub refuses.
        """
        if get_token() is None:
            raise DataError(f"there is no token to write to {self.name} with; {_LOGIN}")
        with refusals(self):
            HfApi().create_repo(self.name, private=private or None, exist_ok=True)


@contextlib.contextmanager
def refusals(repository: Repository) -> Iterator[None]:
    """Turn what the hub's client raises into a :class:`~mmq.errors.UserError`.

    Errors of the disk go on as they are.
    """
    try:
        with _bars():
            yield
    except HFValidationError as error:
        raise SettingsError(
            f"'{repository.name}' cannot be a repository's name; give OWNER/NAME, of letters, "
            "digits, '-', '_' and '.'"
        ) from error
    except (_HTTPError, OSError) as error:  # the client's own, and those of the library under it
        if isinstance(error, LocalEntryNotFoundError):  # it looked for a copy on the disk instead
            error = error.__cause__ if isinstance(error.__cause__, OSError) else error
        elif isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
            raise
        raise DataError(_sentence(repository, error)) from error


@contextlib.contextmanager
def _bars() -> Iterator[None]:
    """Hide the client's progress bars where standard error is no terminal."""
    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _sentence(repository: Repository, error: Exception) -> str:
    name, revision = repository
    if isinstance(error, OfflineModeIsEnabled):
        return f"{name} is on a hub and HF_HUB_OFFLINE is set; unset it to reach the hub"
    if isinstance(error, RevisionNotFoundError):
        return f"{name} has no revision '{revision}'; check --revision"
    if not isinstance(error, HfHubHTTPError):
        return f"the hub with {name} cannot be reached ({_first(error)}); check the network"
    status = error.response.status_code
    if status == 403:
        return f"the hub forbids this for {name}; use a token that may do it, or another repository"
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return f"the hub shows no repository {name}; check the name, and if it is private {_LOGIN}"
    if status == 401:
        return f"the hub does not accept the token for {name}; {_LOGIN}"
    return f"the hub refuses what was asked of {name} (HTTP {status}); try again later"


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
