"""Modules by the names that they had before internal ones got an underscore, for one release."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_MOVED = {"mmq.data.interactions": ("mmq.data", "read_interactions")}
"""Old module -> package and name of what has left it since."""


class OldNames(MetaPathFinder):
    """Finds ``mmq.data._items`` where ``mmq.data.items`` is imported, and warns."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A copy of the internal module; None where there is none, or a whole package."""
        package, _, module = name.rpartition(".")
        if package.split(".")[0] != "mmq" or module.startswith("_"):
            return None
        found = find_spec(f"{package}._{module}")
        if found is None or found.submodule_search_locations is not None:
            return None
        return ModuleSpec(name, _Copy(found.name))


class _Copy(Loader):
    def __init__(self, internal: str) -> None:
        self.internal = internal

    def exec_module(self, module: ModuleType) -> None:
        package = self.internal.rpartition(".")[0]
        warnings.warn(
            f"{module.__name__} is internal now and will go; import from {package}",
            DeprecationWarning,
            stacklevel=2,
        )
        names = vars(import_module(self.internal))
        vars(module).update({n: v for n, v in names.items() if not n.startswith("__")})
        if module.__name__ in _MOVED:
            home, name = _MOVED[module.__name__]
            setattr(module, name, getattr(import_module(home), name))


def install() -> None:
    """Look for old names where an import finds nothing else."""
    if not any(isinstance(each, OldNames) for each in sys.meta_path):
        sys.meta_path.append(OldNames())
