"""An encoder cut into blocks, with what forward-only training adds to it; predicts by itself."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from gnnzoo.models import Chain
from gnnzoo.ops.csr import builder
from gnnzoo.train.forward.block import make_blocks
from gnnzoo.train.forward.frozen import Stream
from gnnzoo.train.forward.graphs import check_labels, label_columns, wrong_labels
from gnnzoo.train.forward.merges import make_merge
from gnnzoo.train.forward.methods import Method
from gnnzoo.train.forward.objectives import Labels
from gnnzoo.train.forward.rows import Features, wide
from gnnzoo.train.forward.streams import StreamMaker, hypotheses

VIRTUAL_INITS = ("normal", "mean", "zeros")


class ForwardModel(nn.Module):
    """Blocks of a chain that are trained each by itself and vote on the classes of nodes.

    Takes the place of the encoder: what it returns for each node are logits. Labels of training
    nodes, features of virtual nodes and wrong labels are buffers, so its weights alone predict.

    Args:
        encoder: A chain whose layers are all as wide as they will stay.
        method: How it is trained.
        fields: What the encoder reads of the training graph.
        task: Anything with ``data`` (masks, and labels of training nodes), ``num_classes`` and
            ``transforms``.
        width: Width of the layers' outputs; for methods that merge them in the input only.
        bidirectional: Whether virtual nodes send messages too.
        virtual_init: Features of virtual nodes: ``normal`` (random, as published), ``mean`` (of the
            class's training nodes) or ``zeros``.

    Shapes:
        returns: ``[num_nodes, num_classes]``: the log of the mean of all layers' probabilities, or
            the sum of their goodness.

    Raises:
        ValueError: If the encoder cannot be cut, or labels or settings do not do.
    """

    def __init__(
        self,
        encoder: Chain,
        method: Method,
        fields: Mapping[str, Any],
        task: Any,
        width: int = 0,
        bidirectional: bool = True,
        virtual_init: str = "normal",
    ) -> None:
        super().__init__()
        if method.streams == "virtual" and getattr(encoder, "fits_one_graph", False):
            raise ValueError(
                f"{type(encoder).__name__} has weights for each node of one graph and cannot get "
                "virtual nodes; method=train_mean and probe add none"
            )
        self.encoder, self.method, self.num_classes = encoder, method, task.num_classes
        data = task.data
        nodes = data.train_mask.nonzero().squeeze(1)
        self.register_buffer("train_nodes", nodes)
        self.register_buffer("train_classes", data.y[nodes])
        if method.streams != "plain" or method.objective.extra(self.labels(0)).numel():
            check_labels(self.train_classes, self.num_classes)
        generator = torch.Generator().manual_seed(torch.initial_seed())
        virtual = self._virtual_features(fields["x"], virtual_init, generator)
        self.register_buffer("virtual_features", virtual)
        if method.objective.contrasts:
            negatives = wrong_labels(self.train_classes, self.num_classes, generator)
            negatives = negatives[: method.objective.num_negatives].contiguous()
            self.register_buffer("negatives", negatives)
        self._scored = _scored_nodes(data)
        self._last: tuple[dict[str, Any], Stream] | None = None
        self.maker = StreamMaker(encoder, task.transforms, method.streams, bidirectional)
        self.merge = make_merge(method.merge, method.order, width)
        first = self._stream(fields, self.train_nodes, self.train_classes)
        self.blocks = make_blocks(encoder, first.context)
        self.readers = nn.ModuleList(
            method.objective.reader(width, self.num_classes) for width in self._widths(first)
        ).to(data.y.device)

    @property
    def reads_as(self) -> nn.Module:
        """Whose signature names the fields of the data."""
        return self.encoder

    def unit(self, index: int) -> nn.ModuleList:
        """What one block's optimiser trains."""
        return nn.ModuleList([*self.blocks[index].modules, self.readers[index]])

    def votes(self, index: int) -> bool:
        """Whether a block is trained, and so has a vote."""
        return any(True for _ in self.unit(index).parameters())

    def labels(self, num_nodes: int) -> Labels:
        """What is known of a graph's training nodes.

        Args:
            num_nodes: Number of real nodes.
        """
        virtual = torch.arange(self.num_classes, device=self.train_nodes.device) + num_nodes
        if self.method.streams != "virtual":
            virtual = virtual[:0]
        return Labels(self.train_nodes, self.train_classes, self.num_classes, virtual)

    def train_streams(self, fields: Mapping[str, Any]) -> list[Stream]:
        """The true stream, and the false ones of a method that contrasts them."""
        streams = [self._true_stream(fields)]
        if self.method.objective.contrasts:
            streams += [self._stream(fields, self.train_nodes, wrong) for wrong in self.negatives]
        return streams

    def class_streams(self, fields: Mapping[str, Any], nodes: Tensor) -> list[Stream]:
        """For each class the stream in which `nodes` have it."""
        pairs = hypotheses(self.labels(0), nodes)
        return [self._stream(fields, *pair) for pair in pairs]

    def forward(self, **fields: Any) -> Tensor:
        if self.method.objective.contrasts:
            return self._contrasted(fields)
        stream, num_nodes = self._true_stream(fields), fields["x"].size(0)
        labels, rows = self._scored_rows(num_nodes)
        total, count = 0, 0
        for index, z in self.merge.embeddings(self.blocks, stream, self.top(num_nodes)):
            if self.votes(index):
                outputs = [wide(z).index_select(0, rows)]
                total = total + self._vote(index, outputs, num_nodes, labels)
                count += 1
        return self.method.objective.decide(total, count)

    def class_logits(self, fields: Mapping[str, Any], last_only: bool) -> list[Tensor]:
        """Every voting block's logits of all nodes, with gradients through the blocks below it.

        Shapes:
            returns: ``[num_nodes, num_classes]`` each.
        """
        stream, num_nodes = self._true_stream(fields), fields["x"].size(0)
        labels, rows = self._scored_rows(num_nodes)
        read = self.method.objective.class_logits
        voting = [index for index in range(len(self.blocks)) if self.votes(index)]
        voting = voting[-1:] if last_only else voting
        return [
            read(wide(z).index_select(0, rows), num_nodes, labels, self.readers[index])
            for index, z in self.merge.embeddings(self.blocks, stream, None)
            if index in voting
        ]

    def _scored_rows(self, num_nodes: int) -> tuple[Labels, Tensor]:
        """All nodes, and those that scoring reads beside them."""
        labels = self.labels(num_nodes)
        nodes = torch.arange(num_nodes, device=labels.nodes.device)
        return labels, torch.cat([nodes, self.method.objective.extra(labels)])

    def _contrasted(self, fields: Mapping[str, Any]) -> Tensor:
        """Every class as a hypothesis about all nodes of a part at once, one after the other."""
        num_nodes, objective = fields["x"].size(0), self.method.objective
        labels = self.labels(num_nodes)
        out = self.virtual_features.new_zeros(num_nodes, self.num_classes)
        for nodes in self._scored:
            for k, (known, classes) in enumerate(hypotheses(labels, nodes)):
                stream = self._stream(fields, known, classes)
                for index, z in self.merge.embeddings(self.blocks, stream, None):
                    if not self.votes(index):
                        continue
                    outputs = [wide(z).index_select(0, nodes)]
                    out[nodes, k] += self._vote(index, outputs, len(nodes), labels).squeeze(1)
        return objective.decide(out, len(self.blocks))

    def _vote(
        self, index: int, outputs: Sequence[Tensor], num_scored: int, labels: Labels
    ) -> Tensor:
        return self.method.objective.scores(outputs, num_scored, labels, self.readers[index])

    @builder
    def _true_stream(self, fields: Mapping[str, Any]) -> Stream:
        """That of the training labels; kept until it is asked for another graph."""
        known, stream = self._last or ({}, None)
        if known.keys() != fields.keys() or any(known[k] is not fields[k] for k in known):
            stream = self._stream(fields, self.train_nodes, self.train_classes)
            self._last = (dict(fields), stream)
        return stream

    def _stream(self, fields: Mapping[str, Any], nodes: Tensor, classes: Tensor) -> Stream:
        return self.maker.stream(fields, nodes, classes, self.virtual_features)

    def top(self, num_nodes: int) -> Tensor | None:
        """What the last layer reads in place of a layer above it: labels, where they are known."""
        if self.method.merge != "concat_above":
            return None
        labels = self.labels(num_nodes)
        nodes = torch.cat([labels.nodes, labels.virtual])
        own = torch.arange(self.num_classes, device=nodes.device)
        classes = torch.cat([labels.classes, own])
        size = num_nodes + self.num_classes
        return label_columns(size, self.num_classes, nodes, classes, self.virtual_features.dtype)

    def _virtual_features(self, x: Features, init: str, generator: torch.Generator) -> Tensor:
        if init not in VIRTUAL_INITS:
            raise ValueError(
                f"virtual_init must be one of {', '.join(VIRTUAL_INITS)}, got {init!r}"
            )
        shape = (self.num_classes, x.size(1))
        if init == "normal":
            return torch.randn(shape, generator=generator).to(x.device, x.dtype)
        out = torch.zeros(shape, dtype=x.dtype, device=x.device)
        if init == "mean":
            dense = x if isinstance(x, Tensor) else x.to_dense()
            out.index_add_(0, self.train_classes, dense[self.train_nodes])
            counts = torch.bincount(self.train_classes, minlength=self.num_classes)
            out /= counts.clamp_min(1).unsqueeze(1)
        return out

    @torch.no_grad()
    def _widths(self, stream: Stream) -> list[int]:
        """Width of each block's output; also tries the whole chain out."""
        top = self.top(stream.h.size(0) - self.num_classes)
        outputs = self.merge.embeddings(self.blocks, stream, top)
        return [wide(z[:1]).size(1) for _, z in islice(outputs, len(self.blocks))]


def _scored_nodes(data: Any) -> list[Tensor]:
    """Validation nodes, test nodes, all others that are not trained on: those that there are."""
    masks = [data.val_mask, data.test_mask]
    masks.append(~(data.train_mask | data.val_mask | data.test_mask))
    return [mask.nonzero().squeeze(1) for mask in masks if mask.any()]
