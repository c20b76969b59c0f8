"""What introductory articles sketch, in PyTorch, with the bricks of weft: it runs and it learns."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from weft.config import ModelConfig, TranslatorConfig
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq
from weft.nn import Embedding, Mask, Stack, vocabulary_loss
from weft.pipelines.torch_seq2seq import TorchSeq2Seq
from weft.pipelines.translator import Translator
from weft.text.training import train_tokenizer

PAD, START, END = 0, 1, 2


class TextClassifier(nn.Module):
    """An encoder of the bricks: embeddings, a stack of blocks, the mean over real tokens, a linear layer."""

    def __init__(self, config: ModelConfig, *, labels: int) -> None:
        super().__init__()
        self.embedding = Embedding(config)
        self.encoder = Stack(config, layers=config.encoder_layers, causal=False, cross=False)
        self.output = nn.Linear(config.width, labels)

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B L"]:
        keep = ids != PAD
        states = self.encoder(self.embedding(ids), mask=Mask(keep=keep))  # (B, T, D)
        real = keep[..., None].float()
        out: Tensor = self.output((states * real).sum(1) / real.sum(1))
        return out


def test_an_encoder_of_bricks_learns_to_classify() -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        architecture="encoder", vocabulary=50, width=32, heads=4, feed_forward=64, encoder_layers=2
    )
    model = TextClassifier(config, labels=2)
    texts = torch.randint(3, 50, (128, 12))
    texts[:, 9:] = PAD
    labels = (texts == 7).any(1).long() | (texts[:, 0] > 25).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        loss = functional.cross_entropy(model(texts), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        found = model(texts)
        assert (found.argmax(-1) == labels).float().mean() > 0.95
        torch.testing.assert_close(
            model(texts[:, :9]), found, atol=1e-5, rtol=1e-4
        )  # padding changes nothing


def train(model: Seq2Seq, source: Tensor, target: Tensor, *, steps: int) -> list[float]:
    """The loop: teacher forcing, the loss over real tokens, AdamW; gives each step's loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    read = functional.pad(target, (1, 0), value=START)  # the target, one place later, behind the start
    labels = functional.pad(target, (0, 1), value=PAD)
    labels[torch.arange(len(target)), (target != PAD).sum(1)] = END
    losses = []
    model.train()
    for _ in range(steps):
        hidden = model(source, read, source_keep=source != PAD)  # (B, T, D)
        real = labels != PAD
        loss = vocabulary_loss(hidden[real], labels[real], weight=model.output.weight)
        mean = loss.total / loss.count
        optimizer.zero_grad()
        mean.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(mean.detach()))
    model.eval()
    return losses


def test_six_layers_over_three_learn_to_copy() -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        vocabulary=20, width=32, heads=4, feed_forward=64, encoder_layers=6, decoder_layers=3, max_length=16
    )
    model = Seq2Seq(config)
    texts = torch.randint(3, 20, (64, 6))
    source = functional.pad(texts, (0, 1), value=END)
    losses = train(model, source, texts, steps=120)
    assert losses[-1] < 0.1 * losses[0]
    found = generate(model, source.tolist(), SearchConfig(max_length=8))
    same = [each[0].tokens == text for each, text in zip(found, texts.tolist(), strict=True)]
    assert sum(same) > 60


def test_translate_from_a_language_to_another() -> None:
    """One model for four directions, told by the source's first token which language to write."""
    torch.manual_seed(0)
    sentences = {
        "en": ["a dog runs", "a cat sleeps", "the dog sees a cat", "the cat sees the snow"],
        "de": [
            "ein Hund läuft",
            "eine Katze schläft",
            "der Hund sieht eine Katze",
            "die Katze sieht den Schnee",
        ],
        "fr": ["un chien court", "un chat dort", "le chien voit un chat", "le chat voit la neige"],
    }
    directions = (("de", "en"), ("en", "de"), ("en", "fr"), ("fr", "en"))
    tags = [f"<2{language}>" for language in sentences]
    texts = [each for some in sentences.values() for each in some]
    tokenizer = train_tokenizer(texts, kind="words", size=64, special=tags)
    config = ModelConfig(
        vocabulary=tokenizer.vocab_size,
        width=64,
        heads=4,
        feed_forward=128,
        encoder_layers=2,
        decoder_layers=2,
    )
    model = Seq2Seq(config)
    read = [
        [tokenizer.token_id(f"<2{to}>"), *ids, END]
        for start, to in directions
        for ids in tokenizer.encode(sentences[start])
    ]
    written = [ids for _, to in directions for ids in tokenizer.encode(sentences[to])]
    source, target = (
        nn.utils.rnn.pad_sequence(list(map(torch.tensor, rows)), batch_first=True) for rows in (read, written)
    )
    losses = train(model, source, target, steps=200)
    assert losses[-1] < 0.1 * losses[0]
    translator = Translator(
        TranslatorConfig(directions=directions, tags=True, model=config),
        network=TorchSeq2Seq(model),
        tokenizer=tokenizer,
    )

    def translate(input_text: str, from_language: str, to_language: str) -> str:
        return translator.translate(input_text, from_language=from_language, to_language=to_language).text

    for start, to in directions:
        for text, expected in zip(sentences[start], sentences[to], strict=True):
            assert translate(text, start, to) == expected
