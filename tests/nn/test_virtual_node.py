import torch

from gnnzoo.nn import VirtualNode


def test_equals_the_equation_graph_by_graph():
    torch.manual_seed(0)
    node, x = VirtualNode(4).double(), torch.randn(7, 4, dtype=torch.float64)
    batch = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    out = node(x, batch)
    for part in (x[:3], x[3:]):
        want = part + node.norm(node.linear(part.mean(0))).relu()
        torch.testing.assert_close(node(part), want)
    torch.testing.assert_close(out, torch.cat([node(x[:3]), node(x[3:])]))


def test_relabelling_nodes_permutes_the_output_and_gradients_are_exact():
    node, x = VirtualNode(4).double(), torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    order = torch.randperm(7)
    torch.testing.assert_close(node(x[order]), node(x)[order])
    assert torch.autograd.gradcheck(node, (x,))


def test_one_node_works_and_reset_draws_anew():
    node = VirtualNode(4)
    x = torch.randn(1, 4)
    before = node(x)
    node.reset_parameters()
    assert not torch.equal(node(x), before)
    assert repr(node) == "VirtualNode(4)"
