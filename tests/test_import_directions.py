"""Imports point one way, and the light packages stay free of torch. Read from the source by ast."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "mmq"

LAYERS = (
    {
        "errors",
        "artifacts",
        "formats",
        "locks",
        "made_from",
        "settings",
        "progress",
        "version",
        "nn",
        "hub",
        "old_names",
    },
    {"data"},
    {"ab", "encoders", "semantic_ids", "training", "metrics", "model_folder"},
    {"model"},
    {"log_model", "network_model"},
    {"recommenders", "ranking", "tokenizers", "decoding"},
    {"finetuning", "onnx"},
    {"reports"},
    {"release"},
    {"workflows"},
    {"cli", "serve", "testing", "__main__", "__init__"},
)
"""Packages from the ground up. ``mmq/__init__.py`` is on top: it hands out the public names."""

WITHOUT_TORCH = {"ab", "data", "semantic_ids", "metrics"}

PASSES_ON = "mmq.cli._reproduce"

Imports = dict[str, set[str]]


def level(package: str) -> int:
    """How high a package is; a new one has to be given its place in LAYERS."""
    return next(height for height, layer in enumerate(LAYERS) if package in layer)


def package_of(module: str) -> str:
    """The part of mmq that a module is in; internal modules of the ground without underscore."""
    name = [*module.split("."), "__init__"][1]
    return name if name.startswith("__") else name.removeprefix("_")


def imported_names(code: str, package: str) -> Iterator[str]:
    """Dotted names of every import of a module, inside functions too."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def read_imports(source: Path) -> Imports:
    """Module -> what it imports: modules of mmq by their full name, others by their first word."""
    files = {
        ".".join(["mmq", *path.relative_to(source).with_suffix("").parts]).removesuffix(
            ".__init__"
        ): path
        for path in source.rglob("*.py")
    }

    def modules(name: str) -> set[str]:
        """The module and the packages around it, whose ``__init__`` runs before it."""
        words = name.split(".")
        around = {".".join(words[:end]) for end in range(2, len(words) + 1)} & files.keys()
        return around or {"mmq"}

    imports: Imports = {}
    for own, path in files.items():
        package = own if path.name == "__init__.py" else own.rpartition(".")[0]
        names = set(imported_names(path.read_text("utf-8"), package))
        foreign = {name.split(".")[0] for name in names} - {"mmq"}
        inner = [modules(name) for name in names if name.split(".")[0] == "mmq"]
        imports[own] = foreign.union(*inner) - {own}
    return imports


def upward(imports: Imports) -> list[str]:
    """Imports that climb to a higher layer."""
    return [
        f"{own} imports {other}"
        for own, others in imports.items()
        for other in others & imports.keys()
        if level(package_of(other)) > level(package_of(own))
    ]


def circle(imports: Imports) -> list[str]:
    """Packages that import one another in a circle, or none."""
    graph: dict[str, set[str]] = {}
    for own, others in imports.items():
        packages = {package_of(other) for other in others & imports.keys()}
        graph.setdefault(package_of(own), set()).update(packages - {package_of(own)})
    return _circle(graph)


def reaching_torch(imports: Imports) -> list[str]:
    """Modules of light packages that import torch, directly or through another module."""
    heavy = {own for own, others in imports.items() if "torch" in others}
    while more := {own for own, others in imports.items() if others & heavy} - heavy:
        heavy |= more
    return sorted(own for own in heavy if package_of(own) in WITHOUT_TORCH)


def beside_formulas(imports: Imports) -> list[str]:
    """Modules of ``nn`` that import another part of mmq: formulas need torch alone."""
    return [
        f"{own} imports {other}"
        for own, others in imports.items()
        for other in others & imports.keys()
        if package_of(own) == "nn" != package_of(other)
    ]


def module_circle(imports: Imports) -> list[str]:
    """Modules that import one another in a circle, or none; a package's ``__init__`` aside."""
    packages = {own.rpartition(".")[0] for own in imports}
    graph = {own: others & imports.keys() - packages for own, others in imports.items()}
    return _circle(graph)


def _circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def drawers(imports: Imports) -> list[str]:
    """Modules whose name says nothing."""
    return [
        own for own in imports if own.rpartition(".")[2] in {"utils", "util", "helpers", "misc"}
    ]


def beside_the_package(imports: Imports) -> list[str]:
    """Modules that import what is not in the wheel; ``mmq reproduce`` alone does, from a clone."""
    outside = {"experiments", "benchmarks"}
    return [own for own, others in imports.items() if others & outside and own != PASSES_ON]


CHECKS = [
    beside_the_package,
    upward,
    circle,
    module_circle,
    beside_formulas,
    reaching_torch,
    drawers,
]


@pytest.mark.parametrize("check", CHECKS)
def test_imports_point_one_way(check) -> None:
    imports = read_imports(SOURCE)
    assert "mmq.data._catalogue" in imports["mmq.data._parquet"], "the imports were not read"
    assert check(imports) == []


def test_every_package_has_its_place() -> None:
    packages = {package_of(module) for module in read_imports(SOURCE)}
    assert packages <= set().union(*LAYERS), "give the new package its layer in LAYERS"


PLANTED = {
    "beside_the_package": ({"data/a.py": "import experiments.results"}, 1),
    "upward": ({"data/a.py": "def f():\n    from mmq.cli import main", "cli/__init__.py": ""}, 1),
    "circle": ({"nn/a.py": "from ..metrics import b", "metrics/b.py": "import mmq.nn.a"}, 3),
    "module_circle": ({"nn/a.py": "from .b import f", "nn/b.py": "import mmq.nn.a"}, 3),
    "beside_formulas": ({"nn/a.py": "from mmq.errors import DataError", "errors.py": ""}, 1),
    "reaching_torch": ({"data/a.py": "from mmq.nn import a", "nn/a.py": "import torch.nn"}, 1),
    "drawers": ({"metrics/utils.py": ""}, 1),
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_planted_violation_is_found(check, tmp_path: Path) -> None:
    files, found = PLANTED[check.__name__]
    for name, code in {"__init__.py": "", **files}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    assert len(check(read_imports(tmp_path))) == found
