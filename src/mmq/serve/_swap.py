"""Which release is active: another is loaded beside it, and takes its place in one step."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmq._formats import read_json, write_json
from mmq.errors import DataError, FormatError, UserError
from mmq.release import MANIFEST, Release, ReleaseManifest, ReleaseName, require_name
from mmq.release._manifest import read_manifest
from mmq.serve._metrics import Metrics
from mmq.serve._problems import ServiceError
from mmq.serve._recommending import Question, recommend

_log = logging.getLogger("mmq.serve")
_WARM = 3
"""Questions that a release answers before it is active."""


class Swap:
    """The active release, and the ways to another one.

    Args:
        folder: of releases.
        state: folder that remembers which is active.
        metrics: figures.

    Attributes:
        active: what answers; read it once an answer, since it may be another one at any time.
        previous: name of the one before.
    """

    def __init__(self, folder: Path, state: Path, metrics: Metrics) -> None:
        self._folder, self._state, self._metrics = folder, state / "active.json", metrics
        self._swapping, self._thread = asyncio.Lock(), ThreadPoolExecutor(1, "load")
        self.previous: str | None = None
        self.active: Release

    def manifests(self) -> tuple[list[ReleaseManifest], dict[str, str]]:
        """Manifests, the newest first; and what is wrong with releases that are damaged."""
        whole, damaged = [], {}
        for path in sorted(self._folder.glob(f"*/{MANIFEST}")):
            try:
                whole.append(read_manifest(path.parent))
            except UserError as error:
                damaged[path.parent.name] = str(error)
        return sorted(whole, key=lambda each: each.created, reverse=True), damaged

    def begin(self, name: str | None) -> None:
        """Load the first release.

        Args:
            name: of it; None takes the one that was active last (or, if that is damaged, the one
                before it), or else the newest.

        Raises:
            DataError: there is no release.
            FormatError: it is damaged.
        """
        remembered = self._remembered()
        wanted = [name] if name else [each for each in remembered if each]
        wanted = wanted or [each.name for each in self.manifests()[0]][:1]
        if not wanted:
            raise DataError(f"there is no release in {self._folder}; make one with mmq release")
        self.active = self._first(wanted)
        self.previous = next(
            (each for each in remembered if each and each != self.active.identity.name), None
        )
        self._remember()

    async def activate(self, name: str) -> ReleaseName:
        """Make a release active; where that fails the one before goes on.

        Raises:
            ServiceError: no such release (404), it cannot be loaded (409), or another is being
                loaded (409).
        """
        if self._swapping.locked():
            raise ServiceError(409, "another release is being loaded; come again when it is", 5)
        async with self._swapping:
            return await self._swap_to(name, remember=True)

    async def roll_back(self) -> ReleaseName:
        """Make the release before the active one active again; raises as :meth:`activate`."""
        if self.previous is None:
            raise ServiceError(409, "no release was active before this one; activate one by name")
        return await self.activate(self.previous)

    async def follow(self, seconds: float = 1.0) -> None:
        """Take up what other processes of this service activate, for ever."""
        while True:
            await asyncio.sleep(seconds)
            name = self._remembered()[0]
            if name is None or name == self.active.identity.name or self._swapping.locked():
                continue
            async with self._swapping:
                try:
                    await self._swap_to(name, remember=False)
                except ServiceError as error:
                    _log.warning("stayed with %s: %s", self.active.identity.name, error)

    def close(self) -> None:
        """Let go of the thread that loads."""
        self._thread.shutdown()

    async def _swap_to(self, name: str, remember: bool) -> ReleaseName:
        try:
            path = self._path(name)
        except UserError as error:
            raise ServiceError(404, str(error)) from None
        loop = asyncio.get_running_loop()
        try:
            release = await loop.run_in_executor(self._thread, self._loaded, path)
        except UserError as error:
            self._metrics.swaps.labels("refused").inc()
            raise ServiceError(409, f"{error}; the release before goes on") from None
        if release.identity.name != self.active.identity.name:
            self.previous = self.active.identity.name
        self.active = release  # one assignment: an answer sees the one or the other
        self._note()
        if remember:
            self._remember()
        return release.identity

    def _path(self, name: str) -> Path:
        """The folder of a release; a plain name, so that it leads nowhere else."""
        folder = self._folder / require_name(name)
        if not (folder / MANIFEST).is_file():
            raise DataError(f"there is no release '{name}'; see /v1/releases")
        return folder

    def _loaded(self, path: Path) -> Release:
        release = Release.load(path)
        release.prepare()
        first = release.item_ids(release.table_rows[:1])
        recommend(release, [Question(first), Question([]), Question(first, why=True)][:_WARM])
        return release

    def _first(self, wanted: list[str]) -> Release:
        for name in wanted[:-1]:
            try:
                return self._noted(name)
            except UserError as error:
                _log.warning("the release that was active cannot be loaded: %s", error)
        return self._noted(wanted[-1])

    def _noted(self, name: str) -> Release:
        self.active = self._loaded(self._path(name))
        self._note()
        return self.active

    def _note(self) -> None:
        self._metrics.activated(self.active.identity)
        self._metrics.swaps.labels("done").inc()
        _log.info("release %s (%s) is active", *self.active.identity)

    def _remembered(self) -> tuple[str | None, str | None]:
        """Names of the release that was active last, and of the one before."""
        if not self._state.is_file():
            return None, None
        try:
            state = read_json(self._state, "state")
        except FormatError as error:
            _log.warning("%s", error)
            return None, None
        return state.get("active"), state.get("previous")

    def _remember(self) -> None:
        state = {"active": self.active.identity.name, "previous": self.previous}
        write_json(self._state, state)
