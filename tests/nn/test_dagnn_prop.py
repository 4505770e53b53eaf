import weakref
from importlib import import_module

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric import EdgeIndex

from gnnzoo.nn import DAGNNProp
from gnnzoo.ops import Graph, backends
from tests.ops.test_spmm import BACKENDS
from tests.reference import dense
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64
SOURCE = import_module("gnnzoo.ops.gated_hops")  # the function of that name hides the module
MODES = ["store", "recompute", "store_half"]


def layer(channels=3, num_hops=4, dtype=F64, **settings):
    torch.manual_seed(0)
    return DAGNNProp(channels, num_hops, **settings).to(dtype)


def expected(prop, z, edge_index, weight=None):
    a = dense.gcn_norm(edge_index, z.size(0), weight)
    bias = 0.0 if prop.gate.bias is None else prop.gate.bias
    return dense.gated_hops(a.to(z.dtype), z, prop.gate.weight[0], bias, prop.num_hops)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_dense_sum(kind, weighted, backend):
    edge_index, n = kinds()[kind]
    weight = torch.rand(edge_index.size(1), dtype=F64) if weighted else None
    prop, z = layer(), torch.randn(n, 3, dtype=F64)
    want = expected(prop, z, edge_index, weight)
    with backends.use(backend):
        torch.testing.assert_close(prop(z, edge_index, weight), want, rtol=1e-10, atol=1e-10)
        weight = None if weight is None else weight.float()
        out = prop.float()(z.float(), edge_index, weight)
    torch.testing.assert_close(out, want.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("hops_at_once", [1, 2, 100])
@pytest.mark.parametrize("num_hops", [0, 1, 4])
def test_gradcheck(memory, hops_at_once, num_hops, monkeypatch):
    edge_index = random_edges(6, 12)
    z = torch.randn(6, 3, dtype=F64, requires_grad=True)
    monkeypatch.setattr(SOURCE, "GROUP_ELEMENTS", hops_at_once * z.numel())
    weight = torch.rand(edge_index.size(1), dtype=F64, requires_grad=True)
    prop = layer(num_hops=num_hops, memory=memory)
    parameters = tuple(prop.parameters())

    def run(z, weight, *_):
        return prop(z, edge_index, weight, return_gates=True)

    assert torch.autograd.gradcheck(run, (z, weight, *parameters))
    assert torch.autograd.gradcheck(lambda z, *_: prop(z, edge_index), (z, *parameters))


@pytest.mark.parametrize("memory", MODES)
def test_memory_modes_agree(memory):
    edge_index, z = random_edges(9, 24), torch.randn(9, 3, dtype=F64, requires_grad=True)
    weight = torch.rand(edge_index.size(1), dtype=F64, requires_grad=True)
    found = {}
    for mode in ("store", memory):
        prop = layer(memory=mode)
        out = prop(z, edge_index, weight)
        inputs = (z, weight, *prop.parameters())
        found[mode] = (out, *torch.autograd.grad(out.square().sum(), inputs))
    tolerance = 1e-2 if memory == "store_half" else 1e-6
    torch.testing.assert_close(found["store"], found[memory], rtol=tolerance, atol=tolerance)


def test_without_hops_the_input_is_scaled_by_its_gate():
    prop, z = layer(num_hops=0), torch.randn(9, 3, dtype=F64)
    out = prop(z, random_edges(9, 24))
    torch.testing.assert_close(out, torch.sigmoid(prop.gate(z)) * z)
    assert torch.equal(out.argmax(1), z.argmax(1))


def test_gates_of_one_half_give_half_the_sum():
    prop, z, edge_index = layer(), torch.randn(9, 3, dtype=F64), random_edges(9, 24)
    torch.nn.init.zeros_(prop.gate.weight)
    torch.nn.init.zeros_(prop.gate.bias)
    a = dense.gcn_norm(edge_index, 9)
    want = sum(torch.linalg.matrix_power(a, k) @ z for k in range(5)) / 2
    torch.testing.assert_close(prop(z, edge_index), want)


def test_gates_are_returned_per_node_and_hop():
    prop, z = layer(), torch.randn(9, 3, dtype=F64)
    out, gates = prop(z, random_edges(9, 24), return_gates=True)
    assert gates.shape == (9, 5)
    assert ((gates > 0) & (gates < 1)).all()
    torch.testing.assert_close(gates[:, 0], torch.sigmoid(prop.gate(z)).squeeze(1))
    assert torch.equal(out, prop(z, random_edges(9, 24)))


def test_relabelling_nodes_permutes_the_output_and_edge_order_does_not_matter():
    prop, z, edge_index = layer(), torch.randn(9, 3, dtype=F64), random_edges(9, 24)
    order = torch.randperm(9)
    new_id = order.argsort()
    torch.testing.assert_close(prop(z[order], new_id[edge_index]), prop(z, edge_index)[order])
    shuffled = edge_index[:, torch.randperm(edge_index.size(1))]
    assert torch.equal(prop(z, shuffled), prop(z, edge_index))


def test_an_isolated_node_adds_itself_once_per_hop():
    prop, z = layer(), torch.randn(9, 3, dtype=F64)
    out = prop(z, random_edges(9, 24))
    torch.testing.assert_close(out[-1], 5 * torch.sigmoid(prop.gate(z[-1])) * z[-1])


def test_a_constant_on_a_regular_graph_stays():
    ring = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 0], [1, 2, 3, 0, 0, 1, 2, 3]])
    prop, z = layer(), torch.randn(1, 3, dtype=F64).expand(4, 3)
    torch.testing.assert_close(prop(z, ring), 5 * torch.sigmoid(prop.gate(z)) * z)


def test_many_hops_approach_the_stationary_mix():
    edge_index = torch.combinations(torch.arange(5)).t()[:, :-2]
    edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    matrix = Graph.from_edge_index(edge_index, 5).gcn_norm(dtype=F64).to_dense()
    degree = torch.bincount(edge_index[1], minlength=5).double() + 1
    limit = torch.outer(degree.sqrt(), degree.sqrt()) / degree.sum()
    torch.testing.assert_close(torch.linalg.matrix_power(matrix, 200), limit)
    z = torch.randn(5, 3, dtype=F64)
    more, less = (layer(num_hops=k, gate_bias=False) for k in (201, 200))
    last = limit @ z  # one more hop adds the gated limit
    want = torch.sigmoid(more.gate(last)) * last
    torch.testing.assert_close(more(z, edge_index) - less(z, edge_index), want)


def test_a_union_of_graphs_is_encoded_part_by_part():
    prop, one, two = layer(), random_edges(9, 24), random_edges(7, 12, seed=1)
    z = torch.randn(16, 3, dtype=F64)
    whole = prop(z, torch.cat([one, two + 9], dim=1))
    torch.testing.assert_close(whole, torch.cat([prop(z[:9], one), prop(z[9:], two)]))


@pytest.mark.parametrize("memory", MODES)
@pytest.mark.parametrize("num_hops", [0, 1, 3])
@pytest.mark.parametrize(("n", "channels"), [(0, 3), (1, 1), (1, 3), (4, 1)])
def test_tiny_graphs_work(n, channels, num_hops, memory):
    prop = layer(channels, num_hops, torch.float32, memory=memory)
    x = torch.randn(n, channels, requires_grad=True)
    out, gates = prop(x, torch.empty(2, 0, dtype=torch.long), return_gates=True)
    out.sum().backward()
    assert out.shape == x.shape == x.grad.shape
    assert gates.shape == (n, num_hops + 1)


@pytest.mark.parametrize("settings", [{"normalize": False}, {"add_self_loops": False}])
def test_other_propagation_matrices(settings):
    edge_index, z = random_edges(9, 24), torch.randn(9, 3, dtype=F64)
    prop = layer(gate_bias=False, **settings)
    graph = Graph.from_edge_index(edge_index, 9)
    matrix = graph.matrix() if "normalize" in settings else graph.gcn_norm(add_self_loops=False)
    want = dense.gated_hops(matrix.to_dense().double(), z, prop.gate.weight[0], 0.0, 4)
    torch.testing.assert_close(prop(z, edge_index), want, rtol=1e-5, atol=1e-5)


class LargestTensor(TorchDispatchMode):
    """Notes the most elements of any tensor that an operation returns, inside our own ones too."""

    bodies = {
        op.registered._opoverload: op.registered._init_fn
        for op in (SOURCE._gated_hops, SOURCE._gated_hops_backward)
    }
    largest = products = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.products += func is torch.ops.aten.addmm_.default
        if func in self.bodies:
            with self:
                result = self.bodies[func](*args, **kwargs)
        else:
            result = func(*args, **kwargs)
        for item in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(item, torch.Tensor) and item.layout == torch.strided:
                self.largest = max(self.largest, item.numel())
        return result


@pytest.mark.parametrize("training", [False, True])
def test_no_stack_of_hops_without_store(training, monkeypatch):
    monkeypatch.setattr(SOURCE, "GROUP_ELEMENTS", 1)
    edge_index, n, channels = random_edges(50, 60), 50, 32
    prop = layer(channels, 30, torch.float32, memory="recompute")
    graph = Graph.from_edge_index(edge_index, n)
    x = torch.randn(n, channels, requires_grad=training)
    prop(x, graph)
    with torch.set_grad_enabled(training), LargestTensor() as seen:
        out = prop(x, graph)
        if training:
            out.sum().backward()
    assert seen.products == (90 if training else 30)
    assert seen.largest <= n * max(channels, 31)  # the gates are [31, num_nodes]


def test_what_is_saved_does_not_grow_with_the_hops_when_recomputing():
    saved = {}
    graph = Graph.from_edge_index(random_edges(50, 60), 50)
    for memory in ("store", "recompute"):
        for num_hops in (2, 20):
            sizes = []
            prop = layer(8, num_hops, torch.float32, memory=memory)
            with torch.autograd.graph.saved_tensors_hooks(
                lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
            ):
                prop(torch.randn(50, 8, requires_grad=True), graph)
            saved[memory, num_hops] = sum(sizes)
    assert saved["recompute", 20] - saved["recompute", 2] == 18 * 50  # gates
    assert saved["store", 20] - saved["store", 2] == 18 * 50 * 9  # gates and hops, once each


@pytest.mark.parametrize("memory", MODES)
def test_compiles_without_a_break(memory):
    graph = Graph.from_edge_index(random_edges(9, 24), 9)
    graph.gcn_norm()
    prop = layer(dtype=torch.float32, memory=memory)
    compiled = torch.compile(prop, backend="aot_eager", fullgraph=True)
    x = torch.randn(9, 3, requires_grad=True)
    inputs = (x, *prop.parameters())
    ours = torch.autograd.grad(compiled(x, graph).square().sum(), inputs)
    theirs = torch.autograd.grad(prop(x, graph).square().sum(), inputs)
    torch.testing.assert_close(ours, theirs)


def test_autocast_propagates_in_float32():
    prop, x = layer(dtype=torch.float32), torch.randn(9, 3)
    edge_index = random_edges(9, 24)
    with torch.autocast("cpu", torch.bfloat16):
        out = prop(x.bfloat16(), edge_index)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, prop(x.bfloat16().float(), edge_index))


def test_edge_index_class_and_graph_give_the_same():
    prop, z, edges = layer(), torch.randn(9, 3, dtype=F64), random_edges(9, 24)
    want = prop(z, edges)
    assert torch.equal(prop(z, Graph.from_edge_index(edges, 9)), want)
    assert torch.equal(prop(z, EdgeIndex(edges, sparse_size=(9, 9))), want)


def test_second_derivative_is_refused():
    prop, z = layer(), torch.randn(9, 3, dtype=F64, requires_grad=True)
    loss = prop(z, random_edges(9, 24)).square().sum()
    (grad,) = torch.autograd.grad(loss, z, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0, "num_hops": 2}, "channels must be an integer of at least 1, got 0"),
        ({"channels": 3, "num_hops": -1}, "num_hops must be an integer of at least 0, got -1"),
        ({"channels": 3, "num_hops": 1.5}, "got 1.5"),
        ({"channels": 3, "num_hops": 2, "memory": "disk"}, "'store'.*got 'disk'"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DAGNNProp(**arguments)


@pytest.mark.parametrize("x", [torch.zeros(9, 4), torch.zeros(9), torch.zeros(9, 3).long()])
def test_bad_inputs_are_named(x):
    with pytest.raises(ValueError, match="x must"):
        layer(dtype=torch.float32)(x, random_edges(9, 24))


def test_repr_and_state_dict_and_reset():
    prop = layer(dtype=torch.float32)
    assert repr(prop) == "DAGNNProp(3, num_hops=4, memory='store')"
    other = DAGNNProp(3, 4)
    other.load_state_dict(prop.state_dict())
    x = torch.randn(9, 3)
    assert torch.equal(prop(x, random_edges(9, 24)), other(x, random_edges(9, 24)))
    other.reset_parameters()
    assert not torch.equal(prop.gate.weight, other.gate.weight)


class LiveBytes(TorchDispatchMode):
    """Notes the most bytes that results of operations hold at one time."""

    def __init__(self):
        super().__init__()
        self.live, self.bytes, self.peak = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(item, torch.Tensor) and item.layout == torch.strided:
                self.note(item.untyped_storage())
        return result

    def note(self, storage):
        if (key := storage._cdata) not in self.live:
            size = storage.nbytes()
            self.live[key] = size
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self.forget, key)

    def forget(self, key):
        self.bytes -= self.live.pop(key, 0)


@pytest.mark.parametrize("training", [False, True])
def test_peak_memory_without_store_does_not_grow_with_the_hops(training, monkeypatch):
    monkeypatch.setattr(SOURCE, "GROUP_ELEMENTS", 1)
    num_nodes, channels = 200, 64
    graph = Graph.from_edge_index(random_edges(num_nodes, 600, undirected=True), num_nodes)
    graph.gcn_norm()
    peaks = []
    for num_hops in (4, 30):
        prop = layer(channels, num_hops, torch.float32, memory="recompute")
        z = torch.randn(num_nodes, channels, requires_grad=training)
        with torch.set_grad_enabled(training), LiveBytes() as seen:
            out = prop(z, graph)
            if training:
                out.sum().backward()
        peaks.append(seen.peak)
    per_node = (
        26 * num_nodes * 4 * 6
    )  # scalars per node and hop may grow: gates and their gradients
    assert peaks[1] <= peaks[0] + per_node
