"""What a long memory is worth: the bits a byte of a Transformer-XL, as the context that it may use grows; with a picture."""

import gzip

import weft
from benchmarks.report import Options, Row
from weft.errors import UserError
from weft.pipelines.generator import Generator

__all__ = ["draw", "run"]

CONTEXTS = (64, 128, 256, 512, 1024, 2048)
BYTES = 400_000  # of the test text
WIDTH, HEIGHT, MARGIN = 640, 320, 56


def run(options: Options) -> list[Row]:
    """A row for each context beside the shortest one, and the curve in the work folder."""
    if options.run is None or options.data is None:
        raise UserError(
            "context needs a Transformer-XL, --run RUN, and WikiText-2 in the folder that WEFT_DATA names"
        )
    model = weft.load(options.run)
    if not isinstance(model, Generator) or model.config.model.recurrence is None:
        raise UserError(f"{options.run}: context needs a Transformer-XL, which remembers")
    text = gzip.decompress((options.data / "wikitext-2" / "test.txt.gz").read_bytes())[:BYTES]
    file = options.work / "context.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.decode("utf-8", "ignore").rpartition("\n")[0] + "\n", encoding="utf-8")
    bits = {context: model.evaluate(file, memory=context).bits_per_byte for context in CONTEXTS}
    picture = options.work / "context.svg"
    picture.write_text(draw(bits), encoding="utf-8")
    first = CONTEXTS[0]
    return [
        Row(
            benchmark="context",
            what=f"{context:,} tokens remembered",
            work=f"the first {BYTES:,} bytes of WikiText-2's test text; the curve is in {picture.name}",
            unit="bits/byte",
            weft=bits[context],
            weft_settings=str(options.run),
            peer=f"{first} tokens remembered",
            peer_value=bits[first],
            peer_settings="the same model",
            lower_is_better=True,
        )
        for context in CONTEXTS
    ]


def draw(bits: dict[int, float]) -> str:
    """The curve, each doubling of the context as wide as any other.

    >>> draw({64: 2.0, 128: 1.5}).count("<circle")
    2
    """
    low, high = min(bits.values()), max(bits.values())
    span = high - low or 1.0
    step = (WIDTH - 2 * MARGIN) / max(1, len(bits) - 1)
    points = [
        (MARGIN + number * step, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / span)
        for number, value in enumerate(bits.values())
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#c2410c"/>'
        f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{value:.3f}</text>'
        f'<text x="{x:.1f}" y="{HEIGHT - 20}" text-anchor="middle">{context:,}</text>'
        for (x, y), (context, value) in zip(points, bits.items(), strict=True)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            'font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="{MARGIN}" y="22" font-weight="bold">bits a byte, by the tokens that are remembered</text>',
            f'<polyline points="{line}" fill="none" stroke="#c2410c" stroke-width="2"/>',
            *marks,
            "</svg>",
            "",
        ]
    )
