"""BERT (Devlin et al. 2019) as Hugging Face's Bert… classes hold it."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from weft.families.readers import Architecture, Family, export_reader, import_reader
from weft.families.table import Op, Preset, Rule

__all__ = ["ARCHITECTURES", "BERT", "PRESETS", "export_bert", "import_bert"]

_POOLER = (Rule("{base}pooler.dense.{p}", "heads.pooler.dense.{p}"),)
_MASKED = (
    Rule("cls.predictions.transform.dense.{p}", "heads.masked.dense.{p}"),
    Rule("cls.predictions.transform.LayerNorm.{p}", "heads.masked.norm.{p}"),
    Rule("cls.predictions.bias", "heads.masked.output.bias"),
    Rule("cls.predictions.decoder.bias", "heads.masked.output.bias", Op.TIED),
    Rule("cls.predictions.decoder.weight", "embedding.tokens.weight", Op.TIED),
)
_NEXT = (Rule("cls.seq_relationship.{p}", "heads.next.output.{p}"),)
_CLASSIFY = (Rule("classifier.{p}", "heads.classify.output.{p}"),)
_TAG = (Rule("classifier.{p}", "heads.tag.output.{p}"),)
_ANSWER = (Rule("qa_outputs.{p}", "heads.answer.output.{p}"),)

BERT = Family(
    name="bert",
    title="BERT",
    architectures=MappingProxyType(
        {
            "BertModel": Architecture("embed", (), ()),
            "BertForMaskedLM": Architecture("masked-lm", ("masked",), _MASKED),
            "BertForPreTraining": Architecture(
                "masked-lm", ("masked", "pooler", "next"), (*_MASKED, *_POOLER, *_NEXT)
            ),
            "BertForSequenceClassification": Architecture(
                "classify", ("pooler", "classify"), (*_POOLER, *_CLASSIFY)
            ),
            "BertForTokenClassification": Architecture("tag", ("tag",), _TAG),
            "BertForQuestionAnswering": Architecture("answer", ("answer",), _ANSWER),
        }
    ),
    further=MappingProxyType({"masked": _MASKED, "pooler": _POOLER, "next": _NEXT}),
    defaults=MappingProxyType({"vocab_size": 30522, "pad_token_id": 0}),
    fixed=MappingProxyType({}),
    counts_from_padding=False,
)

ARCHITECTURES = tuple(BERT.architectures)
import_bert = partial(import_reader, family=BERT)
export_bert = partial(export_reader, family=BERT)


# What all sizes share: norms after the residual sum and after the embeddings, learned positions and two segments
# (section 3), GELU (appendix A.2), a feed-forward layer of 4 D and heads of 64; ε as in the published code.
def _preset(source: str, *, width: int, layers: int) -> Preset:
    return Preset(
        source,
        {
            "architecture": "encoder",
            "width": width,
            "encoder_layers": layers,
            "heads": width // 64,
            "feed_forward": 4 * width,
            "activation": "gelu",
            "norm": "layer",
            "norm_place": "after",
            "norm_epsilon": 1e-12,
            "embedding_norm": True,
            "bias": True,
            "position": "learned",
            "max_length": 512,
            "segments": 2,
            "scale_embedding": False,
            "tie": "two",
            "output_bias": True,
            "initialisation": "normal",
            "dropout": 0.1,
            "attention_dropout": 0.1,
        },
    )


_DEVLIN, _TURC = "Devlin et al. 2019, section 3, {}", "Turc et al. 2019, table 1, BERT-{}"

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "bert-tiny": _preset(_TURC.format("Tiny"), width=128, layers=2),
        "bert-mini": _preset(_TURC.format("Mini"), width=256, layers=4),
        "bert-small": _preset(_TURC.format("Small"), width=512, layers=4),
        "bert-medium": _preset(_TURC.format("Medium"), width=512, layers=8),
        "bert-base": _preset(_DEVLIN.format("BERT-base"), width=768, layers=12),
        "bert-large": _preset(_DEVLIN.format("BERT-large"), width=1024, layers=24),
    }
)
