"""Logits of neural common neighbour for very many links, without gradient."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gnnzoo.nn.pair_predictors import last_layer, pair_product
from gnnzoo.ops import Bags, Graph, neighbor_overlap, pool_bags

if TYPE_CHECKING:
    from gnnzoo.nn.ncn_predictor import NCNPredictor

BLOCK_VALUES = 1 << 22  # of what overlaps add to links, in one layer; 16 MiB


@torch.no_grad()
def plain_logits(
    model: "NCNPredictor", x: Tensor, pooled: Tensor, graph: Graph, links: Tensor, step: int
) -> Tensor:
    """What `NCNPredictor` makes of links where nothing is dropped out.

    Most links that are asked about have no common neighbour, and one row serves all those. Common
    neighbours are looked up for many more links at a time than go through the networks.

    Args:
        model: Whose networks are used, as they are.
        x: Embeddings.
        pooled: What is pooled, x'.
        graph: Whose edges count.
        links: ``[2, num_links]``, int64.
        step: Most links that go through the networks at a time.

    Shapes:
        x, pooled: ``[num_nodes, channels]``.
        returns: ``[num_links]``.
    """
    size = max(BLOCK_VALUES // x.size(1), step)
    blocks = [_of_block(model, x, pooled, graph, block, step) for block in links.split(size, dim=1)]
    return torch.cat(blocks)


def _of_block(
    model: "NCNPredictor", x: Tensor, pooled: Tensor, graph: Graph, links: Tensor, step: int
) -> Tensor:
    common = neighbor_overlap(graph, links).common
    rows = common.counts().nonzero().squeeze(1)
    shared = Bags(torch.cat([common.offsets[rows], common.offsets[-1:]]), common.node)
    sums = torch.cat([pooled.new_zeros(1, x.size(1)), pool_bags(pooled, shared)])
    branch = torch.cat([model.beta * model.overlap_mlp(part) for part in sums.split(step)])
    nothing, some = branch[:1], branch[1:]
    starts = range(0, max(links.size(1), 1), step)
    ends = torch.tensor([*starts[1:], links.size(1)], device=rows.device)
    logits, low = [], 0
    for start, high in zip(starts, torch.searchsorted(rows, ends).tolist(), strict=True):
        h = model.product_mlp(pair_product(x, links[:, start : start + step]))
        here = rows[low:high] - start
        of_some = h.index_select(0, here) + some[low:high]
        h = (h + nothing).index_copy_(0, here, of_some)
        logits.append(last_layer(model.score_mlp[-1], model.score_mlp[:-1](h)))
        low = high
    return torch.cat(logits)
