"""RoBERTa (Liu et al. 2019) as Hugging Face's Roberta… classes hold it.

BERT without a second segment or a second sentence to predict, whose positions are counted from behind the id of the
padding, so that the first rows of their table are never used.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from weft.families import bert
from weft.families.readers import Architecture, Family, export_reader, import_reader
from weft.families.table import Op, Preset, Rule

__all__ = ["ARCHITECTURES", "PRESETS", "ROBERTA", "export_roberta", "import_roberta"]

_POOLER = (Rule("{base}pooler.dense.{p}", "heads.pooler.dense.{p}"),)
_MASKED = (
    Rule("lm_head.dense.{p}", "heads.masked.dense.{p}"),
    Rule("lm_head.layer_norm.{p}", "heads.masked.norm.{p}"),
    Rule("lm_head.bias", "heads.masked.output.bias"),
    Rule("lm_head.decoder.bias", "heads.masked.output.bias", Op.TIED),
    Rule("lm_head.decoder.weight", "embedding.tokens.weight", Op.TIED),
)
_CLASSIFY = (
    Rule("classifier.dense.{p}", "heads.pooler.dense.{p}"),
    Rule("classifier.out_proj.{p}", "heads.classify.output.{p}"),
    # Left over from pretraining in some checkpoints: the classifier has a pooler of its own.
    Rule("{base}pooler.dense.{p}", "", Op.COMPUTED),
)
_TAG = (Rule("classifier.{p}", "heads.tag.output.{p}"),)
_ANSWER = (Rule("qa_outputs.{p}", "heads.answer.output.{p}"),)

ROBERTA = Family(
    name="roberta",
    title="RoBERTa",
    architectures=MappingProxyType(
        {
            "RobertaModel": Architecture("embed", (), ()),
            "RobertaForMaskedLM": Architecture("masked-lm", ("masked",), _MASKED),
            "RobertaForSequenceClassification": Architecture("classify", ("pooler", "classify"), _CLASSIFY),
            "RobertaForTokenClassification": Architecture("tag", ("tag",), _TAG),
            "RobertaForQuestionAnswering": Architecture("answer", ("answer",), _ANSWER),
        }
    ),
    further=MappingProxyType({"masked": _MASKED, "pooler": _POOLER}),
    defaults=MappingProxyType({"vocab_size": 50265, "pad_token_id": 1}),
    # Its head for hidden tokens has GELU whatever the layers have.
    fixed=MappingProxyType({"masked": {"activation": "gelu"}}),
    counts_from_padding=True,
)

ARCHITECTURES = tuple(ROBERTA.architectures)
import_roberta = partial(import_reader, family=ROBERTA)
export_roberta = partial(export_reader, family=ROBERTA)


def _preset(source: str, like: str) -> Preset:
    changes = {"norm_epsilon": 1e-5, "position_offset": 2, "segments": 1}  # as in the published code
    return Preset(source, {**bert.PRESETS[like].fields, **changes})


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "roberta-base": _preset("Liu et al. 2019, table 9, RoBERTa-base", "bert-base"),
        "roberta-large": _preset("Liu et al. 2019, table 9, RoBERTa-large", "bert-large"),
    }
)
