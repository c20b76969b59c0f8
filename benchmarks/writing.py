"""Language models: training tokens a second at nanoGPT's shape, and tokens a second of one stream at GPT-2's."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import huggingface_decoder
from benchmarks.huggingface import Way
from benchmarks.huggingface_decoder import Shape, Training
from benchmarks.machine import fast_dtypes, on_cores, seconds_of
from benchmarks.report import Options, Row
from benchmarks.weft_training import describe
from weft.config import DataConfig, LanguageConfig, LanguageRun, ModelConfig, TokenizerConfig, TrainConfig
from weft.generate.config import SearchConfig
from weft.generate.prompts import continue_prompts
from weft.models.decoder import Decoder
from weft.models.transformer_xl import TransformerXL
from weft.nn.inference import Precision, choose_precision, convert
from weft.nn.precision import fast_dtype
from weft.recipes import preset
from weft.tasks.language_model import LanguageProblem
from weft.tasks.perplexity import segment_losses
from weft.training.loop import Trainer
from weft.training.report import Silent
from weft.training.world import World

__all__ = ["run"]

NANO = Shape(65, width=384, heads=6, layers=6, length=256)  # nanoGPT's, for Tiny Shakespeare
ROWS = 16  # of a batch
GPT2 = Shape(50_257, width=768, heads=12, layers=12, length=1024)
PROMPT, WRITTEN = 32, 32
ATTENTION, SEGMENT = 800, 128  # Dai et al. 2019, section 4.3: what each token sees; and what is read at once
MEASURED = 5
XL: dict[str, int] = {}  # of the shape of Transformer-XL base, what is to be otherwise


def run(options: Options) -> list[Row]:
    """Rows for one core and for all, the medians over several rounds, the sides in turn; and what a memory is worth."""
    rows: list[Row] = []
    for cores in sorted({1, len(os.sched_getaffinity(0))}):
        with on_cores(cores), TemporaryDirectory() as folder:
            rows += [_train(cores, Path(folder)), *_write(cores)]
    with on_cores(1):
        return [*rows, _remember()]


def _train(cores: int, folder: Path) -> Row:
    characters = np.random.default_rng(0).integers(NANO.vocabulary - 4, size=200_000)
    text = folder / "text.txt"
    text.write_text("".join(chr(0x4E00 + int(each)) for each in characters), encoding="utf-8")
    trainer = _trainer(text, folder / "weft")
    rows = torch.from_numpy(np.random.default_rng(1).integers(NANO.vocabulary, size=(ROWS, NANO.length + 1)))
    way = huggingface_decoder.fastest_training(NANO, rows)
    peer = Training(NANO, way=way, rate=1e-3)
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(1 + MEASURED):
        seconds[0].append(_seconds(partial(trainer.step, number)))
        seconds[1].append(_seconds(partial(peer.step, rows)))
    tokens = ROWS * NANO.length
    return Row(
        benchmark="writing",
        what=f"training, {_cores(cores)}",
        work=f"a decoder of {NANO}, {tokens:,} tokens a step, random characters",
        unit="tokens/s",
        weft=tokens / median(seconds[0][1:]),
        weft_settings=describe(trainer),
        peer="Hugging Face",
        peer_value=tokens / median(seconds[1][1:]),
        peer_settings=str(peer),
    )


def _trainer(text: Path, folder: Path) -> Trainer:
    """The training that `weft train language-model --preset medium` would begin."""
    recipe = preset("medium", architecture="decoder", task="language-model")
    shape = {
        "width": NANO.width,
        "heads": NANO.heads,
        "decoder_layers": NANO.layers,
        "vocabulary": NANO.vocabulary,
    }
    run = LanguageRun(
        data=DataConfig(train=(str(text),)),
        tokenizer=TokenizerConfig(kind="characters"),
        model=ModelConfig.model_validate({**recipe["model"], **shape, "dropout": 0.0, "ngrams": None}),
        train=TrainConfig.model_validate({**recipe["train"], "batch_tokens": ROWS * NANO.length}),
        language=LanguageConfig(length=NANO.length),
    )
    problem = LanguageProblem(run)
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(folder, tokenizer=tokenizer, begun=False, tell=print)
    torch.manual_seed(run.train.seed)
    return Trainer(
        problem.make_model(run.model),
        task,
        config=run.train,
        folder=folder,
        kind=run.task,
        reporter=Silent(),
        world=World(),
        began=time.monotonic(),
    )


def _write(cores: int) -> list[Row]:
    """The same design on both sides, random weights: in float32, in bfloat16 if that is fast, and as weft does by itself."""
    way = _fastest_writing()
    peer = huggingface_decoder.make_model(GPT2, way=way)
    prompt = torch.randint(GPT2.vocabulary, (1, PROMPT), generator=torch.Generator().manual_seed(0))
    by_itself = choose_precision("auto", width=GPT2.width, device=torch.device("cpu"))
    half: list[Precision] = ["bfloat16"] if fast_dtype("cpu") == torch.bfloat16 else []
    precisions: list[Precision] = list(dict.fromkeys(["float32", *half, by_itself]))
    sides: dict[str, Callable[[], object]] = {
        "peer": partial(huggingface_decoder.write, peer, prompt, tokens=WRITTEN)
    }
    for precision in precisions:
        sides[precision] = partial(_go_on, _decoder(precision), prompt[0].tolist())
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(1 + MEASURED):
        for name, write in sides.items():
            seconds[name].append(_seconds(write))
    rate = {name: WRITTEN / median(each[1:]) for name, each in seconds.items()}
    return [
        Row(
            benchmark="writing",
            what=f"one stream, {precision}, {_cores(cores)}",
            work=f"GPT-2's design, {GPT2}, {WRITTEN} tokens after {PROMPT}, the prompt's reading included",
            unit="tokens/s",
            weft=rate[precision],
            weft_settings=precision,
            peer="Hugging Face",
            peer_value=rate["peer"],
            peer_settings=str(way),
        )
        for precision in precisions
    ]


def _fastest_writing() -> Way:
    ways = [Way(dtype, attention) for dtype in fast_dtypes() for attention in ("sdpa", "eager")]
    prompt = torch.zeros(1, PROMPT, dtype=torch.long)
    seconds = {
        way: seconds_of(
            partial(
                huggingface_decoder.write, huggingface_decoder.make_model(GPT2, way=way), prompt, tokens=8
            ),
            times=1,
        )
        for way in ways
    }
    return min(ways, key=lambda way: seconds[way])


def _decoder(precision: Precision) -> Decoder:
    design = preset("gpt2", architecture="decoder", task="language-model")["model"]
    shape = {
        "width": GPT2.width,
        "heads": GPT2.heads,
        "decoder_layers": GPT2.layers,
        "vocabulary": GPT2.vocabulary,
    }
    shape |= {"feed_forward": 4 * GPT2.width, "max_length": GPT2.length}
    torch.manual_seed(0)
    return convert(Decoder(ModelConfig.model_validate({**design, **shape})).eval(), precision)


def _go_on(model: Decoder, prompt: list[int]) -> object:
    return continue_prompts(model, [prompt], SearchConfig(max_length=WRITTEN, min_length=WRITTEN))


def _remember() -> Row:
    """Transformer-XL base, but for its vocabulary: a text with its memory, and the same context for each token anew."""
    design = preset("transformer-xl-base", architecture="decoder", task="language-model")["model"]
    own = {"vocabulary": 1000, "adaptive": None, "recurrence": {"memory": ATTENTION - SEGMENT}, **XL}
    torch.manual_seed(0)
    model = TransformerXL(ModelConfig.model_validate({**design, **own})).eval()
    ids = torch.randint(1000, (4 * ATTENTION + 1,), generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def slide() -> None:
        for start in range(2):
            model.logits(model(ids[None, start : start + ATTENTION])[0][:, -1])

    remembered = seconds_of(partial(segment_losses, model, ids, length=SEGMENT), times=1) / (len(ids) - 1)
    slid = seconds_of(slide, times=1) / 2
    return Row(
        benchmark="writing",
        what="evaluation with a memory, 1 core",
        work=f"{model.config.decoder_layers} layers of {model.config.width}, {ATTENTION} tokens of attention",
        unit="tokens/s",
        weft=1 / remembered,
        weft_settings=f"segments of {SEGMENT}",
        peer="the window slid by one token",
        peer_value=1 / slid,
        peer_settings="the same model without its memory",
    )


def _cores(count: int) -> str:
    return f"{count} core{'s' * (count > 1)}"


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
