"""Every classic beside the same model written with PyG alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric import nn as pyg

from gnnzoo.bench import stock_classics as stock
from gnnzoo.bench.cases import Case, Recipe, Settings, Subject, synthetic
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock import to_csr
from gnnzoo.data import NodeTask, RowNormalizeFeatures
from gnnzoo.models import APPNP, GAT, GCN, GCNII, GIN, LINKX, SAGE, SGC, GatedGCN
from gnnzoo.ops import SparseFeatures
from gnnzoo.registry import UnknownName, load_dataset

GRAPHS = {"Cora": "cora", "CiteSeer": "citeseer", "Actor": "actor", "Physics": "physics"}
RECIPE = Recipe(0, 0.5, 5e-4)
HIDDEN = RECIPE.hidden_channels
NUM_GCNII_LAYERS = 8
SPARSE_GOAL, DENSE_GOAL = 1 / 3, 1.0
GATHER_LIMIT = 2**32  # bytes; PyG's way for more is an adjacency matrix instead of edges


@dataclass(frozen=True)
class Sizes:
    """What a model is built for."""

    num_nodes: int
    in_channels: int
    out_channels: int

    @property
    def widths(self) -> tuple[int, int, int]:
        return self.in_channels, HIDDEN, self.out_channels


@dataclass(frozen=True)
class Classic:
    """One model twice.

    Attributes:
        stock, ours: Make the model from sizes and, where there is one, the input dropout.
        input_dropout: Whether it has dropout on the input.
        gathers_input: Whether PyG's propagates the features as they come in.
    """

    stock: Callable[..., nn.Module]
    ours: Callable[..., nn.Module]
    input_dropout: bool = True
    gathers_input: bool = False


def _layers(make: Callable[[int, int], nn.Module], **extra: object) -> Callable[..., nn.Module]:
    """Two stock convolutions, the second of class width."""

    def build(sizes: Sizes, input_dropout: float) -> nn.Module:
        width, hidden, out = sizes.widths
        convs = [make(width, hidden), make(hidden, out)]
        return stock.StockConvNet(convs, input_dropout=input_dropout, **extra)

    return build


def _stock_gat(sizes: Sizes, input_dropout: float) -> nn.Module:
    width, hidden, out = sizes.widths
    convs = [
        pyg.GATConv(width, hidden // 8, heads=8, dropout=0.6),
        pyg.GATConv(hidden, out, concat=False, dropout=0.6),
    ]
    return stock.StockConvNet(convs, F.elu, input_dropout=input_dropout)


def _stock_gin(sizes: Sizes, input_dropout: float) -> nn.Module:
    width, hidden, out = sizes.widths
    convs = [
        pyg.GINConv(nn.Sequential(nn.Linear(i, hidden), nn.ReLU(), nn.Linear(hidden, hidden)))
        for i in (width, hidden)
    ]
    return stock.StockConvNet(convs, input_dropout=input_dropout, classifier=nn.Linear(hidden, out))


def _widths(kind: type, **extra: object) -> Callable[..., nn.Module]:
    """A model, stock or ours, that takes the three widths."""

    def build(sizes: Sizes, input_dropout: float) -> nn.Module:
        return kind(*sizes.widths, input_dropout=input_dropout, **extra)

    return build


CLASSICS = {
    "gcn": Classic(_layers(pyg.GCNConv), _widths(GCN)),
    "sage": Classic(_layers(pyg.SAGEConv), _widths(SAGE), gathers_input=True),
    "gat": Classic(_stock_gat, _widths(GAT, attention_dropout=0.6)),
    "gin": Classic(_stock_gin, _widths(GIN), gathers_input=True),
    "appnp": Classic(_widths(stock.StockAPPNP), _widths(APPNP)),
    "gcnii": Classic(
        _widths(stock.StockGCNII, num_layers=NUM_GCNII_LAYERS),
        _widths(GCNII, num_layers=NUM_GCNII_LAYERS, dropout=0.5),
    ),
    "sgc": Classic(
        lambda sizes: stock.stock_sgc(sizes.in_channels, sizes.out_channels),
        lambda sizes: SGC(sizes.in_channels, sizes.out_channels),
        input_dropout=False,
        gathers_input=True,
    ),
    "gatedgcn": Classic(
        _widths(stock.StockGatedGCN),
        _widths(GatedGCN, num_layers=2, norm=None, edge_features="ones"),
    ),
    "linkx": Classic(
        lambda sizes: pyg.LINKX(sizes.num_nodes, *sizes.widths, num_layers=2, dropout=0.5),
        lambda sizes: LINKX(*sizes.widths, num_nodes=sizes.num_nodes),
        input_dropout=False,
    ),
}


def classics(settings: Settings) -> list[Case]:
    """Training step of every classic, with and without dropout on the input."""
    return [(title, partial(_graph, title, name, settings)) for title, name in GRAPHS.items()]


def _graph(title: str, name: str, settings: Settings) -> list[Row]:
    try:
        subject = load(name, settings)
    except UnknownName as error:
        return [Row(title, note=f"not run: {str(error).split(';')[0]}")]
    sparse = isinstance(subject.task.data.x, SparseFeatures)
    sizes = Sizes(subject.x.size(0), *subject.channels)
    found = []
    for model, classic in CLASSICS.items():
        fields, reference = stock_fields(subject, classic.gathers_input)
        goal = SPARSE_GOAL if sparse else DENSE_GOAL
        shares = {"": 0.5, ", no input dropout": 0.0} if classic.input_dropout else {"": None}
        for suffix, share in shares.items():
            extra = {} if share is None else {"input_dropout": share}
            theirs, ours = classic.stock(sizes, **extra), classic.ours(sizes, **extra)
            steps = [
                Contestant(f"{model}, {reference}", subject.train(theirs, fields, RECIPE)),
                Contestant(f"{model}, gnnzoo", subject.train(ours, None, RECIPE), goal),
            ]
            results = settings.race(steps, budgets=0.25)
            found += rows(title, f"{model}, training step{suffix}", results)
    return found


def load(name: str, settings: Settings) -> Subject:
    """A data set by its name, row-normalised, trained on its first split or all nodes.

    Raises:
        UnknownName: If there is no such data set.
        MissingDataError: If its raw files are not to be had.
    """
    if settings.quick:
        task = synthetic(200, 400, 50, 3, density=0.05)
    else:
        data = load_dataset(name)
        if "train_mask" not in data:
            data.train_mask = data.y >= 0
        elif data.train_mask.dim() == 2:  # one column for each split
            data.train_mask = data.train_mask[:, 0]
        task = NodeTask(data, data.y[:0], int(data.y.max()) + 1, 0, "", "accuracy")
    return Subject(replace(task, data=RowNormalizeFeatures()(task.data)), settings.device)


def stock_fields(subject: Subject, gathers_input: bool) -> tuple[dict[str, Tensor], str]:
    """Arguments of a stock model, and who it is.

    Edges, as in most scripts; where a message for each edge, as wide as the features, would not
    fit into memory, the adjacency matrix in torch's CSR layout, which PyG's layers take too.
    """
    size = subject.edge_index.size(1) * subject.x.size(1) * subject.x.element_size()
    if not gathers_input or size <= GATHER_LIMIT:
        return subject.dense, "PyG"
    shape = (subject.x.size(0),) * 2
    ones = subject.x.new_ones(subject.edge_index.size(1))
    adjacency = to_csr(torch.sparse_coo_tensor(subject.edge_index.flip(0), ones, shape))
    return {"x": subject.x, "edge_index": adjacency}, "PyG, CSR adjacency"
