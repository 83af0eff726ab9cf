import json

import numpy as np
import pytest
import torch

from mmq import Catalogue, MMQSettings, MMQTokenizer, Tokenizer
from mmq.errors import DataError, FormatError, SettingsError
from mmq.made_from import Checkpoint
from mmq.nn.codebook import quantise_through_index, similarity
from mmq.tokenizers import NetworkTokenizer
from mmq.tokenizers._inputs import unit_inputs
from mmq.tokenizers._mmq.fit import MMQTask
from mmq.tokenizers._mmq.network import MMQNetwork
from mmq.tokenizers._mmq.objective import loss_terms, weighted_losses
from mmq.training._loop import Training, epoch_generator
from mmq.training._optimiser import rate
from tests.rewritten import change_json

SMALL = {
    "learning": "gradient",
    "codebook_size": 16,
    "latent_dim": 16,
    "epochs": 8,
    "batch_size": 64,
}


def shop(items=300, seed=0, missing=0.0, dimensions=(24, 16)):
    """Items around 12 joint themes and 10 looks, so that codes have something to find."""
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(99)
    text_of = world.normal(size=(12, dimensions[0]))
    look_of = world.normal(size=(12, dimensions[1]))
    looks = world.normal(size=(10, dimensions[1]))
    theme, look = rng.integers(12, size=items), rng.integers(10, size=items)
    text = text_of[theme] + 0.3 * rng.normal(size=(items, dimensions[0]))
    image = look_of[theme] + looks[look] + 0.3 * rng.normal(size=(items, dimensions[1]))
    image[rng.random(items) < missing] = np.nan
    return Catalogue.build(np.arange(items), {"text": text, "image": image})


@pytest.fixture(scope="module")
def fitted():
    tokenizer = MMQTokenizer(**SMALL)
    result = tokenizer.fit(shop(), hold_out=0.1)
    return tokenizer, result


def test_it_is_a_tokenizer(fitted):
    tokenizer, _ = fitted
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.length == 6
    assert tokenizer.codebook_sizes == (16,) * 6
    assert tokenizer.positions == {"shared": [0, 1], "text": [2, 3], "image": [4, 5]}


def test_fit_explains_most_of_a_clustered_catalogue(fitted):
    _, result = fitted
    assert result.fvu["fit"] < 0.5
    assert result.fvu["held_out"] < 0.6
    assert result.fvu["fit"] == pytest.approx(result.l_recon["fit"] / 2, abs=0.1)
    assert set(result.fvu_by_modality["held_out"]) == {"text", "image"}


def test_more_epochs_lower_the_error():
    short = MMQTokenizer(**{**SMALL, "epochs": 1}).fit(shop()).l_recon["fit"]
    long = MMQTokenizer(**{**SMALL, "epochs": 60}).fit(shop()).l_recon["fit"]
    assert long < 0.9 * short


def test_soft_codes_are_the_codes_and_reach_experts_and_codebooks(fitted):
    tokenizer, _ = fitted
    few = shop().take(np.arange(10))
    network = tokenizer.network.requires_grad_(True)
    try:
        index = tokenizer.soft_codes(few)
        assert np.array_equal(index.detach().argmax(2).numpy(), tokenizer.encode(few))
        (index * torch.randn_like(index)).sum().backward()
        assert network.codebooks.grad.abs().sum() > 0
        assert network.shared.weight.grad.abs().sum() > 0
    finally:
        network.requires_grad_(False)
        network.zero_grad()


def test_save_and_load_are_identical(fitted, tmp_path):
    tokenizer, _ = fitted
    tokenizer.save(tmp_path / "tok")
    loaded = NetworkTokenizer.load(tmp_path / "tok")
    assert loaded.settings == tokenizer.settings
    assert loaded.figures == json.loads(json.dumps(tokenizer.figures))
    assert np.array_equal(loaded.encode(shop()), tokenizer.encode(shop()))
    assert "L_recon" in (tmp_path / "tok" / "README.md").read_text()


OPTIONS = [
    {"codebook": "ema"},
    {"codebook": "loss"},
    {"codebook": "literal", "start": "random", "revival": False},
    {"distance": "l2"},
    {"orthogonality": "output", "orthogonality_weight": 1.0},
    {"auxiliary_weight": 0},
    {"schedule": "constant", "input_noise": 0},
    {"shared_experts": 0},
    {"specific_experts": 0},
    {"specific_experts": {"text": 1, "image": 3}},
]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: "-".join(map(str, option)))
def test_every_option_trains_and_saves(option, tmp_path):
    tokenizer = MMQTokenizer(**{**SMALL, **option})
    result = tokenizer.fit(shop(missing=0.2))
    assert np.isfinite(result.l_recon["fit"])
    assert result.l_recon["fit"] < 1.8  # 1.8: a zero output, with 20% of images missing
    plain = MMQTokenizer(**SMALL)
    plain.fit(shop(missing=0.2))
    state = tokenizer.network.state_dict()
    assert any(
        state[name].shape != value.shape or not torch.equal(state[name], value)
        for name, value in plain.network.state_dict().items()
        if name in state
    )  # the option did something
    tokenizer.save(tmp_path / "tok")
    codes = tokenizer.encode(shop(missing=0.2))
    assert np.array_equal(NetworkTokenizer.load(tmp_path / "tok").encode(shop(missing=0.2)), codes)


def test_literal_codebooks_never_learn_and_lose():
    literal = MMQTokenizer(**SMALL, codebook="literal", start="random", revival=False)
    torch.manual_seed(0)
    before = MMQNetwork({"text": 24, "image": 16}, literal.settings).codebooks.detach().clone()
    worse = literal.fit(shop())
    assert torch.equal(literal.network.codebooks, before)
    assert MMQTokenizer(**SMALL).fit(shop()).l_recon["fit"] < worse.l_recon["fit"]


def test_revival_brings_unused_codes_back():
    tokenizer = MMQTokenizer(**SMALL)
    network = MMQNetwork({"text": 24, "image": 16}, tokenizer.settings)
    x, present = torch.randn(200, 40), torch.ones(200, 2)
    training = Training(MMQTask(network, x, present), tokenizer.settings)
    training.begin()
    with torch.no_grad():
        network.codebooks[0] = network.codebooks[0, :1]  # all alike: only the first is ever used
    totals = training.run_epoch(epoch_generator(0, 0), lambda count: None)
    assert totals["revived"] >= 10
    assert len(network.codebooks[0].unique(dim=0)) > 10


@pytest.mark.parametrize("specific", [2, 0, {"text": 2, "image": 0}], ids=str)
def test_missing_modality_counts_in_no_loss(specific):
    settings = MMQSettings(**SMALL, specific_experts=specific)
    network = MMQNetwork({"text": 24, "image": 16}, settings)
    x = torch.nn.functional.normalize(torch.randn(8, 40), dim=1)
    present = torch.tensor([[1.0, 1.0]] * 4 + [[1.0, 0.0]] * 4)
    x[4:, 24:] = 0
    other = x.clone()
    other[4:, 24:] = 123.0  # whatever stands in a missing place must not matter
    values = []
    for inputs in (x, other):
        output = network(inputs, present, 0.1)
        parts = loss_terms(network, output, inputs, present)
        terms = weighted_losses(network.settings, parts)
        values.append({name: float(term.detach()) for name, term in terms.items()})
    assert values[0] == pytest.approx(values[1])
    assert not output.weights[4:, 4:].any()


def test_a_latent_of_zero_has_a_bounded_gradient():
    z = torch.zeros(1, 1, 3, requires_grad=True)
    codebooks = torch.randn(1, 4, 3, requires_grad=True)
    quantised, _ = quantise_through_index(similarity(z, codebooks, "cosine"), codebooks, 0.1)
    quantised.sum().backward()
    assert torch.equal(z.grad, torch.zeros(1, 1, 3))
    assert codebooks.grad.abs().max() < 100


def with_placeholders(spread):
    """Items whose picture is the same but for noise that is so many times as large."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=16) + spread * rng.normal(size=(300, 16))
    return Catalogue.build(np.arange(300), {"text": shop().embeddings["text"], "image": image})


@pytest.mark.parametrize("spread", [0, 1e-6])
def test_a_modality_that_hardly_varies_harms_no_other(spread):
    """All items have the same placeholder picture, up to what floats differ by."""
    tokenizer = MMQTokenizer(**SMALL)
    found = tokenizer.fit(with_placeholders(spread))
    assert tokenizer.log[0]["auxiliary"] < 10
    assert found.fvu_by_modality["fit"]["text"] < 0.3


def test_a_modality_counts_alike_however_little_it_varies():
    """What was noise beside the text at a spread of .001 is a modality now, as it is at .1.

    Were it coded as finely as before the frame, .3 of the text would be left; the noise takes its
    share of the codes, the same of both.
    """
    found = [
        MMQTokenizer(**SMALL).fit(with_placeholders(spread)).fvu_by_modality["fit"]["text"]
        for spread in (1e-3, 1e-1)
    ]
    assert found[0] == pytest.approx(found[1], abs=0.02)
    assert found[0] < 0.5


def test_items_that_are_all_alike_are_reconstructed():
    vector = np.random.default_rng(0).normal(size=16)
    catalogue = Catalogue.build(np.arange(40), {"text": np.tile(vector, (40, 1))})
    tokenizer = MMQTokenizer(**SMALL)
    tokenizer.fit(catalogue)
    decoded = tokenizer.decode(tokenizer.encode(catalogue))["text"]
    assert np.allclose(decoded, vector / np.linalg.norm(vector), atol=1e-4)


def test_the_start_of_a_rare_modality_is_fitted_to_items_that_have_it():
    """Joint decoder and codebooks: few pictures start as well as many do."""
    errors = {}
    for missing in (0.0, 0.9):
        catalogue = shop(items=3000, missing=missing)
        tokenizer = MMQTokenizer(**SMALL)
        x, present = unit_inputs(catalogue, catalogue.dimensions)
        torch.manual_seed(0)
        network = MMQNetwork(catalogue.dimensions, tokenizer.settings)
        training = Training(MMQTask(network, x, present), tokenizer.settings)
        training.begin()
        seen = present[:, 1] > 0
        made, codes = network.reconstruct(x[seen], present[seen])
        errors[missing] = (made[:, 24:] - x[seen][:, 24:]).square().sum(1).mean().item()
        for position in range(network.length)[network.positions["image"]]:
            assert len(codes[:, position].unique()) > 8
    assert errors[0.9] < 1.2 * errors[0.0]


def test_a_checkpoint_of_other_items_is_refused(tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    MMQTokenizer(**SMALL).fit(shop(), checkpoint=Checkpoint(checkpoint))
    for other in (shop(seed=1), shop(items=200)):
        with pytest.raises(FormatError, match="on other data or other settings"):
            MMQTokenizer(**SMALL).fit(other, checkpoint=Checkpoint(checkpoint, resume=True))


def test_experts_of_names_are_counted_in_the_catalogue():
    catalogue = shop(100)
    tokenizer = MMQTokenizer(**SMALL, shared_experts=0, specific_experts={"text": 0})
    tokenizer.fit(catalogue)
    assert tokenizer.positions == {"shared": [], "text": [], "image": [0, 1]}
    none = MMQTokenizer(**SMALL, shared_experts=0, specific_experts={"text": 0, "image": 0})
    with pytest.raises(SettingsError, match="give one expert"):
        none.fit(catalogue)


def test_the_vector_for_missing_is_learned():
    tokenizer = MMQTokenizer(**{**SMALL, "epochs": 20})
    tokenizer.fit(shop(missing=0.3))
    text, image = tokenizer.network.missing
    assert image.norm() > 0.05
    assert not text.any()  # nothing misses it


def test_a_training_that_diverges_is_no_success():
    with pytest.raises(DataError, match=r"diverged: the \w+ loss of epoch \d+ is nan; lower"):
        MMQTokenizer(**SMALL, learning_rate=1e12).fit(shop())


def test_missing_images_share_their_image_codes():
    tokenizer = MMQTokenizer(**SMALL)
    catalogue = shop(missing=0.2)
    tokenizer.fit(catalogue)
    codes = tokenizer.encode(catalogue)
    absent = ~catalogue.present["image"]
    assert len(np.unique(codes[absent][:, 4:], axis=0)) == 1
    assert len(np.unique(codes[absent][:, :4], axis=0)) > 10


@pytest.mark.parametrize("names", [["text"], ["text", "image", "audio"], ["a.b", "c d"]])
def test_any_number_of_modalities_by_any_name(names, tmp_path):
    rng = np.random.default_rng(0)
    catalogue = Catalogue.build(
        np.arange(120), {name: rng.normal(size=(120, 8 + i)) for i, name in enumerate(names)}
    )
    tokenizer = MMQTokenizer(**{**SMALL, "epochs": 2})
    tokenizer.fit(catalogue)
    tokenizer.save(tmp_path / "tok")
    codes = NetworkTokenizer.load(tmp_path / "tok").encode(catalogue)
    assert codes.shape == (120, 2 + 2 * len(names))


def test_schedules():
    settings = MMQSettings(learning="gradient")
    assert rate(settings, 0.05) == pytest.approx(1)
    assert rate(settings, 1) <= 1e-3
    assert MMQSettings().resolved_epochs(1000) == 300
    assert MMQSettings().resolved_epochs(10**7) == 3
    assert MMQSettings(learning="gradient", epochs=7).resolved_epochs(10**7) == 7
    assert MMQSettings().resolved_noise(4000) == 1
    assert MMQSettings().resolved_noise(40_000) == pytest.approx(0.1)
    assert MMQSettings(learning="gradient", input_noise=0.3).resolved_noise(10) == 0.3


# --- what is refused ---


def test_unknown_setting_names_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'codebook_size'"):
        MMQTokenizer(codebok_size=3)
    with pytest.raises(SettingsError, match="codebook"):
        MMQTokenizer(codebook="emma")
    with pytest.raises(SettingsError, match="give one expert"):
        MMQTokenizer(shared_experts=0, specific_experts=0)


def change_config(folder, **changes):
    change_json(folder / "config.json", lambda config: config.update(changes))


@pytest.fixture
def saved(fitted, tmp_path):
    fitted[0].save(tmp_path / "tok")
    return tmp_path / "tok"


def test_newer_format(saved):
    change_config(saved, format=99)
    with pytest.raises(FormatError, match="upgrade"):
        NetworkTokenizer.load(saved)


def test_unknown_kind(saved):
    change_config(saved, tokenizer="mqq")
    with pytest.raises(FormatError, match="did you mean 'mmq'"):
        NetworkTokenizer.load(saved)


def test_tensor_that_does_not_fit_its_config(saved):
    config = json.loads((saved / "config.json").read_text())
    change_config(saved, settings={**config["settings"], "codebook_size": 20})
    with pytest.raises(FormatError, match=r"'codebooks'.*\(6, 16, 16\).*\(6, 20, 16\)"):
        NetworkTokenizer.load(saved)


def test_config_with_an_unknown_setting(saved):
    config = json.loads((saved / "config.json").read_text())
    change_config(saved, settings={**config["settings"], "warp": 9})
    with pytest.raises(SettingsError, match="unknown setting 'warp'"):
        NetworkTokenizer.load(saved)


def test_no_such_tokenizer(tmp_path):
    with pytest.raises(DataError, match="there is no tokenizer"):
        NetworkTokenizer.load(tmp_path / "nothing")


def test_a_model_folder_of_another_library_is_left_alone(fitted, tmp_path):
    for name, text in (("config.json", '{"model_type": "bert"}'), ("model.safetensors", "weights")):
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=r"a config\.json that mmq did not write"):
        fitted[0].save(tmp_path)
    (tmp_path / "pytorch_model.bin").write_text("more weights")
    with pytest.raises(DataError, match=r"pytorch_model\.bin among them"):
        fitted[0].save(tmp_path)
    assert (tmp_path / "model.safetensors").read_text() == "weights"


def test_saving_again_replaces_the_old_tokenizer(saved, fitted):
    (saved / "model.safetensors").write_bytes(b"old")
    fitted[0].save(saved)
    assert np.array_equal(NetworkTokenizer.load(saved).encode(shop()), fitted[0].encode(shop()))
