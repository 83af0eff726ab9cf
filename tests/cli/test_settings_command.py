"""``mmq settings`` says what can be set, and what it says can be used."""

import json

import pytest

from mmq import __version__
from mmq.cli import main
from mmq.model import FAMILIES, kinds
from mmq.settings import gather
from mmq.workflows import defaults_of, settings_of

KINDS = [kind for family in FAMILIES for kind in kinds(family)]


def settings_class(kind):
    return next(kinds(family)[kind] for family in FAMILIES if kind in kinds(family)).settings_class


@pytest.mark.parametrize("kind", [*KINDS, "finetune"])
def test_every_setting_of_every_kind_is_described(kind):
    found = settings_of(kind)["settings"]
    assert [each["name"] for each in found] == list(defaults_of(kind))
    for each in found:
        assert each["default"] == defaults_of(kind)[each["name"]]
        assert each["values"], each
        assert each["meaning"].endswith((".", ")")), each
        assert not set("`\n") & set(each["meaning"]), each


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        ("mmq", "learning", "least-squares or gradient"),
        ("mmq", "shared_experts", "whole number at least 0 or none"),
        ("mmq", "specific_experts", "whole number or whole number for each name"),
        ("rqvae", "hidden_sizes", "list of whole number above 0"),
        ("heterrec", "item_token", "true or false or none"),
        ("heterrec", "unmet_weight", "number at least 0, at most 1"),
        ("sasrec", "dropout", "number at least 0, below 1"),
    ],
)
def test_values_are_told_in_words(kind, name, values):
    told = {each["name"]: each["values"] for each in settings_of(kind)["settings"]}
    assert told[name] == values


@pytest.mark.parametrize("kind", KINDS)
def test_the_toml_is_a_config_of_the_defaults(kind, capsys, tmp_path):
    assert main(["settings", kind, "--toml"]) == 0
    (tmp_path / "made.toml").write_text(capsys.readouterr().out)
    made = settings_class(kind).parse(gather(tmp_path / "made.toml", []))
    assert made == settings_class(kind)()


def test_the_command_prints_them(capsys):
    assert main(["settings", "sasrec"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"sasrec (recommender): {len(defaults_of('sasrec'))} settings"
    assert "heads = 2  (whole number above 0)" in lines
    assert main(["settings", "sasrec", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == settings_of("sasrec")


def test_without_a_kind_all_are_listed(capsys):
    assert main(["settings", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert sorted(kind for each in listed.values() for kind in each) == sorted([*KINDS, "finetune"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["sasrek"], "mmq: there is no kind 'sasrek' of model; did you mean 'sasrec'?\n"),
        (["--toml"], "mmq: --toml prints the settings of one kind; name it, without --json\n"),
        (["sasrec", "--toml", "--json"], "mmq: --toml prints the settings of one kind"),
    ],
)
def test_mistakes(arguments, error, capsys):
    assert main(["settings", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(error)
    assert printed.out == ""


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mmq {__version__}\n"
