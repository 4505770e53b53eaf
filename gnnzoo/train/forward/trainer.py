"""Forward-only training: every layer has a loss of its own, and no gradient passes between them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data

from gnnzoo.data import LinkTask
from gnnzoo.heads import NodeHead
from gnnzoo.models import inputs
from gnnzoo.train.backprop import Fit
from gnnzoo.train.checkpoint import Checkpoint
from gnnzoo.train.forward.layer_list import LayerChain, node_task
from gnnzoo.train.forward.links import LinkLayerByLayer, PairModel
from gnnzoo.train.forward.loop import Loop
from gnnzoo.train.forward.methods import LINK_METHODS, NODE_METHODS, make_method
from gnnzoo.train.forward.model import ForwardModel
from gnnzoo.train.forward.plans import AllTogether, LayerByLayer, Plan
from gnnzoo.train.forward.widths import Make, all_hidden, hidden_width, with_inputs_from_above
from gnnzoo.train.optim import make_optimizer
from gnnzoo.train.progress import Reporter, Silent

DIRECTIONS = ("bidirectional", "unidirectional")


class ForwardOnly:
    """Train the layers of an encoder each by itself, without a gradient between them.

    Every layer still takes gradient steps on its own loss. The methods:

    - ``sf``: labels enter as virtual nodes, whose states are class prototypes; layer by layer.
    - ``sf_t2i``, ``sf_t2l``: the same, all layers at once, with the state above in a layer's input
      or in its loss.
    - ``ff_la``, ``ff_vn``: forward-forward, true labels against wrong ones, appended to the
      features or as virtual nodes.
    - ``lp_ce``, ``lp_ff``: links, under a link head with `gnnzoo.nn.LayerwisePredictor`.
    - ``train_mean``, ``probe``: controls; prototypes are class means, or there is a linear
      classifier per layer, without virtual nodes.

    Paper: "Forward Learning of Graph Neural Networks" (Park et al., ICLR 2024),
    https://arxiv.org/abs/2403.11004. Differs from its code: the scores of ``ff_la`` and ``ff_vn``
    see labels of training nodes only, ``sf_t2l`` passes on normalised states when it predicts too.

    Example:
        >>> trainer = ForwardOnly(method="sf", epochs=200)
        >>> model, fit = trainer.train([GCNConv(data.num_features, 64), GCNConv(64, 64)], data)
        >>> model.eval()(x=data.x, edge_index=data.edge_index).argmax(1)

    Args:
        method: One of the above.
        epochs: Most epochs per layer; of all layers together for ``sf_t2i`` and ``sf_t2l``.
        optimizer, lr, weight_decay, select, clip_norm, eval_every: As of `Backprop`, for
            each layer. The gradient norm is that of a layer.
        stopping: Early stopping rule of each layer.
        temperature: Of the softmax over prototypes, positive.
        threshold: Goodness that separates true from wrong, positive.
        num_negatives: Wrong classes per node, at most all; None for all.
        edge_direction: ``bidirectional``, or ``unidirectional``: virtual nodes listen only.
        virtual_init: Features of virtual nodes: ``normal``, ``mean`` or ``zeros``.
    """

    def __init__(
        self,
        method: str = "sf",
        epochs: int = 1000,
        optimizer: str = "adam",
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        select: str = "metric",
        stopping: Any = None,
        clip_norm: float | None = None,
        eval_every: int = 2,
        temperature: float = 1.0,
        threshold: float = 2.0,
        num_negatives: int | None = None,
        edge_direction: str = "bidirectional",
        virtual_init: str = "normal",
    ) -> None:
        for name, value in (("epochs", epochs), ("eval_every", eval_every)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        for name, value in (("lr", lr), ("weight_decay", weight_decay), ("clip_norm", clip_norm)):
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be a number from 0, got {value!r}")
        if edge_direction not in DIRECTIONS:
            raise ValueError(
                f"edge_direction must be one of {', '.join(DIRECTIONS)}, got {edge_direction!r}"
            )
        self.method, self.epochs, self.eval_every = method, epochs, eval_every
        self.optimizer, self.lr, self.weight_decay = optimizer, lr, weight_decay
        self.select, self.stopping, self.clip_norm = select, stopping, clip_norm
        self.temperature, self.threshold = temperature, threshold
        self.num_negatives = num_negatives
        self.edge_direction, self.virtual_init = edge_direction, virtual_init
        make_method(
            method, 3, temperature, threshold, num_negatives
        )  # refuses what is out of range
        make_optimizer(optimizer, {"try": [nn.Parameter(torch.zeros(1))]}, lr, weight_decay, {})

    def plan(
        self,
        kind: type,
        settings: Mapping[str, Any],
        make: Make,
        known: Mapping[str, Any],
        task: Any,
    ) -> nn.Module:
        """Build the encoder in the widths that local losses need, and cut it into blocks.

        Args:
            kind: Class of the encoder.
            settings: Its settings.
            make: Builds it from what only the data know.
            known: That: ``in_channels`` and so on.
            task: Graph and labels, test labels hidden.
        """
        links, name = isinstance(task, LinkTask), self.method
        if links != (name in LINK_METHODS):
            raise ValueError(
                f"method={name} does not go with this head, which predicts "
                f"{'links' if links else 'classes of nodes'}; "
                f"there are: {', '.join(LINK_METHODS if links else NODE_METHODS)}"
            )
        if links:
            encoder = all_hidden(kind, settings, make, known)
            if (width := hidden_width(kind, settings)) != known["out_channels"]:
                raise ValueError(
                    f"every layer scores pairs by itself, so head.predictor.in_channels must be "
                    f"model.hidden_channels={width}, got {known['out_channels']}"
                )
            check_features(task.data.x)
            return PairModel(encoder.to(task.data.x.device), inputs(encoder, task.data))
        method = self._method(task.num_classes)
        columns = task.num_classes if method.streams == "columns" else 0
        known = {**known, "in_channels": known["in_channels"] + columns}
        if method.merge == "concat_above":
            encoder = with_inputs_from_above(kind, settings, make, known, task)
        else:
            encoder = all_hidden(kind, settings, make, known)
        return self.cut(encoder, task, hidden_width(kind, settings))

    def cut(self, encoder: nn.Module, task: Any, width: int = 0) -> ForwardModel:
        """Blocks of an encoder whose layers have the widths that the method needs."""
        check_features(task.data.x)
        return ForwardModel(
            encoder.to(task.data.x.device),
            self._method(task.num_classes),
            inputs(encoder, task.data),
            task,
            width,
            self.edge_direction == "bidirectional",
            self.virtual_init,
        )

    def _method(self, num_classes: int) -> Any:
        own = make_method(
            self.method, num_classes, self.temperature, self.threshold, self.num_negatives
        )
        return own if self.clip_norm is None else replace(own, clip_norm=self.clip_norm)

    def fit(
        self,
        encoder: nn.Module,
        head: nn.Module,
        checkpoint: Checkpoint | None = None,
        reporter: Reporter | None = None,
        label: str = "training",
    ) -> Fit:
        """Train in place; arguments and errors as of `Backprop.fit`.

        Args:
            encoder: What `plan` made.
        """
        if getattr(head, "batching", None) is not None:
            raise ValueError("forward-only training reads the whole graph; batching=full")
        model = nn.ModuleDict({"encoder": encoder, "head": head})
        loop = Loop(self, self.schedule(encoder, head), model, head)
        return loop.run(checkpoint, reporter or Silent(), label)

    def train(
        self,
        layers: Iterable[nn.Module],
        data: Data,
        num_classes: int | None = None,
        checkpoint: Checkpoint | None = None,
        reporter: Reporter | None = None,
    ) -> tuple[ForwardModel, Fit]:
        """Train a list of layers on the nodes of a graph.

        Args:
            layers: Called with ``(x, edge_index)``, each as wide as the next one reads. With
                ``ff_la`` the first reads the features and a column per class.
            data: With ``x``, ``edge_index``, ``y``, ``train_mask`` and ``val_mask``.
            num_classes: Number of classes; None for one more than the largest training label.
            checkpoint, reporter: As of `fit`.

        Returns:
            What classifies, with its best weights, in evaluation mode; and how it came about.
        """
        if self.method in LINK_METHODS or self._method(2).merge == "concat_above":
            raise ValueError(f"method={self.method} does not train a plain list of layers")
        task = node_task(data, num_classes)
        model = self.cut(LayerChain(layers), task)
        fit = self.fit(model, NodeHead(task), checkpoint, reporter)
        best = next(iter(fit.selection.best.values())).state
        prefix = "encoder."
        model.load_state_dict(
            {k.removeprefix(prefix): v for k, v in best.items() if k.startswith(prefix)}
        )
        return model.eval(), fit

    def schedule(self, encoder: nn.Module, head: nn.Module) -> Plan:
        """The phases of a training, for those who step by themselves."""
        make = self.make_optimizer
        if self.method in LINK_METHODS:
            return LinkLayerByLayer(encoder, head, self.method, make, self.clip_norm)
        fields = inputs(encoder, next(iter(head.batches("train"))).data)
        clip_norm = encoder.method.clip_norm
        if encoder.method.joint:
            return AllTogether(encoder, fields, make, clip_norm)
        nodes = next(iter(head.batches("val"))).nodes
        return LayerByLayer(encoder, fields, nodes, make, clip_norm)

    def make_optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return make_optimizer(self.optimizer, {"layer": parameters}, self.lr, self.weight_decay, {})

    def autocast(self, device: torch.device) -> torch.autocast:
        """Full precision."""
        return torch.autocast(device.type, torch.bfloat16, enabled=False)


def check_features(x: Any) -> None:
    """Refuse ids of nodes in place of features.

    Raises:
        ValueError: If there are no features.
    """
    if x is None or not x.is_floating_point():
        raise ValueError(
            "forward-only training needs node features that are given: a learned embedding would "
            "get no gradient but that of the first layer"
        )
