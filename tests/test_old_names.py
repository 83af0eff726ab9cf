"""Modules that are internal now are found by their old names for a while."""

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("old", "names"),
    [
        ("mmq.data.interactions", ["Interactions", "read_interactions"]),
        ("mmq.data.items", ["read_items"]),
        ("mmq.artifacts", ["write_file"]),
        ("mmq.recommenders.sasrec", ["SASRec"]),
    ],
)
def test_an_old_name_gives_the_same_things_and_warns(old, names, monkeypatch):
    package, _, module = old.rpartition(".")
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{old} is internal now .* import from {package}$"):
        found = importlib.import_module(old)
    internal = importlib.import_module(f"{package}._{module}")
    for name in names:
        assert getattr(found, name) is getattr(
            internal, name, getattr(importlib.import_module(package), name, None)
        )
    monkeypatch.delitem(sys.modules, old, raising=False)


@pytest.mark.parametrize("name", ["mmq.data.nothing", "mmq.tokenizers.mmq"])
def test_what_never_was_and_whole_packages_are_not_found(name):
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)
