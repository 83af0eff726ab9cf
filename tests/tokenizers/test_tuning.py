import json
import tomllib

import numpy as np
import pytest

from mmq._formats import with_checksum
from mmq.errors import DataError, FormatError, SettingsError
from mmq.model import kinds
from mmq.testing import tiny_catalogue
from mmq.tokenizers import MMQSettings, MMQTokenizer, RQKMeansTokenizer
from mmq.tokenizers._mmq.space import BY_GRADIENT, Split
from mmq.tokenizers._search_space import Choice, LogUniform, Size, Uniform
from mmq.tokenizers._tuning import TunePlan, tune
from mmq.tokenizers._tuning.draws import draws, settled, unfixed

FIXED = {
    "learning": "gradient",
    "codebook_size": 8,
    "latent_dim": 8,
    "epochs": 9,
    "batch_size": 64,
}
PLAN = TunePlan(trials=4, hold_out=0.2)


def unfinished(trials):
    """Trials without their wall time."""
    return [trial._replace(seconds=0.0) for trial in trials]


def held_out(trial):
    return trial.figures["fvu_codes"]["held_out"]


# --- spaces ---

GRADIENT = {"learning": "gradient"}
ALL_SPACES = [
    *((kind, made.search_space({}), {}) for kind, made in kinds("tokenizer").items()),
    ("mmq", BY_GRADIENT, GRADIENT),
]


def space_of_mmq(fixed):
    return unfixed(MMQTokenizer.search_space(fixed), fixed)


def test_every_kind_has_a_space_of_its_own_settings():
    assert all(space for _, space, _ in ALL_SPACES)
    for kind, space, fixed in ALL_SPACES:
        settings = kinds("tokenizer")[kind].settings_class

        def fits(values, settings=settings, fixed=fixed):
            try:
                settings.parse({**fixed, **values})
            except SettingsError:
                return False
            return True

        for drawn in draws(space, 40, 0, fits):
            values = {**fixed, **drawn}
            parsed = settings.parse(values)
            assert all(value is not None for value in values.values())  # TOML has no null
            assert settings.parse(json.loads(json.dumps(values))) == parsed


def test_noise_is_drawn_around_the_default_of_so_many_items():
    space, defaults = BY_GRADIENT, MMQSettings(learning="gradient")
    for items in (2_000, 1_000_000):
        drawn = [
            settled(values, space, defaults, Size(items, 2))["input_noise"]
            for values in draws(space, 30, 0)[1:]
        ]
        assert 0 <= min(drawn) < max(drawn) <= 2 * defaults.resolved_noise(items)
        assert max(drawn) > defaults.resolved_noise(items)


def test_every_value_of_a_space_is_allowed_with_the_defaults():
    for kind, space, fixed in ALL_SPACES:
        for name, source in space.items():
            if isinstance(source, Choice):
                ends = source.values
            else:
                ends = source.specific if isinstance(source, Split) else (source.low, source.high)
            for value in ends:
                kinds("tokenizer")[kind].settings_class.parse({**fixed, name: value})


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_experts_are_split_anew_and_the_id_keeps_its_length(modalities):
    space = space_of_mmq({})
    made = [
        settled(v, space, MMQSettings(), Size(500, modalities)) for v in draws(space, 60, 0)[1:]
    ]
    lengths = {v["shared_experts"] + modalities * v["specific_experts"] for v in made}
    assert lengths == {2 + 2 * modalities}
    assert {v["specific_experts"] for v in made} == {0, 1, 2, 3}


def test_what_the_user_fixes_is_not_searched():
    assert "specific_experts" not in space_of_mmq({"shared_experts": 3})
    assert "smoothing" not in space_of_mmq({"smoothing": 0.5})
    assert "learning_rate" not in space_of_mmq({})
    assert "learning_rate" in space_of_mmq(GRADIENT)
    assert "smoothing" not in space_of_mmq(GRADIENT)


def test_draws_begin_with_the_defaults_and_do_not_repeat():
    space = {"a": Choice((1, 2, 3)), "b": Uniform(0, 1), "c": LogUniform(1e-4, 1e-1)}
    found = draws(space, 300, seed=0)
    assert found[0] == {}
    assert len({json.dumps(values) for values in found}) == 300
    assert draws(space, 9, seed=0) == found[:9]
    assert draws(space, 9, seed=1) != found[:9]
    assert {values["a"] for values in found[1:]} == {1, 2, 3}
    assert all(0 <= values["b"] <= 1 for values in found[1:])
    rates = np.array([values["c"] for values in found[1:]])
    assert ((rates >= 1e-4) & (rates <= 1e-1)).all()
    assert 0.2 < (rates < 1e-3).mean() < 0.5  # a third, were the logarithm uniform
    assert all(value == float(f"{value:.3g}") for value in rates)


def test_a_space_that_is_smaller_than_the_search_repeats():
    assert draws({"a": Choice((1,))}, 3, seed=0) == [{}, {"a": 1}, {"a": 1}]


# --- the search ---


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "run"
    return tune(tiny_catalogue(), "mmq", PLAN, FIXED, folder), folder


def test_a_third_of_the_trials_goes_on_and_the_defaults_do_in_any_case(searched):
    found, _ = searched
    short = [trial for trial in found.trials if trial.rung == "short"]
    full = [trial for trial in found.trials if trial.rung == "full"]
    assert [trial.number for trial in short] == [0, 1, 2, 3]
    assert {trial.epochs for trial in short} == {3}
    assert {trial.epochs for trial in full} == {9}
    passed = sorted(short, key=held_out)[:2]  # a third of four, rounded up
    assert {trial.number for trial in full} == {0, *(trial.number for trial in passed)}
    assert found.default == full[0]
    assert found.default.settings == {"seed": 0, **FIXED}
    assert held_out(found.best) == min(held_out(trial) for trial in full)
    assert found.settings["latent_dim"] == 8
    assert found.seconds == pytest.approx(sum(trial.seconds for trial in found.trials))


def test_the_choice_is_what_a_plain_fit_gives(searched):
    found, folder = searched
    settings = tomllib.loads((folder / "best.toml").read_text())
    tokenizer = kinds("tokenizer")["mmq"](**settings)
    result = tokenizer.fit(tiny_catalogue(), hold_out=PLAN.hold_out)
    assert tokenizer.settings.to_dict() == found.settings
    assert result.fvu_codes["held_out"] == held_out(found.best)


def test_everything_is_written_down(searched):
    found, folder = searched
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.toml", "plan.json", "trials.jsonl", "tuning.json",
    ]  # fmt: skip
    record = json.loads((folder / "tuning.json").read_text())
    assert record["plan"] == PLAN.to_dict()
    searched_over = set(BY_GRADIENT) - set(FIXED)
    assert set(record["space"]) == searched_over
    for name in searched_over:
        source = BY_GRADIENT[name]
        assert record["space"][name] == json.loads(json.dumps(source.described()))
    assert record["best"]["settings"] == found.settings
    lines = (folder / "trials.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [with_checksum(t) for t in record["trials"]]
    assert [trial._asdict() for trial in found.trials] == record["trials"]


def test_it_is_the_same_each_time_and_another_by_seed(searched):
    again = tune(tiny_catalogue(), "mmq", PLAN, FIXED)
    assert unfinished(again.trials) == unfinished(searched[0].trials)
    other = tune(tiny_catalogue(), "mmq", PLAN.model_copy(update={"seed": 1}), FIXED)
    assert unfinished(other.trials) != unfinished(searched[0].trials)


def test_a_kind_without_epochs_is_fitted_once_a_trial():
    found = tune(tiny_catalogue(), "opq", PLAN, {"codebook_size": 8, "length": 4})
    assert [(trial.number, trial.rung, trial.epochs) for trial in found.trials] == [
        (number, "full", None) for number in range(4)
    ]
    assert found.best == min(found.trials, key=held_out)


def test_the_default_learning_is_fitted_once_a_trial_too():
    plan = TunePlan(trials=2, hold_out=0.2)
    found = tune(tiny_catalogue(), "mmq", plan, {"codebook_size": 8, "smoothing": 0.5})
    assert [(each.rung, each.epochs, each.error) for each in found.trials] == 2 * [
        ("full", None, None)
    ]
    drawn = found.trials[1].settings
    assert drawn["shared_experts"] + 2 * drawn["specific_experts"] == 6


def test_one_trial_is_the_defaults_at_full_length():
    found = tune(tiny_catalogue(), "mmq", TunePlan(trials=1, hold_out=0.2), FIXED)
    assert [(trial.number, trial.rung, trial.epochs) for trial in found.trials] == [(0, "full", 9)]


def test_another_figure_may_be_chosen():
    plan = PLAN.model_copy(update={"figure": "l_recon"})
    found = tune(tiny_catalogue(), "rqkmeans", plan, {"codebook_size": 8, "length": 4})
    least = min(trial.figures["l_recon"]["held_out"] for trial in found.trials)
    assert found.best.figures["l_recon"]["held_out"] == least


def test_a_trial_that_diverges_is_recorded_and_the_rest_goes_on(monkeypatch, tmp_path):
    space = {"learning_rate": Choice((1e12, 1e11, 6e-3))}
    monkeypatch.setattr(MMQTokenizer, "search_space", lambda _: space)
    found = tune(tiny_catalogue(), "mmq", PLAN, FIXED, tmp_path / "t")
    failed = [trial for trial in found.trials if trial.error]
    assert len(failed) == 2
    assert all("diverged" in trial.error and trial.figures is None for trial in failed)
    assert found.best.error is None
    assert {trial.rung for trial in failed} == {"short"}  # what has failed does not go on
    again = tune(tiny_catalogue(), "mmq", PLAN, FIXED, tmp_path / "t", standing="resume")
    assert again == found


def test_a_kind_that_names_no_settings_is_refused(monkeypatch):
    monkeypatch.setattr(RQKMeansTokenizer, "search_space", lambda _: {})
    with pytest.raises(SettingsError, match="rqkmeans names no settings to search"):
        tune(tiny_catalogue(), "rqkmeans", PLAN)


def test_a_search_of_failures_is_an_error():
    with pytest.raises(DataError, match=r"none of the 2 trials succeeded; the first said: .*div"):
        tune(tiny_catalogue(), "mmq", TunePlan(trials=2), {**FIXED, "learning_rate": 1e12})


def test_settings_that_do_not_fit_together_fail_alone(monkeypatch):
    space = {"shared_experts": Choice((0, 1))}
    monkeypatch.setattr(MMQTokenizer, "search_space", lambda _: space)
    plan = TunePlan(trials=3, hold_out=0.2)
    found = tune(
        tiny_catalogue(), "mmq", plan, {**FIXED, "specific_experts": {"text": 0, "image": 0}}
    )
    assert sum("give one expert" in (trial.error or "") for trial in found.trials) == 1
    assert found.best.error is None


# --- going on ---


def stopped(folder, after, standing="refuse"):
    """A tuning that is interrupted after so many fits."""
    left = iter(range(after - 1))

    def watch(trial):
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tiny_catalogue(), "mmq", PLAN, FIXED, folder, standing, watch=watch)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_tuning_that_was_stopped_goes_on_to_the_same_result(after, searched, tmp_path):
    stopped(tmp_path / "t", after)
    assert not (tmp_path / "t" / "best.toml").exists()
    with (tmp_path / "t" / "trials.jsonl").open("ab") as file:
        file.write(b'{"number": 3, "rung"')  # a line cut in the middle
    made = []
    found = tune(
        tiny_catalogue(), "mmq", PLAN, FIXED, tmp_path / "t", standing="resume", watch=made.append
    )
    assert len(made) == len(found.trials) - after  # what was done is not done again
    assert unfinished(found.trials) == unfinished(searched[0].trials)
    assert found.settings == searched[0].settings
    assert (tmp_path / "t" / "best.toml").read_text() == (searched[1] / "best.toml").read_text()


def test_a_finished_tuning_is_read_back(searched):
    made = []
    found = tune(
        tiny_catalogue(), "mmq", PLAN, FIXED, searched[1], standing="resume", watch=made.append
    )
    assert (found, made) == (searched[0], [])


def test_a_tuning_is_not_overwritten(searched):
    before = {path.name: path.read_bytes() for path in searched[1].iterdir()}
    with pytest.raises(DataError, match="holds a tuning already; go on with it by --resume"):
        tune(tiny_catalogue(), "mmq", PLAN, FIXED, searched[1])
    assert {path.name: path.read_bytes() for path in searched[1].iterdir()} == before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": "rqkmeans", "fixed": {"codebook_size": 8}}, "tokenizer mmq, not rqkmeans"),
        ({"catalogue": tiny_catalogue(seed=1)}, "another catalogue"),
        ({"plan": PLAN.model_copy(update={"trials": 5})}, "trials 4, not 5"),
        ({"fixed": {**FIXED, "epochs": 10}}, "epochs 9, not 10"),
    ],
    ids=["kind", "catalogue", "plan", "fixed"],
)
def test_another_tuning_is_refused(change, what, searched):
    same = {"catalogue": tiny_catalogue(), "kind": "mmq", "plan": PLAN, "fixed": FIXED}
    before = {path.name: path.read_bytes() for path in searched[1].iterdir()}
    with pytest.raises(FormatError, match=f"holds a tuning with another plan .*{what}.*; repeat"):
        tune(**{**same, **change}, folder=searched[1], standing="resume")
    assert {path.name: path.read_bytes() for path in searched[1].iterdir()} == before


def test_another_tuning_is_replaced_when_its_first_trial_is_done(tmp_path):
    folder = tmp_path / "t"
    stopped(folder, 2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    one = TunePlan(trials=1, hold_out=0.2)
    with pytest.raises(DataError, match="fewer than the 900 codes"):
        tune(tiny_catalogue(), "mmq", one, {"codebook_size": 900}, folder, "replace")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    found = tune(tiny_catalogue(), "opq", one, {"codebook_size": 8, "length": 4}, folder, "replace")
    assert json.loads((folder / "tuning.json").read_text())["tokenizer"] == "opq"
    assert len((folder / "trials.jsonl").read_text().splitlines()) == len(found.trials) == 1
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds other files"):
        tune(tiny_catalogue(), "mmq", PLAN, FIXED, folder, "replace")


def test_a_damaged_line_is_refused(tmp_path):
    stopped(tmp_path / "t", 2)
    path = tmp_path / "t" / "trials.jsonl"
    path.write_text(path.read_text().replace('"rung"', '"rang"', 1))
    with pytest.raises(FormatError, match="is damaged"):
        tune(tiny_catalogue(), "mmq", PLAN, FIXED, tmp_path / "t", standing="resume")


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        ({"kind": "mqm"}, SettingsError, "there is no tokenizer 'mqm'; did you mean 'mmq'?"),
        ({"fixed": {"epocs": 3}}, SettingsError, "unknown setting 'epocs'; did you mean 'epochs'?"),
        ({"fixed": {"epochs": 0}}, SettingsError, "setting 'epochs' = 0 is not valid"),
        (
            {"plan": TunePlan(hold_out=0.001)},
            DataError,
            "of 200 items is 0, too few",
        ),
        ({"fixed": {"codebook_size": 900}}, DataError, "fewer than the 900 codes"),
        ({"kind": "rqkmeans", "fixed": {"fusion": "separated", "length": 1}}, DataError, "short"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_mistake_leaves_nothing_behind(change, error, expected, tmp_path):
    same = {"catalogue": tiny_catalogue(), "kind": "mmq", "plan": PLAN, "fixed": FIXED}
    with pytest.raises(error, match=expected.replace("?", r"\?")):
        tune(**{**same, **change}, folder=tmp_path / "t")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [{"trials": 0}, {"hold_out": 0}, {"hold_out": 1}])
def test_plans_that_are_refused(values):
    (name,) = values
    with pytest.raises(SettingsError, match=f"setting '{name}' = . is not valid"):
        TunePlan.parse(values)


def test_a_folder_with_other_content_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for standing in ("refuse", "resume", "replace"):
        with pytest.raises(DataError, match="holds other files"):
            tune(tiny_catalogue(), "mmq", PLAN, FIXED, tmp_path, standing)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_order_of_the_items_counts():
    """The part held out is drawn by place, so that other order is another catalogue."""
    catalogue = tiny_catalogue()
    turned = catalogue.take(np.arange(len(catalogue))[::-1])
    marks = {each.fingerprint() for each in (catalogue, turned, tiny_catalogue())}
    assert len(marks) == 2
