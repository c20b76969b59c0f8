"""Small random models of the reference implementations."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import BertConfig, MarianConfig, MarianMTModel, PreTrainedModel, RobertaConfig
from transformers.utils import logging

VOCABULARY = 64
END, PAD = 0, VOCABULARY - 1


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def random_marian(*, seed: int = 0, sharp: float = 1.0, **settings: Any) -> MarianMTModel:
    """A MarianMTModel whose every weight is random, biases and norms included.

    At the usual small scale a random model writes one output for whatever input. With `sharp` 5 each input
    has its own, at the cost of rounding errors that grow with it in both implementations.
    """
    small = {
        "vocab_size": VOCABULARY,
        "d_model": 48,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 40,
        "activation_function": "relu",
        "scale_embedding": True,
        "pad_token_id": PAD,
        "decoder_start_token_id": PAD,
        "eos_token_id": END,
        "forced_eos_token_id": END,
    }
    torch.manual_seed(seed)
    model = MarianMTModel(MarianConfig(**{**small, **settings})).eval()
    deviation = model.config.d_model**-0.5
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm.weight" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_(std=0.3)
            elif "embed_positions" not in name:
                parameter.normal_(std=deviation * _scale(name, sharp))
        model.final_logits_bias.normal_(std=0.5)
        wanted = [model.config.eos_token_id, model.config.pad_token_id]
        model.final_logits_bias[0, wanted] += 6.0  # as published models want the padding, too
    return model


def _scale(name: str, sharp: float) -> float:
    if "embed_tokens" in name or "shared" in name or "lm_head" in name:
        return 4.0
    if "encoder_attn.q" in name or "encoder_attn.k" in name:
        return sharp
    return min(sharp, 2.0) if "decoder" in name else 1.0


@pytest.fixture(scope="session")
def make_marian() -> Callable[..., MarianMTModel]:
    """Make a random MarianMTModel with these settings."""
    return random_marian


@pytest.fixture
def save_marian(tmp_path: Path) -> Callable[..., tuple[MarianMTModel, Path]]:
    """Make a random MarianMTModel and save it; gives the model and its folder."""

    def save(**settings: Any) -> tuple[MarianMTModel, Path]:
        model = random_marian(**settings)
        particulars = {
            "bad_words_ids": [[PAD]],
            "renormalize_logits": True,
            "min_length": 4,
            "max_length": 18,
        }
        model.generation_config.update(**particulars)
        folder = tmp_path / "theirs"
        model.save_pretrained(folder)
        return model, folder

    return save


LABELS = ("O", "B-a", "I-a", "B-b", "I-b")


def random_reader(architecture: str, *, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """A BERT or RoBERTa model of that class whose every weight is random, biases and norms included.

    The usual small scale would give one and the same output for whatever input.
    """
    roberta = architecture.startswith("Roberta")
    small = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
        "type_vocab_size": 1 if roberta else 2,
        "pad_token_id": 1 if roberta else 0,
        "bos_token_id": 0 if roberta else 1,
        "eos_token_id": 2,
    }
    if "Sequence" in architecture or "Token" in architecture:
        small["id2label"] = dict(enumerate(LABELS))
    if "id2label" in small | settings:
        named = {**small, **settings}["id2label"]
        small["label2id"] = {label: number for number, label in named.items()}
    made = RobertaConfig if roberta else BertConfig
    torch.manual_seed(seed)
    model = getattr(transformers, architecture)(made(**{**small, **settings})).eval()
    deviation = model.config.hidden_size**-0.5
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm.weight" in name.lower():
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_(std=0.3)
            elif "embeddings" in name:
                parameter.normal_()
            else:
                parameter.normal_(std=2 * deviation)
    return model


@pytest.fixture(scope="session")
def make_reader() -> Callable[..., PreTrainedModel]:
    """Make a random BERT or RoBERTa model of a class, with these settings."""
    return random_reader
