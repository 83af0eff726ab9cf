"""Which cells a table is made of, what they are given, and about how long they take."""

import pytest

from experiments.cells import folder_name
from experiments.paper.cost import Size, alike, estimate
from experiments.paper.plan import (
    ARTEFACTS,
    ITEM_TOKENS,
    PARTS,
    QUANTISATION,
    RANKING,
    RETRIEVAL,
    SHUFFLED,
    TUNING,
    Own,
    make_plan,
)
from experiments.paper.scales import SCALES, scale_of
from experiments.paper.variants import experts, length_of, variants
from mmq.errors import SettingsError
from mmq.model import model_class
from mmq.ranking._settings import PPNetSettings
from mmq.recommenders import HeterRecSettings

TWO = ("text", "image")
MODALITIES = [("text",), TWO, ("text", "image", "audio"), ("text", "image", "audio", "price")]


def plan(*artefacts, modalities=TWO, seeds=(0,), parts=PARTS, own=None, searched=None):
    return make_plan(artefacts, modalities, seeds, parts, own, searched or {})


def names(cells):
    return [cell.name for cell in cells]


# --- cells ---


def test_table1_has_the_rows_of_the_paper():
    made = plan("table1")
    assert [row.name for row in made.rows["table1"]] == [
        "Popularity", "SASRec", "PPNet, item IDs", "MA-RQ-VAE", "MS-RQ-VAE", "MA-RQ-KMeans",
        "MS-RQ-KMeans", "MA-OPQ", "MS-OPQ", "MMQ", "MMQ, trained longer", "MMQ, fine-tuned",
        "MMQ, fine-tuned, alternating", "MMQ, item tokens", "MMQ, item tokens, codes shuffled",
        "MMQ with behaviour", "MMQ with behaviour, trained longer",
        "MMQ with behaviour, fine-tuned",
        "MMQ with behaviour, fine-tuned, alternating", "MMQ with behaviour, item tokens",
    ]  # fmt: skip
    assert [row.name for row in plan("table1", modalities=["text"]).rows["table1"]][3:7] == [
        "RQ-VAE", "RQ-KMeans", "OPQ", "MMQ",
    ]  # fmt: skip


def test_models_with_item_tokens_go_on_from_none():
    made = plan("table1")
    cells = [cell for cell in made.cells if cell.row.stage in (ITEM_TOKENS, SHUFFLED)]
    assert [cell.part for cell in cells] == [RETRIEVAL] * 3
    for cell in cells:
        world = " of retrieval" if "behaviour" in cell.name else ""
        assert made.needs[cell.name] == [f"quantisation, {cell.row.variant}{world}, seed 0"]
    longer = made.needs["retrieval, MMQ, trained longer, seed 0"]
    assert longer == ["quantisation, MMQ, seed 0", "retrieval, MMQ, seed 0"]


@pytest.mark.parametrize("modalities", MODALITIES, ids=len)
def test_every_cell_comes_once_and_after_those_that_it_needs(modalities):
    searched = {name: each.tuned_as for name, each in variants(modalities).items()}
    own = Own(("mine",), ("others",))
    made = plan(*ARTEFACTS, modalities=modalities, seeds=(0, 1), own=own, searched=searched)
    met = set()
    for cell in made.cells:
        assert set(made.needs[cell.name]) <= met, cell.name
        assert cell.name not in met
        met.add(cell.name)
    folders = [folder_name(cell) for cell in made.cells]
    assert len({name.lower() for name in folders}) == len(met)  # some disks know no capitals
    assert all(not set(name) & set('/\\:*?"<>|') for name in folders)


def test_what_a_cell_goes_on_from():
    needs = plan("table1", own=Own(("mine",), ("others",))).needs
    assert needs["retrieval, MMQ, fine-tuned, seed 0"] == [
        "quantisation, MMQ, seed 0", "retrieval, MMQ, seed 0",
    ]  # fmt: skip
    assert needs["ranking, mine, seed 0"] == ["quantisation, mine, seed 0"]
    for alone in ("retrieval, others", "retrieval, SASRec", "ranking, PPNet, item IDs"):
        assert needs[f"{alone}, seed 0"] == []


def test_behaviour_is_taken_from_the_log_that_the_model_learns_from():
    needs = plan("table1").needs
    for part in (RETRIEVAL, RANKING):
        own = f"quantisation, MMQ with behaviour of {part}, seed 0"
        assert needs[f"{part}, MMQ with behaviour, seed 0"] == [own]
        assert own in needs[f"{part}, MMQ with behaviour, fine-tuned, seed 0"]


def test_tables_share_their_cells():
    one, other = (set(names(plan(name).cells)) for name in ("table1", "figure4"))
    assert set(names(plan("table1", "figure4").cells)) == one | other
    assert "retrieval, MMQ, fine-tuned, seed 0" in one & other


def test_seeds_are_made_one_after_the_other():
    one, both = plan("table1").cells, plan("table1", seeds=(0, 1)).cells
    assert both[: len(one)] == one
    assert [cell.seed for cell in both[len(one) :]] == [1] * len(one)


def test_parts_that_are_not_wanted_are_made_only_where_others_need_them():
    made = plan("table1", parts=(RANKING,))
    assert {cell.part for cell in made.cells} == {QUANTISATION, RANKING}
    assert "quantisation, MMQ with behaviour of retrieval, seed 0" not in names(made.cells)
    assert {cell.part for cell in plan("table1", parts=(QUANTISATION,)).cells} == {QUANTISATION}


def test_a_search_is_made_once_for_all_seeds_and_rows_that_share_it():
    searched = {name: each.tuned_as for name, each in variants(TWO).items()}
    made = plan("table2", seeds=(0, 1, 2), searched=searched)
    assert [cell.name for cell in made.cells if cell.part == TUNING] == [
        "tuning, MMQ by gradient, seed 0", "tuning, MMQ, seed 0",
    ]  # fmt: skip
    noiseless = made.needs["quantisation, MMQ by gradient w/o noise, seed 2"]
    assert noiseless == ["tuning, MMQ by gradient, seed 0"]


def test_rows_of_the_user_stand_in_table1_alone():
    made = plan("table1", "table2", own=Own(("mine",), ("others",)))
    assert [row.name for row in made.rows["table1"][-2:]] == ["mine", "others"]
    assert made.rows["table1"][-1].parts == (RETRIEVAL,)
    assert not {"mine", "others"} & {row.name for row in made.rows["table2"]}


# --- variants ---


@pytest.mark.parametrize("modalities", MODALITIES, ids=len)
def test_all_tokenizers_of_table1_have_ids_of_one_length(modalities):
    made, lengths = plan("table1", "table2", modalities=modalities), {}
    known = variants(modalities)
    for name in {row.variant for rows in made.rows.values() for row in rows} & known.keys():
        each = model_class("tokenizer", known[name].kind).settings_class.parse(known[name].settings)
        values = each.to_dict()
        if "length" in values:
            lengths[name] = values["length"]
        elif isinstance(values["specific_experts"], int):
            specific = len(modalities) * values["specific_experts"]
            lengths[name] = values["shared_experts"] + specific
        else:
            assert values["specific_experts"].keys() == {*modalities, "behaviour"}
            lengths[name] = values["shared_experts"] + sum(values["specific_experts"].values())
    if len(modalities) > 2:  # behaviour has an expert more
        del lengths["MMQ with behaviour"]
    wanted = length_of(len(modalities))
    assert set(lengths.values()) == {wanted}
    assert len(lengths) == 15 - 3 * (len(modalities) == 1) - (len(modalities) > 2)
    assert wanted % len(modalities) == 0  # so that separated tokenizers can have it


def test_experts_are_those_of_the_paper_for_two_modalities():
    assert experts(2) == (2, 2)
    assert [length_of(2, times) for times in (2, 3, 4)] == [6, 9, 12]


# --- scales and costs ---


def test_a_changed_group_keeps_the_rest_of_its_settings():
    scale = scale_of("small", {"heterrec": {"epochs": 3}, "trials": 2})
    assert scale.heterrec == {**SCALES["small"]["heterrec"], "epochs": 3}
    assert (scale.trials, scale.sasrec) == (2, dict(SCALES["small"]["sasrec"]))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"heterrec": {"epocs": 3}}, r"heterrec: unknown setting 'epocs'; did you mean 'epochs'"),
        ({"tokenizers": {"epocs": 3}}, r"tokenizers: unknown setting 'epocs'; did you mean 'epo"),
        ({"tokenizers": {"epochs": -1}}, r"tokenizers: setting 'epochs' = -1 is not valid"),
        ({"ranking_stage2": {"schedule": "up"}}, r"ranking_stage2: setting 'schedule'"),
        ({"finetuning": {"mode": "joint"}}, r"finetuning\.mode is what tells rows apart"),
        ({"retrieval_stage2": {"epochs": 1}}, r"retrieval_stage2: .*epochs=2 or more"),
        ({"sasrec": {"seed": 1}}, r"sasrec\.seed .* --seeds"),
        ({"sassrec": {}}, r"unknown setting 'sassrec'; did you mean 'sasrec'"),
        ({"cold_share": 1.0}, r"cold_share"),
    ],
)
def test_settings_that_no_cell_could_use_are_refused_at_once(changes, match):
    with pytest.raises(SettingsError, match=match):
        scale_of("small", changes)


def test_an_unknown_scale_is_refused():
    with pytest.raises(SettingsError, match="no scale 'fulll'; did you mean 'full'"):
        scale_of("fulll", {})


SIZE = Size(items=1000, interactions=20_000, impressions=50_000)


def seconds(name, size=SIZE, known=None, **changes):
    cells = {cell.name: cell for cell in plan("table1", "table2").cells}
    return estimate(cells[f"{name}, seed 0"], scale_of("small", changes), size, known or {})


def test_the_estimate_grows_with_the_data_and_with_the_epochs():
    larger = Size(10_000, 200_000, 500_000)
    for name, group in (
        ("quantisation, MMQ by gradient", "tokenizers"),
        ("retrieval, MMQ", "heterrec"),
        ("retrieval, SASRec", "sasrec"),
        ("ranking, MMQ", "ppnet"),
        ("retrieval, MMQ, fine-tuned", "retrieval_stage2"),
    ):
        short, long = (seconds(name, **{group: {"epochs": epochs}}) for epochs in (10, 20))
        assert long - 1 == pytest.approx(2 * (short - 1), rel=0.11), name  # a second to begin
        assert seconds(name, larger) - 1 == pytest.approx(10 * (seconds(name) - 1)), name


def test_the_estimate_knows_the_defaults_of_the_models():
    for name, part, defaults in (
        ("retrieval, MMQ", "heterrec", HeterRecSettings()),
        ("ranking, MMQ", "ppnet", PPNetSettings()),
    ):
        bare = {key: value for key, value in SCALES["full"].items() if key != part}
        scale = scale_of("full", {}).model_copy(update={**bare, part: {}})
        cells = {cell.name: cell for cell in plan("table1").cells}
        found = estimate(cells[f"{name}, seed 0"], scale, SIZE, {})
        said = scale.model_copy(update={part: {"epochs": defaults.epochs}})
        assert found == estimate(cells[f"{name}, seed 0"], said, SIZE, {}) > 1


def test_what_was_measured_takes_the_place_of_the_estimate():
    cells = {cell.name: cell for cell in plan("table1").cells}
    known = {alike(cells["retrieval, MMQ, seed 0"]): 77.0}
    assert seconds("retrieval, MS-OPQ", known=known) == 77.0
    for other in ("retrieval, SASRec", "retrieval, MMQ, fine-tuned", "ranking, MMQ"):
        assert seconds(other, known=known) == seconds(other)
