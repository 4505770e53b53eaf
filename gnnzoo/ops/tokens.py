"""Tokens of a node: the nodes that short random walks from it have met, as sparse rows.

Members are stored as distances from their node's own id, one row of numbers per node. So rows can
be gathered with the nodes they belong to: where whole graphs are put one behind another, distances
stay what they are.
"""

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gnnzoo.ops.bags import Bags
from gnnzoo.ops.csr import CSR, builder, index_dtype
from gnnzoo.ops.graph import Graph
from gnnzoo.ops.induced_edges import induced_edges
from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.walks import random_walks

WEIGHTS = ("mean", "sgc")


@dataclass(frozen=True)
class TokenSettings:
    r"""How the tokens of a node are drawn.

    For every length k = walk_length, .., 1 there are `num_repeats` tokens, each the union of the
    nodes on `num_walks` uniform random walks of k steps. Walks follow the direction of edges and
    stay where there is none; repeated edges count once.

    Paper: "Graph Mamba: Towards Learning on Graphs with State Space Models" (Behrouz and Hashemi,
    KDD 2024), section 3, https://arxiv.org/abs/2402.08678

    Args:
        walk_length: Longest walks, m in the paper; 0 for no tokens.
        num_walks: Walks per token, M in the paper.
        num_repeats: Tokens per length, s in the paper.
        nested: Whether the tokens of one repetition share their walks, so that each holds the
            shorter ones: fewer steps to draw, but not independent as in the paper.
        weights: What members count in the mean of a token: ``mean``, all the same; ``sgc``, their
            share after one step of propagation on the subgraph that the token induces.
        seed: Of the draws.

    Raises:
        ValueError: If a setting is out of range.
    """

    walk_length: int = 2
    num_walks: int = 4
    num_repeats: int = 2
    nested: bool = False
    weights: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"walk_length": 0, "num_walks": 1, "num_repeats": 1, "seed": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
                raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
        if self.weights not in WEIGHTS:
            known = ", ".join(map(repr, WEIGHTS))
            raise ValueError(f"weights must be one of {known}, got {self.weights!r}")

    @property
    def num_tokens(self) -> int:
        """Tokens per node."""
        return self.walk_length * self.num_repeats

    @property
    def most_members(self) -> int:
        """Members that a token has at most."""
        return self.walk_length * self.num_walks + 1


@builder
def neighborhood_tokens(graph: Graph, settings: TokenSettings) -> tuple[Tensor, Tensor]:
    r"""Draw the tokens of all nodes, long walks first.

    Always drawn on the CPU, so that every device has the same. With ``weights="sgc"`` the weight of
    member u of token T is :math:`\frac{1}{|T|} \sum_{i \in T} (\hat A_T)_{iu}`.

    Shapes:
        returns: tokens ``[num_nodes, num_tokens, most_members]``, int32, ids of members, ascending,
            less that of the node; and their weights, float32, of the same shape, 0 behind the last.
    """
    csr, _ = graph.csr.transposed()
    rowptr, col, n = csr.rowptr.cpu(), csr.col.cpu(), graph.num_nodes
    generator = torch.Generator().manual_seed(settings.seed)
    repeats, walks, width = settings.num_repeats, settings.num_walks, settings.most_members
    node = torch.arange(n).repeat_interleave(repeats)  # of each token of one length
    start = node.repeat_interleave(walks)
    members = torch.zeros(n, settings.num_tokens, width, dtype=torch.int32)
    present = torch.zeros(n, settings.num_tokens, width, dtype=torch.bool)
    path = None
    for place, length in enumerate(range(settings.walk_length, 0, -1)):
        if path is None or not settings.nested:
            path = random_walks(rowptr, col, start, length, generator)
        met = path[:, : length + 1].reshape(node.numel(), walks * (length + 1))
        found, here = _union(met, width)
        part = slice(place * repeats, (place + 1) * repeats)
        members[:, part] = ((found - node.unsqueeze(1)) * here).int().view(n, repeats, width)
        present[:, part] = here.view(n, repeats, width)
    weights = present / present.sum(-1, keepdim=True)
    if settings.weights == "sgc":
        weights[present] = _sgc_weights(graph, *token_bags(members, weights))
    return members.to(graph.device), weights.to(graph.device)


def _union(met: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Different values of each row, ascending, and where there are any: ``[num_rows, width]``."""
    met = met.sort(dim=1).values
    new = torch.ones_like(met, dtype=torch.bool)
    torch.ne(met[:, 1:], met[:, :-1], out=new[:, 1:])
    place = torch.where(new, new.cumsum(1) - 1, width)  # one more column takes the repetitions
    found = met.new_zeros(met.size(0), width + 1).scatter_(1, place, met)[:, :width]
    return found, torch.arange(width) < new.sum(1, keepdim=True)


def _sgc_weights(graph: Graph, bags: Bags, weights: Tensor) -> Tensor:
    csr = graph.csr.to("cpu")
    source, target = induced_edges(csr, bags)
    apart = source != target
    source, target = source[apart], target[apart]  # every member has one loop, its own or added
    degree = torch.ones(bags.num_items).index_add_(0, target, torch.ones(target.numel()))
    scale = degree.rsqrt()
    total = scale.clone().index_add_(0, source, scale[target])
    return total * scale * weights  # a mean weighs 1 / |T|


@builder
def token_bags(tokens: Tensor, weights: Tensor) -> tuple[Bags, Tensor]:
    """Tokens as bags of node ids, those of a node one after the other, and what members weigh."""
    present = weights > 0
    count = present.sum(-1).flatten()
    offsets = torch.cat([count.new_zeros(1), count.cumsum(0)])
    node = torch.arange(tokens.size(0), device=tokens.device).view(-1, 1, 1) + tokens
    return Bags(offsets, node[present]), weights[present]


_MATRICES = WeakTensorKeyDictionary()


def token_matrix(tokens: Tensor, weights: Tensor) -> SparseMatrix:
    """The matrix whose product with rows of nodes is the weighted mean of each token.

    Made once for a pair of tensors and kept as long as they are.

    Shapes:
        returns: ``[num_nodes * num_tokens, num_nodes]``.

    Raises:
        ValueError: If the two differ in shape.
    """
    if tokens.dim() != 3 or tokens.shape != weights.shape:
        raise ValueError(
            "tokens and token_weights must have the same shape [num_nodes, num_tokens, members], "
            f"got {list(tokens.shape)} and {list(weights.shape)}"
        )
    return _kept_matrix(tokens, weights)


@builder
def _kept_matrix(tokens: Tensor, weights: Tensor) -> SparseMatrix:
    known = _MATRICES.get(tokens)
    if known is None or known[0]() is not weights:
        bags, values = token_bags(tokens, weights)
        dtype = index_dtype(bags.num_bags, bags.num_items)
        csr = CSR(bags.offsets.to(dtype), bags.node.to(dtype), bags.num_bags, tokens.size(0))
        known = (weakref.ref(weights), SparseMatrix(csr, values))
        _MATRICES[tokens] = known
    return known[1]
