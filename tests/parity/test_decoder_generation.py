"""Decoders go on with prompts as Hugging Face's do, token for token, with every rule on what was said before."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from weft.families import import_folder
from weft.generate.config import SearchConfig
from weft.generate.prompts import continue_prompts
from weft.models.decoder import Decoder
from weft.saved import make_model

SHAPES: dict[str, tuple[type, dict[str, Any]]] = {
    "gpt2": (transformers.GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "llama": (
        transformers.LlamaConfig,
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 48,
            "max_position_embeddings": 64,
        },
    ),
}
NEW = 14
SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 4, "length_penalty": 0.7},
    "never": {"num_beams": 3, "early_stopping": "never", "length_penalty": 1.5},
    "repetition": {"repetition_penalty": 1.6},
    "no_repeat": {"no_repeat_ngram_size": 2},
    "both in beams": {"num_beams": 3, "repetition_penalty": 1.3, "no_repeat_ngram_size": 3},
    "at least": {"num_beams": 2, "min_new_tokens": 9},
}
OURS = {
    "num_beams": "beams",
    "no_repeat_ngram_size": "no_repeat_ngram",
    "min_new_tokens": "min_length",
}


@pytest.fixture(scope="module", params=SHAPES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Decoder]:
    kind, shape = SHAPES[request.param]
    torch.manual_seed(3)
    config = kind(vocab_size=24, bos_token_id=1, eos_token_id=2, pad_token_id=0, **shape)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # decided weights, and texts that end now and then
        for weight in theirs.parameters():
            weight.mul_(4.0)
    folder: Path = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    imported = import_folder(folder)
    ours = make_model(imported.config)
    ours.load_state_dict({name: torch.from_numpy(array) for name, array in imported.weights.items()})
    assert isinstance(ours, Decoder)
    return theirs, ours.eval()


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_token_for_token(pair: tuple[Any, Decoder], search: dict[str, Any]) -> None:
    theirs, ours = pair
    prompts = [
        torch.randint(3, 24, (length,), generator=torch.Generator().manual_seed(length)).tolist()
        for length in (1, 3, 8, 8, 15)
    ]
    config = SearchConfig(max_length=NEW, **{OURS.get(name, name): value for name, value in search.items()})
    lengths = set()
    for prompt, (found, *_) in zip(prompts, continue_prompts(ours, prompts, config), strict=True):
        out = theirs.generate(torch.tensor([prompt]), max_new_tokens=NEW, do_sample=False, **search)[
            0
        ].tolist()
        expected = out[len(prompt) :]
        assert found.tokens + [2] * found.ended == expected
        lengths.add(len(expected))
    if search.get("num_beams", 1) > 1 and "early_stopping" not in search:
        assert lengths != {NEW}
