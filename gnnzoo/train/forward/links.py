"""Forward-only training for links: every layer scores pairs by itself."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from gnnzoo.heads import LinkHead
from gnnzoo.models import Chain, inputs
from gnnzoo.nn import LayerwisePredictor
from gnnzoo.train.forward.block import make_blocks
from gnnzoo.train.forward.frozen import FrozenInput, Stream, output
from gnnzoo.train.forward.phases import MakeOptimizer, Phase
from gnnzoo.train.forward.rows import wide

SCORES = {"lp_ce": "dot", "lp_ff": "goodness"}


class PairModel(nn.Module):
    """Blocks of a chain whose outputs stand side by side for `LayerwisePredictor`.

    Args:
        encoder: A chain whose layers are all of one width.
        fields: What the encoder reads of the training graph.

    Shapes:
        returns: ``[num_nodes, num_layers * channels]``.
    """

    def __init__(self, encoder: Chain, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = encoder
        self.blocks = make_blocks(encoder, encoder.context(**fields))

    @property
    def reads_as(self) -> nn.Module:
        """Whose signature names the fields of the data."""
        return self.encoder

    def stream(self, fields: Mapping[str, Any]) -> Stream:
        """The graph as it is."""
        context = self.encoder.context(**fields)
        return Stream(self.encoder.start(context), context)

    def forward(self, **fields: Any) -> Tensor:
        stream, outputs = self.stream(fields), []
        for block in self.blocks:
            stream.h = block(stream.h, stream.context)
            outputs.append(wide(stream.h))
        return torch.cat(outputs, dim=1)


class LinkPhase(Phase):
    """One layer on pairs of nodes.

    Args:
        plan: What finished layers passed on.
        index: Which block.
    """

    def __init__(self, plan: "LinkLayerByLayer", index: int) -> None:
        block = plan.model.blocks[index]
        self.plan, self.block = plan, block
        self.name = f"layer {index + 1} of {plan.num_phases}"
        self.trained = nn.ModuleList(block.modules)
        parameters = list(self.trained.parameters())
        self.optimizers = [plan.make_optimizer(parameters)] if parameters else []
        self.kept = [plan.pairs]

    @property
    def kept(self) -> list[Tensor]:
        return [self.plan.pairs]

    @kept.setter
    def kept(self, kept: list[Tensor]) -> None:
        self.plan.pairs = kept[0].to(self.plan.pairs.device)
        nodes, places = self.plan.pairs.unique(return_inverse=True)
        self.frozen, self.places = FrozenInput(self.block, self.plan.stream, nodes), places

    def step(self) -> Tensor:
        self.trained.train()
        scores = self.plan.predictor.layer(self.frozen(), self.places)
        true, false = scores.tensor_split([self.plan.num_positives])
        if self.plan.predictor.score == "goodness":
            loss = softplus(-true).mean() + softplus(false).mean()
        else:
            labels = torch.zeros_like(scores)
            labels[: self.plan.num_positives] = 1
            loss = binary_cross_entropy_with_logits(scores, labels)
        loss.backward()
        self._update(0, self.plan.clip_norm)
        return loss.detach().reshape(1)

    @torch.no_grad()
    def scores(self) -> Tensor:
        """``[num_nodes, num_layers_so_far * channels]``, what the predictor reads."""
        self.trained.eval()
        z = wide(output(self.block, self.plan.stream))
        return torch.cat([*self.plan.outputs, z], dim=1)


class LinkLayerByLayer:
    """Every layer once, from the bottom up, with the negatives drawn at the start."""

    def __init__(
        self,
        model: PairModel,
        head: LinkHead,
        method: str,
        make_optimizer: MakeOptimizer,
        clip_norm: float | None,
    ) -> None:
        self.predictor = head.predictor
        if not isinstance(self.predictor, LayerwisePredictor):
            raise ValueError(
                f"method={method} needs a predictor that every layer has a vote in, got "
                f"{type(self.predictor).__name__}; head=layerwise"
            )
        if self.predictor.score != SCORES[method]:
            raise ValueError(
                f"method={method} goes with head.predictor.score={SCORES[method]}, "
                f"got {self.predictor.score}"
            )
        batch = head.whole_batch()
        self.pairs, self.num_positives = batch.pairs, batch.num_positives
        self.model, self.make_optimizer, self.clip_norm = model, make_optimizer, clip_norm
        self.num_phases = len(model.blocks)
        self.stream, self.outputs = model.stream(inputs(model, batch.data)), []

    def phase(self, number: int) -> LinkPhase:
        return LinkPhase(self, number)

    @torch.no_grad()
    def advance(self, number: int) -> None:
        block = self.model.blocks[number]
        block.layer.eval()
        self.stream.h = output(block, self.stream)
        self.outputs.append(wide(self.stream.h))
