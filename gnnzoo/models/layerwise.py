"""A whole graph through an encoder in bounded memory: layer by layer, some rows at a time."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.inputs import inputs
from gnnzoo.ops import Block, SparseFeatures, take_rows
from gnnzoo.ops.block import block_stop, block_stops

COPIES = 6  # tensors of a block's rows and width that a layer holds at a time, at most
VALUE_BYTES = 4


def encode_layerwise(encoder: nn.Module, data: Any, memory_mib: float) -> Tensor:
    """What ``encoder(**inputs(encoder, data))`` gives, without its memory.

    A layer that says ``reach = 1`` (or 0) runs on blocks of rows with their in-neighbours (or
    alone). Kept are the states of all nodes that are still read: two at a time, or those that the
    readout adds up. Layers that say nothing, such as many hops at once or a virtual node, run on
    the whole graph, and so does an encoder that is no `Chain`.

    Args:
        encoder: Any encoder, in evaluation mode, without gradients.
        data: As `inputs` takes it.
        memory_mib: Working memory of a block in MiB, estimated from rows, edges and width; not
            counted are the states. A block holds one row at least, with all its neighbours.

    Shapes:
        returns: ``[num_nodes, out_channels]``.
    """
    fields, chain = inputs(encoder, data), getattr(encoder, "_orig_mod", encoder)
    if not isinstance(chain, Chain):
        return encoder(**fields)
    context = chain.context(**fields)
    h, states = chain.start(context), []
    for layer in chain.layers:
        if getattr(layer, "reach", None) in (0, 1):
            h = _in_blocks(layer, h, context, chain.layers_read_x, memory_mib)
        else:
            h = layer(h, context)
        # What is not kept is None: a readout that reads it all the same fails at once.
        states.append(h)
        if not chain.reads_every_state and len(states) > 1:
            states[-2] = None
    return chain.readout(states, context)


def _in_blocks(
    layer: nn.Module,
    h: Tensor | SparseFeatures,
    context: Context,
    reads_x: bool,
    memory_mib: float,
) -> Tensor:
    """One layer on all rows. The first block is one row and shows how wide the result is."""
    num_nodes = h.size(0)
    if layer.reach == 1:
        stops = block_stops(context.graph)
    else:
        stops = torch.arange(num_nodes + 1, device=h.device)
    out, start, most = None, 0, 1
    while start < num_nodes:
        stop = block_stop(stops, start, most)
        part = _block(layer, h, context, reads_x, start, stop)
        if out is None:
            out = part.new_empty(num_nodes, part.size(1))
            width = max(out.size(1), _row_values(h))
            most = int(memory_mib * 2**20 / (VALUE_BYTES * COPIES * width))
            if int(stops[-1]) <= most:
                return layer(h, context)
        out[start:stop] = part
        start = stop
    return layer(h, context) if out is None else out


def _block(
    layer: nn.Module,
    h: Tensor | SparseFeatures,
    context: Context,
    reads_x: bool,
    start: int,
    stop: int,
) -> Tensor:
    """The layer's output rows from `start` to `stop`."""
    if layer.reach == 0:
        nodes, graph, targets = torch.arange(start, stop, device=h.device), None, slice(None)
    else:
        graph = Block(context.graph, start, stop)
        nodes, targets = graph.nodes, graph.targets
    x = take_rows(context.x, nodes) if reads_x else None
    batch = None if context.batch is None else context.batch[nodes]
    return layer(take_rows(h, nodes), replace(context, x=x, graph=graph, batch=batch))[targets]


def _row_values(h: Tensor | SparseFeatures) -> int:
    """Stored values of a row: its width, or the mean number of nonzeros and their indices."""
    if isinstance(h, SparseFeatures):
        return 2 * h.matrix.csr.num_entries // max(h.size(0), 1)
    return h.size(1)
