"""Vocabularies in clusters, the frequent tokens wide and the rare ones narrow: adaptive input and softmax."""

import math
from typing import Any

import keras
from keras import ops

from weft.config import Adaptive, ModelConfig
from weft.keras.layers import OfModel, initial, register

__all__ = ["AdaptiveEmbedding", "AdaptiveSoftmax"]

PROJECTION_DEVIATION = 0.01  # as the published code has it


@register
class AdaptiveEmbedding(OfModel):
    """One vector for each token, in clusters of different width, projected to the model's (Baevski and Auli 2019, section
    3), and scaled by √D where the configuration says so: (B, T) to (B, T, D)."""

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.scale = math.sqrt(self.config.width) if self.config.scale_embedding else 1.0
        self.firsts = [table.first for table in self.config.tables]
        self.tables = [
            keras.layers.Embedding(
                table.end - table.first,
                table.width,
                embeddings_initializer=initial("normal"),
                name=f"tables_{number}",
                dtype=self.dtype_policy,
            )
            for number, table in enumerate(self.config.tables)
        ]
        self.projections: list[Any] = []

    def build(self, input_shape: Any) -> None:
        for table in self.tables:
            table.build(input_shape)
        if self.config.projected:
            self.projections = [
                _projection(self, table.width, f"projections_{number}")
                for number, table in enumerate(self.config.tables)
            ]

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return (*input_shape, self.config.width)

    def call(self, ids: Any) -> Any:
        if len(self.tables) == 1:
            return self._vectors(ids, 0) * self.scale
        cluster = sum(ops.cast(ids >= first, "int32") for first in self.firsts[1:])
        x = 0.0
        for number, first in enumerate(self.firsts):
            here = ops.equal(cluster, number)
            vectors = self._vectors(ops.where(here, ids - first, 0), number)
            x = x + ops.where(here[..., None], vectors, ops.cast(0.0, vectors.dtype))
        return x * self.scale

    def _vectors(self, ids: Any, table: int) -> Any:
        vectors = self.tables[table](ids)
        if not self.projections:
            return vectors
        return ops.matmul(vectors, ops.transpose(ops.cast(self.projections[table], vectors.dtype)))


@register
class AdaptiveSoftmax(OfModel):
    """log p(token) = log p(cluster) + log p(token | cluster), but that the first cluster's tokens stand beside the other
    clusters, whose scores are the gates' (Grave et al. 2017, section 4): (B, T, D) to log-probabilities (B, T, V). With one
    cluster it is the plain softmax, and gives its scores.

    Tied to the embedding, the tables are its own, and the projections of all clusters but the first can be (Baevski and
    Auli 2019, section 3).
    """

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.clusters = self.config.clusters
        self.tables: list[Any] = []  # its own, where they are not the embedding's
        self.projections: dict[str, Any] = {}  # its own, by the cluster's number
        self.gates: list[Any] = []
        self.biases: list[Any] = []
        self.gate_biases: list[Any] = []

    def build(self, input_shape: Any) -> None:
        config, tables, tails = self.config, self.config.tables, range(1, len(self.clusters))
        normal = initial("normal")
        if config.tie == "none":
            self.tables = [
                self.add_weight(
                    shape=(each.end - each.first, each.width), initializer=normal, name=f"tables_{number}"
                )
                for number, each in enumerate(tables)
            ]
        width = self.clusters[0].width
        self.gates = [
            self.add_weight(shape=(1, width), initializer=normal, name=f"gates_{number}") for number in tails
        ]
        if config.output_bias:
            sizes = [each.end - each.first for each in tables]
            self.biases = [
                self.add_weight(shape=(size,), initializer="zeros", name=f"biases_{number}")
                for number, size in enumerate(sizes)
            ]
            self.gate_biases = [
                self.add_weight(shape=(1,), initializer="zeros", name=f"gate_biases_{number}")
                for number in tails
            ]
        tied = (config.adaptive or Adaptive()).tie_projections
        for number, cluster in enumerate(self.clusters if config.projected else ()):
            if not (tied and number):
                self.projections[str(number)] = _projection(self, cluster.width, f"projections_{number}")

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return (*input_shape[:-1], self.config.vocabulary)

    def tables_beside(self, embedding: AdaptiveEmbedding) -> list[Any]:
        """Each table's variable, be it the embedding's."""
        return self.tables or [table.embeddings for table in embedding.tables]

    def projections_beside(self, embedding: AdaptiveEmbedding) -> list[Any]:
        """Each cluster's projection, be it the embedding's."""
        theirs = embedding.projections
        return [
            self.projections.get(str(number), theirs[min(number, len(theirs) - 1)])
            for number in range(len(self.clusters) if theirs else 0)
        ]

    def call(self, states: Any, *, embedding: AdaptiveEmbedding) -> Any:
        head = self._scores(states, 0, embedding)
        if len(self.clusters) == 1:
            return head
        head = ops.log_softmax(ops.cast(head, "float32"), axis=-1)
        size = self.clusters[0].end
        parts = [head[..., :size]]
        for number in range(1, len(self.clusters)):
            gate = size + number - 1
            tail = ops.cast(self._scores(states, number, embedding), "float32")
            parts.append(head[..., gate : gate + 1] + ops.log_softmax(tail, axis=-1))
        return ops.concatenate(parts, axis=-1)

    def _scores(self, states: Any, number: int, embedding: AdaptiveEmbedding) -> Any:
        """Those of a cluster's tokens, and of the first one's the gates to the others below them."""
        tables, projections = self.tables_beside(embedding), self.projections_beside(embedding)
        table, cluster = min(number, len(tables) - 1), self.clusters[number]
        rows = slice(cluster.first, cluster.end) if len(tables) == 1 else slice(None)
        weights = [ops.convert_to_tensor(tables[table])[rows], *(self.gates if number == 0 else ())]
        narrow = states
        if projections:
            narrow = ops.matmul(states, ops.cast(projections[number], states.dtype))
        weight = ops.cast(ops.concatenate(weights, axis=0), states.dtype)
        scores = ops.matmul(narrow, ops.transpose(weight))
        if not self.biases:
            return scores
        biases = [ops.convert_to_tensor(self.biases[table])[rows], *(self.gate_biases if number == 0 else ())]
        return scores + ops.cast(ops.concatenate(biases, axis=0), scores.dtype)


def _projection(layer: OfModel, width: int, name: str) -> Any:
    begin = keras.initializers.RandomNormal(stddev=PROJECTION_DEVIATION)
    return layer.add_weight(shape=(layer.config.width, width), initializer=begin, name=name)
