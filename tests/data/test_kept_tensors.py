"""What is slow to read is read once, and again when its sources have changed."""

import torch

from gnnzoo.data import tudataset
from gnnzoo.data.kept_tensors import kept_tensors
from tests.reference.raw_files import write_tudataset


def test_tensors_are_made_once_for_what_they_are_made_of(tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"x": torch.full((2, 3), float(len(made))).t(), "n": torch.tensor(4)}

    path = tmp_path / "kept" / "graphs.safetensors"
    first, again = kept_tensors(path, "a", make), kept_tensors(path, "a", make)
    assert made == [0]
    assert torch.equal(first["x"], again["x"])
    assert int(again["n"]) == 4
    assert (kept_tensors(path, "b", make)["x"] == 2).all()
    assert made == [0, 1]


def test_a_set_read_again_is_the_same_and_changed_files_are_noticed(
    tmp_path, monkeypatch, cards_without_checksums
):
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("GNNZOO_DATA", str(tmp_path / "data"))
    write_tudataset("ENZYMES", tmp_path / "mirror")
    first, again = (tudataset("ENZYMES", check_sizes=False) for _ in range(2))
    for key, value in first.data:
        assert torch.equal(torch.as_tensor(again.data[key]), torch.as_tensor(value)), key
    (labels,) = (tmp_path / "data").rglob("ENZYMES_graph_labels.txt")
    labels.write_text("\n".join(["1"] * 9 + ["2"]) + "\n")
    assert tudataset("ENZYMES", check_sizes=False).data.y.tolist() == [0] * 9 + [1]
