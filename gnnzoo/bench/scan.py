"""Selective scans forwards and backwards: beside the parallel scan and a GRU, and as they grow."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor, nn

from gnnzoo.bench.cases import Case, Settings
from gnnzoo.bench.harness import Contestant, Result
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock_scan import stock_selective_scan
from gnnzoo.nn import SelectiveSSM
from gnnzoo.ops import Sequences, selective_scan, ssd_scan

CHANNELS, STATES, HEAD_DIM = 256, 16, 16
NUM_TOKENS = 22_662  # nodes of Roman-empire
LENGTHS = (1_000, 10_000, 100_000)
GROWTH = (25_000, 50_000, 100_000)
PACKED = (200, 150)  # sequences and their mean length
TIME_GOAL, MEMORY_GOAL = 1 / 8, 1 / 4
FLAT_GOAL = 1.2
#: No slower, with room for what two timings of the same work differ by.
EQUAL_GOAL = 1.05
Step = Callable[[], object]


def scan(settings: Settings) -> list[Case]:
    """Scans of 256 channels and 16 states."""
    tokens, lengths, growth, packed = NUM_TOKENS, LENGTHS, GROWTH, PACKED
    if settings.quick:
        tokens, lengths, growth, packed = 100, (20, 40, 80), (40, 80, 160), (8, 20)
    return [
        (f"{tokens} tokens", partial(_rivals, tokens, settings)),
        (f"{lengths[-1]} tokens in all", partial(_lengths, lengths, settings)),
        (f"{packed[0]} sequences", partial(_packed, *packed, settings)),
        (f"up to {growth[-1]} tokens", partial(_growth, growth, settings)),
    ]


def ssd_step(
    num_tokens: int, device: torch.device, head_dim: int = HEAD_DIM, seg: Sequences | None = None
) -> Step:
    """`ssd_scan` and its gradients."""
    heads = CHANNELS // head_dim
    x = torch.randn(num_tokens, heads, head_dim)
    dt, a = torch.rand(num_tokens, heads) / 10, -1 - 15 * torch.rand(heads)
    b, c, d = _states(num_tokens), _states(num_tokens), torch.randn(heads)
    return _both_ways(partial(ssd_scan, seg=seg), (x, dt, a, b, c, d), device)


def s6_step(scan: Callable[..., Tensor], num_tokens: int, device: torch.device) -> Step:
    """A scan with a decay for each channel and state, and its gradients."""
    u, dt = torch.randn(num_tokens, CHANNELS), torch.rand(num_tokens, CHANNELS) / 10
    a = -torch.arange(1.0, STATES + 1).repeat(CHANNELS, 1)
    b, c, d = _states(num_tokens), _states(num_tokens), torch.randn(CHANNELS)
    return _both_ways(scan, (u, dt, a, b, c, d), device)


def layer_step(layer: nn.Module, num_tokens: int, device: torch.device) -> Step:
    """A layer and the gradients to its input and parameters."""
    layer = layer.to(device)

    def run(x: Tensor, *_: Tensor) -> Tensor:
        y = layer(x)
        return y[0] if isinstance(y, tuple) else y

    x = torch.randn(num_tokens, CHANNELS)
    return _both_ways(run, (x, *layer.parameters()), device)


def _states(num_tokens: int) -> Tensor:
    return torch.randn(num_tokens, STATES)


def _both_ways(
    function: Callable[..., Tensor], operands: Sequence[Tensor], device: torch.device
) -> Step:
    leaves = [t if isinstance(t, nn.Parameter) else t.to(device).requires_grad_() for t in operands]
    weight = torch.randn_like(leaves[0])

    def step() -> None:
        torch.autograd.grad(function(*leaves), leaves, weight)

    return step


def _rivals(num_tokens: int, settings: Settings) -> list[Row]:
    case, device = f"{num_tokens} tokens", settings.device
    gru, layer = nn.GRU(CHANNELS, CHANNELS), SelectiveSSM(CHANNELS, STATES, head_dim=HEAD_DIM)
    ours, wide = ssd_step(num_tokens, device), ssd_step(num_tokens, device, head_dim=64)
    contestants = [
        Contestant("parallel scan", s6_step(stock_selective_scan, num_tokens, device)),
        Contestant("GRU", layer_step(gru, num_tokens, device)),
        Contestant("S6, gnnzoo", s6_step(selective_scan, num_tokens, device)),
        Contestant("SSD, gnnzoo", ours, TIME_GOAL, MEMORY_GOAL),
        Contestant("SSD, heads of 64", wide),
        Contestant("whole SSD layer, gnnzoo", layer_step(layer, num_tokens, device)),
    ]
    return rows(case, "forward and backward", settings.race(contestants))


def _lengths(lengths: Sequence[int], settings: Settings) -> list[Row]:
    contestants, total = [], lengths[-1]
    for index, length in enumerate(lengths):
        step = _repeated(ssd_step(length, settings.device), total // length)
        goal = FLAT_GOAL if index else None
        contestants.append(Contestant(f"SSD, {length} tokens at a time", step, goal))
    return rows(f"{total} tokens in all", "time per token", settings.race(contestants, budgets=3))


def _repeated(step: Step, times: int) -> Step:
    def run() -> None:
        for _ in range(times):
            step()

    return run


def unequal_counts(num_sequences: int, mean: int) -> Tensor:
    """``[num_sequences]``: lengths of which few are many times the mean, which is exact."""
    share = torch.rand(num_sequences, generator=torch.Generator().manual_seed(0)).pow(-0.7)
    ends = (share.cumsum(0) / share.sum() * num_sequences * (mean - 1)).round().long()
    ends[-1] = num_sequences * (mean - 1)
    return ends.diff(prepend=ends.new_zeros(1)) + 1


def _packed(num_sequences: int, mean: int, settings: Settings) -> list[Row]:
    equal = torch.full((num_sequences,), mean)
    contestants = []
    for name, counts in (("equal", equal), ("unequal", unequal_counts(num_sequences, mean))):
        ptr = torch.tensor([0, *accumulate(counts.tolist())], device=settings.device)
        seg = Sequences.from_ptr(ptr)
        step = ssd_step(int(ptr[-1]), settings.device, seg=seg)
        goal = EQUAL_GOAL if name == "unequal" else None
        title = f"SSD, {name} lengths ({int(counts.min())} to {int(counts.max())})"
        contestants.append(Contestant(title, step, goal))
    results = settings.race(contestants, budgets=2)
    return rows(f"{num_sequences} sequences", "packed", results)


def _growth(sizes: Sequence[int], settings: Settings) -> list[Row]:
    contestants = []
    for size in sizes:
        goal = 1.1 * size / sizes[0] if contestants else None
        step = ssd_step(size, settings.device)
        contestants.append(Contestant(f"SSD, {size} tokens", step, memory_goal=goal))
    case, results = f"up to {sizes[-1]} tokens", settings.race(contestants, budgets=0.1)
    found = rows(case, "memory", results)
    return [*found, Row(case, "memory", note=slope(sizes, results))]


def slope(sizes: Sequence[int], results: Sequence[Result]) -> str:
    """A straight line through the peaks, in words."""
    if any(result.peak_mib is None for result in results):
        return "memory per token: not measured"
    x = torch.tensor(sizes, dtype=torch.float64)
    y = torch.tensor([result.peak_mib for result in results], dtype=torch.float64)
    design = torch.stack([x, torch.ones_like(x)], dim=1)
    line = torch.linalg.lstsq(design, y.unsqueeze(1)).solution.squeeze(1)
    off = (design @ line - y).abs().max() / y.max().clamp(min=1e-9)
    return f"{1024 * line[0]:.2f} KiB per token, at most {off:.1%} off the line"
