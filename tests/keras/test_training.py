"""Keras trains as PyTorch does: the same losses from the same start, and folders that go both ways."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weft import api
from weft.config import FolderConfig, GeneratorConfig, ModelConfig, SpecialTokens, TranslatorConfig
from weft.errors import UserError
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer_xl import TransformerXL
from weft.nn.loss import vocabulary_loss
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import load_saved, make_model
from weft.text.training import train_tokenizer

tensorflow = pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras_itself = pytest.importorskip("keras")
keras = pytest.importorskip("weft.keras")
from weft.keras.weights import fill  # noqa: E402

SHAPE: dict[str, Any] = {
    "vocabulary": 40,
    "width": 32,
    "heads": 4,
    "feed_forward": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "max_length": 64,
}


RECURRENT: dict[str, Any] = {
    "architecture": "transformer-xl",
    "encoder_layers": 0,
    "position": "none",
    "recurrence": {"memory": 8, "pointer": 8},
    "adaptive": {"cutoffs": (8, 14), "divide": 2},
    "ngrams": {"longest": 3, "rows": 50},
    "output_bias": True,
}


def make(**fields: Any) -> Seq2Seq:
    torch.manual_seed(0)
    return Seq2Seq(ModelConfig.model_validate(SHAPE | fields)).eval()


def twin(model: Seq2Seq | TransformerXL) -> Any:
    other = keras.make_model(model.config)
    fill(other, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    return other


def pairs(count: int) -> tuple[list[list[int]], list[list[int]]]:
    """Sources, and their copies as targets."""
    draw = np.random.default_rng(0)
    texts = [draw.integers(4, 40, size=draw.integers(2, 9)).tolist() for _ in range(count)]
    return [[*text, 2] for text in texts], texts


@pytest.mark.parametrize(
    "fields", [{}, {"norm": "rms", "position": "rotary", "query_key_norm": True}], ids=str
)
def test_fifty_steps_of_adamw_give_the_same_losses(fields: dict[str, Any]) -> None:
    model = make(**fields)
    other = twin(model)
    sources, targets = pairs(200)
    data = keras.pair_batches(sources, targets, special=model.config.special, batch_tokens=256)
    loss = keras.CrossEntropy(pad=0, smoothing=0.1)
    other.compile(
        keras_itself.optimizers.AdamW(1e-3, weight_decay=0.01, epsilon=1e-8), loss=loss, jit_compile=False
    )
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
    ours, theirs = [], []
    for inputs, labels in data.take(50):
        source, target, wanted = (
            torch.from_numpy(each.numpy()).long() for each in (inputs["source"], inputs["target"], labels)
        )
        hidden = model(source, target, source_keep=source != 0)
        real = wanted != 0
        found = vocabulary_loss(
            hidden[real], wanted[real], weight=model.output.weight, bias=model.output.bias, smoothing=0.1
        )
        mean = found.total / found.count
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        ours.append(float(mean.detach()))
        theirs.append(float(other.train_on_batch(inputs, labels)))
    assert ours[-1] < ours[0] - 0.3
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)


@pytest.mark.parametrize("fields", [{}, {"recurrence": {"memory": 8}, "norm_place": "after"}], ids=str)
def test_a_memory_from_segment_to_segment_gives_the_same_losses(fields: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = TransformerXL(ModelConfig.model_validate(SHAPE | RECURRENT | fields))
    other = twin(model)
    ours, descent = torch.optim.SGD(model.parameters(), 0.02), keras_itself.optimizers.SGD(0.02)
    loss = keras.CrossEntropy(pad=-1)
    memory, theirs, found = None, other.new_memory(4), []
    text = np.random.default_rng(0).integers(0, 40, size=(4, 7))[:, np.arange(241) % 7]  # which can be copied
    for begin in range(0, 240, 12):
        read, labels = text[:, begin : begin + 12], text[:, begin + 1 : begin + 13]
        hidden, memory = model(torch.from_numpy(read), memory)
        summed = model.loss(hidden, torch.from_numpy(labels), memory.past)
        mean = summed.total / summed.count
        ours.zero_grad()
        mean.backward()
        ours.step()
        with tensorflow.GradientTape() as tape:
            logits, theirs = other({"ids": read, "memory": theirs}, training=True)
            each = loss(labels, logits)
        descent.apply(tape.gradient(each, other.trainable_variables), other.trainable_variables)
        found.append((float(each), float(mean.detach())))
    assert found[-1][1] < found[0][1] - 0.3
    np.testing.assert_allclose(*zip(*found, strict=True), rtol=2e-4)


def test_a_transformer_xl_is_made_anew_and_fits() -> None:
    """As Keras does both: from what JSON makes of its configuration, and with labels for its logits alone."""
    model = keras.make_model(ModelConfig.model_validate(SHAPE | RECURRENT | {"dropout": 0.1}))
    text = np.tile(np.arange(4, 12), (16, 3))
    model.compile(
        keras_itself.optimizers.Adam(1e-2),
        loss=keras.CrossEntropy(pad=0),
        metrics=["sparse_categorical_accuracy"],
    )
    history = model.fit(text[:, :-1], text[:, 1:], epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["sparse_categorical_accuracy"][-1] > history["sparse_categorical_accuracy"][0]
    again = keras.TransformerXL.from_config(json.loads(json.dumps(model.get_config())))
    again.build()
    again.set_weights(model.get_weights())
    logits, memory = model.predict(text[:, :12], verbose=0)
    same, other = again.predict({"ids": text[:, :12]}, verbose=0)
    np.testing.assert_allclose(same, logits, atol=1e-6)
    inputs = {"ids": text[:, 12:], "memory": memory}
    expected, _ = again({"ids": text[:, 12:], "memory": other})
    np.testing.assert_allclose(model.predict(inputs, verbose=0)[0], expected, atol=1e-5)


@pytest.mark.parametrize("ngrams", [None, {"longest": 3, "rows": 500}], ids=str)
@pytest.mark.parametrize("beams", [1, 4])
def test_search_finds_the_same_tokens(beams: int, ngrams: dict[str, Any] | None) -> None:
    model = make(position="rotary", norm="rms", ngrams=ngrams)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.3
    sources, _ = pairs(20)
    search: dict[str, Any] = {"beams": beams, "max_length": 14, "length_penalty": 0.8}
    translator = keras.Translator(twin(model))
    for early in (True, False):
        expected = generate(model, sources, SearchConfig(**search, early_stopping=early))
        found = translator.generate(sources, **search, early_stopping=early)
        assert [each.tokens for each in found] == [each[0].tokens for each in expected]
        assert [each.score for each in found] == pytest.approx([each[0].score for each in expected], rel=1e-4)


@pytest.mark.parametrize(
    "rules",
    [
        {"banned": True},
        {"banned": True, "renormalise": True},
        {"no_repeat_ngram": 1},
        {"min_length": 10},
        {"force_end": True},
        {"no_repeat_ngram": 3, "min_length": 5, "force_end": True, "renormalise": True},
    ],
    ids=str,
)
def test_search_obeys_the_same_rules(rules: dict[str, Any]) -> None:
    model = make(position="rotary", norm="rms")
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.3
    sources, _ = pairs(20)
    translator = keras.Translator(twin(model))
    for beams in (1, 3):
        search: dict[str, Any] = {"beams": beams, "max_length": 12}
        free = translator.generate(sources, **search)
        first, second, third = max((each.tokens for each in free), key=len)[:3]
        told = rules | ({"banned": ((first,), (second, third))} if "banned" in rules else {})
        expected = generate(model, sources, SearchConfig(**search, **told))
        found = translator.generate(sources, **search, **told)
        assert [each.tokens for each in found] == [each[0].tokens for each in expected]
        assert [each.score for each in found] == pytest.approx([each[0].score for each in expected], rel=1e-4)
        assert found != free


def test_samples_follow_the_distribution() -> None:
    model = make()
    translator = keras.Translator(twin(model))
    source = [5, 6, 7, 2]
    with torch.inference_mode():
        hidden = model(torch.tensor([source]), torch.tensor([[1]]))
        expected = model.logits(hidden)[0, 0].softmax(-1).numpy()
    drawn = translator.sample([source] * 4000, max_length=1, seed=3)
    counts = np.bincount([each.tokens[0] if each.tokens else 2 for each in drawn], minlength=40) / 4000
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max() / 4000)
    assert drawn == translator.sample([source] * 4000, max_length=1, seed=3)
    narrow = translator.sample([source] * 200, max_length=1, top_k=2, seed=4)
    assert {each.tokens[0] if each.tokens else 2 for each in narrow} <= set(
        np.argsort(expected)[-2:].tolist()
    )


def written(folder: Path, describe: Callable[[int], FolderConfig]) -> Path:
    """The folder of what is described for a vocabulary of so many tokens, its weights random."""
    tokenizer = train_tokenizer(["ein Hund läuft", "a dog runs"], kind="bpe", size=40)
    described = describe(tokenizer.vocab_size)
    torch.manual_seed(0)
    model = make_model(described)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.2
    aside = folder.with_name("tokenizer")
    aside.mkdir()
    tokenizer.save(aside)
    files: dict[str, Any] = {path.name: path.read_bytes() for path in aside.iterdir()}
    files["config.json"] = described.model_dump_json().encode()
    files[MODEL] = lambda path: save_tensors(path, tensors=dict(model.state_dict()))
    write_folder(folder, kind=described.task, files=files)
    return folder


def translator(size: int, **fields: Any) -> FolderConfig:
    model = make(vocabulary=size, **fields).config
    return TranslatorConfig(directions=(("de", "en"),), tags=False, model=model)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A translator's folder."""
    return written(tmp_path / "run", translator)


def generator(size: int, **fields: Any) -> FolderConfig:
    """A language model with all its weights of n-grams."""
    shape = SHAPE | {
        "vocabulary": size,
        "architecture": "decoder",
        "encoder_layers": 0,
        "ngrams": {"rows": 50},
    }
    return GeneratorConfig(model=ModelConfig.model_validate(shape | fields))


FOLDERS: dict[str, Callable[[int], FolderConfig]] = {
    "translator": translator,
    "translator with n-grams": partial(translator, ngrams={"rows": 50}),
    "language model": generator,
    "Transformer-XL": partial(generator, **RECURRENT),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_goes_there_and_back_bit_by_bit(name: str, tmp_path: Path) -> None:
    run = written(tmp_path / "run", FOLDERS[name])
    keras.save(keras.load(run), tmp_path / "back", like=run)
    before, after = (load_saved(each).model for each in (run, tmp_path / "back"))
    ours, theirs = before.state_dict(), after.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_comes_back_translates_as_before(run: Path, tmp_path: Path) -> None:
    keras.save(keras.load(run), tmp_path / "back", like=run)
    before, after = (api.load(each, precision="float32") for each in (run, tmp_path / "back"))
    assert before.translate("ein Hund").text == after.translate("ein Hund").text


def test_fit_goes_on_with_a_folder(run: Path, tmp_path: Path) -> None:
    model = keras.load(run)
    size = model.config.vocabulary
    draw = np.random.default_rng(0)
    targets = [draw.integers(4, size, size=5).tolist() for _ in range(64)]
    data = keras.pair_batches(
        [[*each, 2] for each in targets], targets, special=model.config.special, batch_tokens=512
    )
    schedule = keras.InverseSquareRoot(3e-3, warmup=10)
    model.compile(keras_itself.optimizers.AdamW(schedule), loss=keras.CrossEntropy(pad=0), jit_compile=False)
    history = model.fit(data, steps_per_epoch=15, epochs=2, shuffle=False, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
    keras.save(model, tmp_path / "on", like=run)
    other = api.load(tmp_path / "on", precision="float32").network.model
    source, target = torch.tensor([[*targets[0], 2]]), torch.tensor([[1, *targets[0]]])
    with torch.inference_mode():
        expected = other.logits(other(source, target)).numpy()
    found = model({"source": source.numpy(), "target": target.numpy()})
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-4, rtol=1e-4)


def test_an_encoder_as_keras_users_build_it() -> None:
    """Of layers, compiled and fitted; made anew by its configuration."""
    keras_itself.utils.set_random_seed(0)
    ids = keras_itself.Input((None,), dtype="int32")
    x = keras.Embedding(50, 32, mask_zero=True)(ids)
    x = keras.TransformerEncoder(
        2, num_heads=4, key_dim=8, feed_forward=64, dropout=0.1, position=keras.PositionalEncoding(32)
    )(x)
    x = keras_itself.layers.GlobalAveragePooling1D()(x)
    model = keras_itself.Model(ids, keras_itself.layers.Dense(2, activation="softmax")(x))
    draw = np.random.default_rng(0)
    texts = draw.integers(1, 50, size=(64, 12)).astype("int32")
    texts[:, 8:] = 0
    labels = (texts[:, 0] > 25).astype("int32")
    adam = keras_itself.optimizers.Adam(3e-3)
    model.compile(adam, loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    history = model.fit(texts, labels, epochs=24, verbose=0)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    again = keras_itself.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.predict(texts, verbose=0), model.predict(texts, verbose=0), atol=1e-6)
    shorter = model.predict(texts[:, :8], verbose=0)  # padding changes nothing
    np.testing.assert_allclose(shorter, model.predict(texts, verbose=0), atol=1e-5)


def test_ngrams_stand_beside_an_embedding_and_are_left_out_whole() -> None:
    layer = keras.NgramEmbedding(8, longest=3, rows=100, dropout=0.5)
    read = np.random.default_rng(0).integers(4, 40, size=(2, 50))
    assert not np.asarray(layer(read)).any()  # what was never met says nothing
    layer.table.embeddings.assign(np.ones((200, 8), "float32"))
    assert (np.asarray(layer(read)) == 2).all()
    dropped = np.asarray(layer(read, training=True))
    assert (dropped == dropped[..., :1]).all()
    assert set(np.unique(dropped)) == {0.0, 2.0, 4.0}
    again = keras.NgramEmbedding.from_config(layer.get_config())
    assert again(keras_itself.Input((None,), dtype="int32")).shape == (None, None, 8)
    assert again.table.embeddings.shape == (200, 8)
    with pytest.raises(UserError, match="longest 1"):
        keras.NgramEmbedding(8, longest=1)


def test_attention_on_three_words_can_be_looked_at() -> None:
    layer = keras.MultiHeadAttention(num_heads=2, key_dim=8)
    words = np.random.default_rng(0).normal(size=(1, 3, 16)).astype("float32")
    out, weights = layer(words, use_causal_mask=True, return_attention_scores=True)
    assert out.shape == (1, 3, 16)
    weights = np.asarray(weights)
    assert weights.shape == (1, 2, 3, 3)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert np.triu(weights[0, 0], 1).max() == 0


def test_in_bfloat16_the_numbers_are_near() -> None:
    model = make()
    exact = twin(model)
    before = keras_itself.config.dtype_policy()
    keras_itself.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = twin(model)
    finally:
        keras_itself.config.set_dtype_policy(before)
    inputs = {"source": np.array([[5, 6, 7, 2]]), "target": np.array([[1, 5, 6]])}
    expected, found = np.asarray(exact(inputs)), np.asarray(half(inputs)).astype("float32")
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("fields", "named"), [({"pointer": True}, "pointer"), ({"window": 3}, "window in a decoder")], ids=str
)
def test_what_there_is_no_layer_for_is_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=f"does not have {named}"):
        keras.make_model(ModelConfig.model_validate(SHAPE | fields))


@pytest.mark.slow
def test_an_encoder_decoder_of_layers_learns_to_copy() -> None:
    """Six layers over three, built of layers, compiled and fitted as in introductory articles."""
    block: dict[str, Any] = {"num_heads": 4, "key_dim": 8, "feed_forward": 64}
    source, target = (keras_itself.Input((None,), dtype="int32", name=name) for name in ("source", "target"))
    words = keras.Embedding(20, 32, mask_zero=True)
    memory = keras.TransformerEncoder(6, position=keras.PositionalEncoding(32), **block)(words(source))
    states = keras.TransformerDecoder(3, position=keras.PositionalEncoding(32), **block)(
        words(target), memory
    )
    model = keras_itself.Model({"source": source, "target": target}, keras_itself.layers.Dense(20)(states))
    model.compile(keras_itself.optimizers.Adam(2e-3), loss=keras.CrossEntropy(pad=0), jit_compile=False)
    draw = np.random.default_rng(0)
    texts = [draw.integers(4, 20, size=draw.integers(3, 7)).tolist() for _ in range(256)]
    data = keras.pair_batches(
        [[*text, 2] for text in texts], texts, special=SpecialTokens(), batch_tokens=512
    )
    history = model.fit(data, steps_per_epoch=20, epochs=4, shuffle=False, verbose=0)
    assert history.history["loss"][-1] < 0.85 * history.history["loss"][0]
    read, written = (
        np.array([[5, 6, 7, 2]]),
        np.array([[1, 5, 6, 7]]),
    )
    longer = np.array([[5, 6, 7, 2, 0, 0]])  # padding changes nothing
    expected = model.predict({"source": read, "target": written}, verbose=0)
    found = model.predict({"source": longer, "target": written}, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_masks_are_kept_as_keras_own_layer_keeps_them() -> None:
    words = keras.Embedding(20, 16, mask_zero=True)
    layer = keras.MultiHeadAttention(num_heads=2, key_dim=8)
    short, long = np.array([[5, 6, 7]]), np.array([[5, 6, 7, 0, 0]])
    np.testing.assert_allclose(layer(words(long))[:, :3], layer(words(short)), atol=1e-6)
    np.testing.assert_allclose(layer(words(short), words(long)), layer(words(short), words(short)), atol=1e-6)
    ids = keras_itself.Input((None,), dtype="int32")
    assert keras.MultiHeadAttention(2, 8, width=24)(words(ids)).shape == (None, None, 24)


def test_what_the_search_cannot_take_is_named() -> None:
    model = make(max_length=16)
    translator = keras.Translator(twin(model))
    assert translator.generate([]) == translator.sample([]) == []
    assert all(len(each.tokens) <= 16 for each in translator.generate([[5, 6, 7, 2]]))
    for sources, options, message in (
        ([[]], {}, "source 1 has 0 tokens"),
        ([[5] * 17], {}, "source 1 has 17 tokens"),
        ([[5], [-1]], {}, "source 2 has a token beyond"),
        ([[5]], {"max_length": 17}, "max_length 17"),
        ([[5]], {"beams": 0}, "beams 0"),
        ([[5]], {"ban": ((5,),)}, "ban: no rule of a search"),
    ):
        with pytest.raises(UserError, match=message):
            translator.generate(sources, **options)


def test_a_decoder_has_no_windows() -> None:
    with pytest.raises(UserError, match="window"):
        keras.TransformerDecoder(1, num_heads=2, key_dim=8, feed_forward=16, window=3)


def test_batches_keep_their_bound_and_their_order_changes() -> None:
    sources, targets = pairs(300)
    made = keras.pair_batches(sources, targets, special=SpecialTokens(), batch_tokens=128, repeat=False)
    passes = [[(inputs["source"].numpy(), inputs["target"].numpy()) for inputs, _ in made] for _ in range(2)]
    for batches in passes:
        assert sum(len(source) for source, _ in batches) == 300
        assert max(source.size + target.size for source, target in batches) <= 128
    assert [each[0].tolist() for each in passes[0]] != [each[0].tolist() for each in passes[1]]
    with pytest.raises(UserError, match="2 sources beside 1 targets"):
        keras.pair_batches([[5], [6]], [[5]], special=SpecialTokens())


def test_a_folder_of_other_weights_is_not_saved_over(run: Path, tmp_path: Path) -> None:
    model = keras.load(run)
    model.trainable = False  # frozen or not, all is written
    keras.save(model, tmp_path / "frozen", like=run)
    assert keras.load(tmp_path / "frozen").config == model.config
    other = keras.make_model(model.config.model_copy(update={"output_bias": True}))
    with pytest.raises(UserError, match="another shape"):
        keras.save(other, tmp_path / "never", like=run)
    assert not (tmp_path / "never").exists()


def test_weights_begin_as_the_configuration_says() -> None:
    for kind, deviation in (("normal", 0.02), ("xavier", 32**-0.5)):
        model = keras.make_model(make(initialisation=kind).config)
        assert np.std(model.source_embedding.tokens.embeddings) == pytest.approx(deviation, rel=0.15)
    assert np.std(model.encoder.blocks[0].feed_forward.up.kernel) == pytest.approx((2 / 96) ** 0.5, rel=0.15)
