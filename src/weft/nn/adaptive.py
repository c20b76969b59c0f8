"""Vocabularies in clusters, the frequent tokens wide and the rare ones narrow: adaptive input and softmax."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from weft.config import Adaptive, ModelConfig
from weft.nn.loss import Loss, vocabulary_loss

__all__ = ["AdaptiveEmbedding", "AdaptiveSoftmax"]

NORMAL_DEVIATION = 0.02
PROJECTION_DEVIATION = 0.01  # as the published code has it
LOGITS = 2**24  # that exist at once


def _projection(config: ModelConfig, width: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(config.width, width).normal_(std=PROJECTION_DEVIATION))


class AdaptiveEmbedding(nn.Module):
    """One vector for each token, in clusters of different width, projected to the model's (Baevski and Auli 2019, section
    3), and scaled by √D where the configuration says so."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        tables = config.tables
        self.width = config.width
        self.scale = math.sqrt(config.width) if config.scale_embedding else 1.0
        self.firsts = [table.first for table in tables]
        self.tables = nn.ModuleList(nn.Embedding(table.end - table.first, table.width) for table in tables)
        self.projections = nn.ParameterList(
            [_projection(config, table.width) for table in tables] if config.projected else []
        )

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        if len(self.tables) == 1:
            return self._vectors(ids, 0) * self.scale
        flat = ids.flatten()
        number = _cluster_of(flat, self.firsts)
        rows = [(number == each).nonzero()[:, 0] for each in range(len(self.tables))]
        parts = [self._vectors(flat[row] - self.firsts[each], each) for each, row in enumerate(rows)]
        vectors = torch.cat(parts)[torch.cat(rows).argsort()]  # back in the order of the tokens
        return vectors.view(*ids.shape, self.width) * self.scale

    def _vectors(self, ids: Tensor, table: int) -> Tensor:
        vectors: Tensor = self.tables[table](ids)
        return functional.linear(vectors, self.projections[table]) if len(self.projections) else vectors


class AdaptiveSoftmax(nn.Module):
    """log p(token) = log p(cluster) + log p(token | cluster), but that the first cluster's tokens stand beside the other
    clusters, whose scores are the gates' (Grave et al. 2017, section 4). With one cluster it is the plain softmax.

    Tied to the embedding, the tables are its own, and the projections of all clusters but the first can be (Baevski and
    Auli 2019, section 3).
    """

    def __init__(self, config: ModelConfig, *, embedding: AdaptiveEmbedding) -> None:
        super().__init__()
        adaptive = config.adaptive or Adaptive()
        self.clusters = config.clusters
        tables = config.tables
        if config.tie == "none":
            self.weights = nn.ParameterList(_drawn(table.end - table.first, table.width) for table in tables)
        else:
            self.weights = nn.ParameterList(table.weight for table in embedding.tables)
        width, tails = self.clusters[0].width, len(self.clusters) - 1
        self.gates = nn.ParameterList(_drawn(1, width) for _ in range(tails))
        biased = config.output_bias
        self.biases = nn.ParameterList(
            torch.zeros(table.end - table.first) for table in (tables if biased else ())
        )
        self.gate_biases = nn.ParameterList(torch.zeros(1) for _ in range(tails if biased else 0))
        own = embedding.projections
        tied = [adaptive.tie_projections and number > 0 for number in range(tails + 1)]
        self.projections = nn.ParameterList(
            own[min(number, len(own) - 1)] if tied[number] else _projection(config, cluster.width)
            for number, cluster in enumerate(self.clusters if len(own) else ())
        )

    def loss(self, hidden: Float[Tensor, "N D"], labels: Int[Tensor, " N"]) -> Loss:
        """Cross-entropy in nats, of which scores exist a chunk at a time; every row counts."""
        heads, rows = self._sort(labels)
        weight, bias = self._weight(0)
        total = vocabulary_loss(self._project(hidden, 0), heads, weight=weight, bias=bias).total
        for number, row in enumerate(rows, start=1):
            weight, bias = self._weight(number)
            inside = labels[row] - self.clusters[number].first
            narrow = self._project(hidden[row], number)
            total = total + vocabulary_loss(narrow, inside, weight=weight, bias=bias).total
        return Loss(total, len(labels))

    def token_losses(self, hidden: Float[Tensor, "N D"], labels: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """The negative log-likelihood of each label, in nats, for evaluation."""
        heads, rows = self._sort(labels)
        losses = self._losses(hidden, heads, 0)
        for number, row in enumerate(rows, start=1):
            inside = labels[row] - self.clusters[number].first
            losses = losses.index_add(0, row, self._losses(hidden[row], inside, number))
        return losses

    def forward(self, hidden: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        """Log-probabilities of all tokens; of a single cluster the scores, from which they are not yet normalised."""
        head = self._scores(hidden, 0)
        if len(self.clusters) == 1:
            return head
        head = head.float().log_softmax(-1)
        size = self.clusters[0].end
        parts = [head[..., :size]]
        for number in range(1, len(self.clusters)):
            gate = size + number - 1
            tail = self._scores(hidden, number).float().log_softmax(-1)
            parts.append(head[..., gate : gate + 1] + tail)
        return torch.cat(parts, dim=-1)

    def _sort(self, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the head is to say for each label, and the rows of each further cluster."""
        number = _cluster_of(labels, [cluster.first for cluster in self.clusters])
        heads = torch.where(number == 0, labels, self.clusters[0].end + number - 1)
        return heads, [(number == each).nonzero()[:, 0] for each in range(1, len(self.clusters))]

    def _weight(self, number: int) -> tuple[Tensor, Tensor | None]:
        """The rows of a cluster's table, and for the first one the gates to the others below them."""
        table = min(number, len(self.weights) - 1)
        cluster = self.clusters[number]
        rows = slice(cluster.first, cluster.end) if len(self.weights) == 1 else slice(None)
        weight = self.weights[table][rows]
        bias = self.biases[table][rows] if len(self.biases) else None
        if number == 0 and len(self.gates):
            weight = torch.cat([weight, *self.gates])
            bias = None if bias is None else torch.cat([bias, *self.gate_biases])
        return weight, bias

    def _project(self, hidden: Tensor, number: int) -> Tensor:
        return hidden @ self.projections[number] if len(self.projections) else hidden

    def _scores(self, hidden: Tensor, number: int) -> Tensor:
        return functional.linear(self._project(hidden, number), *self._weight(number))

    def _losses(self, hidden: Tensor, labels: Tensor, number: int) -> Tensor:
        size = max(1, LOGITS // (self.clusters[number].end - self.clusters[number].first))
        parts = [
            functional.cross_entropy(self._scores(some, number).float(), label, reduction="none")
            for some, label in zip(torch.split(hidden, size), torch.split(labels, size), strict=True)
        ]
        return torch.cat(parts)


def _drawn(rows: int, width: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(rows, width).normal_(std=NORMAL_DEVIATION))


def _cluster_of(ids: Tensor, firsts: list[int]) -> Tensor:
    return torch.bucketize(
        ids.contiguous(), torch.tensor(firsts[1:], device=ids.device, dtype=ids.dtype), right=True
    )
