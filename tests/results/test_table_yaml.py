"""Reading table.yaml, and what it says about mistakes."""

from pathlib import Path

import pytest
import yaml

from gnnzoo.results import UnknownTableError, load_table

PLANETOID = Path(__file__).parents[2] / "experiments" / "planetoid" / "table.yaml"


def _raw():
    reported = {"mean": 0.8, "std": 0.01, "runs": 10, "source": "A paper", "status": "verified"}
    return {
        "title": "Title",
        "protocol": "public split",
        "metric": "accuracy",
        "seeds": "range(0,3)",
        "columns": {"cora": {"overrides": ["dataset=cora"]}},
        "rows": [
            {"name": "GCN", "overrides": ["model=gcn"], "reported": {"cora": reported}},
            {"name": "MLP", "overrides": ["model=mlp", "trainer.epochs=5"]},
        ],
        "baselines": ["MLP"],
    }


def _load(folder, raw):
    path = folder / "small" / "table.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    (table,) = load_table(path)
    return table


def test_a_table_has_a_cell_per_method_and_data_set(tmp_path):
    table = _load(tmp_path, _raw())
    assert table.name == "small"
    cells = table.cells()
    assert [cell.overrides for cell in cells] == [
        ["dataset=cora", "model=gcn"],
        ["dataset=cora", "model=mlp", "trainer.epochs=5"],
    ]
    assert cells[0].seeds == (0, 1, 2)
    assert table.row("GCN").reported["cora"].verified
    assert table.row("MLP").reported == {}


def test_seeds_may_be_listed(tmp_path):
    assert _load(tmp_path, _raw() | {"seeds": [3, 1]}).seeds == (3, 1)


def _change(path, value):
    raw = _raw()
    inner = raw
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return raw


VALUE = ("rows", 0, "reported", "cora")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("colour",), "red", "the table has the unknown key 'colour'; known: "),
        (("rows", 0, "color"), "red", "row 'GCN' has the unknown key 'color'"),
        (("rows", 0, "reported"), {"pubmed": {}}, "names the column 'pubmed'; columns: cora"),
        ((*VALUE, "mean"), 84.4, "mean in the reported .* must be a fraction like 0.844, got 84.4"),
        ((*VALUE, "std"), 0.5, "std in the reported .* must be a fraction like 0.005, got 0.5"),
        ((*VALUE, "mean"), "5e-1", "mean in the reported .* must be a number, got '5e-1'"),
        ((*VALUE, "source"), " ", "source in the reported .* is empty"),
        ((*VALUE, "status"), "sure", "must be verified or memory, got 'sure'"),
        ((*VALUE, "runs"), 0, "runs in the reported .* must be a count"),
        (VALUE, {"mean": 0.8}, "row 'GCN', column 'cora' lacks runs, source, status, std"),
        (("seeds",), "0..3", r"seeds must be like 'range\(0,20\)'"),
        (("seeds",), [1, 1], "distinct"),
        (("rows", 1, "name"), "GCN", "two rows are named 'GCN'"),
        (("rows", 1, "overrides"), "model=mlp", r"must be a list like \[model=gcn\]"),
        (("rows",), [], "rows must be a list with at least one method"),
        (("columns", "cora"), None, "column 'cora' must be a mapping, got None"),
        (("baselines",), ["GIN"], "baselines names 'GIN', which is no row; rows: GCN, MLP"),
        (("baselines",), "GCN", "baselines must be a list of rows, got 'GCN'"),
        (("plots",), {"degree": ["MLP"]}, "a plot must be homophily, got 'degree'"),
        (("plots",), {"homophily": []}, "plot 'homophily' must be a list of rows, got"),
        (("plots",), {"homophily": ["GIN"]}, "plot 'homophily' names 'GIN', which is no row"),
        (("columns",), {}, "columns must name at least one data set"),
        ((*VALUE, "mean"), True, "mean in the reported .* must be a number, got True"),
        (
            ("search",),
            {"trials": 0, "seeds": [1]},
            "trials of search must be a count from 1, got 0",
        ),
        (("search",), {"trials": 5}, "search lacks seeds"),
        (("rows", 0, "space"), "mlp", "row 'GCN' has a space, but no tuned=..."),
        (
            ("rows", 0),
            {"name": "A", "space": "mlp", "overrides": ["tuned=a"]},
            "row 'A' has a space, but the table has no search",
        ),
        (("unit",), "share", "unit must be percent or plain, got 'share'"),
    ],
)
def test_a_mistake_is_named_in_one_sentence(tmp_path, path, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        _load(tmp_path, _change(path, value))
    assert "\n" not in str(caught.value)
    assert "table.yaml" in str(caught.value)


def test_a_plain_metric_may_exceed_one(tmp_path):
    raw = _change((*VALUE, "mean"), 84.4)
    assert _load(tmp_path, raw | {"unit": "plain"}).row("GCN").reported["cora"].mean == 84.4


def test_broken_yaml_is_named_with_its_file(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text("title: [")
    with pytest.raises(ValueError, match=r"table.yaml: not YAML"):
        load_table(path)


def test_a_key_given_twice_is_refused_and_one_that_replaces_a_merged_one_is_not(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text("title: one\ntitle: two\n")
    with pytest.raises(ValueError, match=r"table.yaml: the key 'title' stands twice"):
        load_table(path)
    raw = _raw()
    text = yaml.safe_dump(raw).replace("title:", "seeds: [3]\ntitle:", 1)
    path.write_text(f"{yaml.safe_dump(raw)}---\n{text}")
    with pytest.raises(ValueError, match="the key 'seeds' stands twice"):
        load_table(path)
    columns = (
        "columns:\n  a: &a {title: A, overrides: [dataset=cora]}\n  cora: {<<: *a, title: B}\n"
    )
    raw.pop("columns")
    path.write_text(columns + yaml.safe_dump(raw))
    assert [column.title for column in load_table(path)[0].columns] == ["A", "B"]


def test_an_unknown_table_is_a_key_error_that_reads_well():
    with pytest.raises(UnknownTableError, match="no table named 'planetoyd'"):
        load_table("planetoyd")


def test_the_planetoid_table_loads_and_names_its_sources():
    (table,) = load_table(PLANETOID)
    names = [row.name for row in table.rows]
    assert names == ["MLP", "GCN", "GCN, tuned", "GAT", "SGC", "APPNP", "GCNII", "DGMLP", "DAGNN"]
    assert len(table.cells()) == 18
    assert table.seeds == tuple(range(20))
    dagnn = table.row("DAGNN").reported
    assert (dagnn["cora"].mean, dagnn["citeseer"].mean) == (0.844, 0.733)
    assert table.row("GCN").reported["citeseer"].runs is None
    assert not table.row("MLP").reported["cora"].verified


def test_a_column_may_have_its_own_metric_and_seeds(tmp_path):
    raw = _raw()
    raw["columns"]["mines"] = {
        "overrides": ["dataset=minesweeper"],
        "metric": "roc_auc",
        "seeds": [1, 2],
    }
    table = _load(tmp_path, raw)
    assert [(column.metric, column.seeds) for column in table.columns] == [
        ("accuracy", (0, 1, 2)),
        ("roc_auc", (1, 2)),
    ]
    assert [cell.seeds for cell in table.cells()] == [(0, 1, 2), (1, 2)] * 2


def test_every_yaml_document_is_a_block(tmp_path):
    path = tmp_path / "two" / "table.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump_all([_raw(), _raw() | {"title": "Second"}]))
    assert [(table.name, table.title) for table in load_table(path)] == [
        ("two", "Title"),
        ("two", "Second"),
    ]


def test_a_file_without_a_table_is_named(tmp_path):
    path = tmp_path / "empty" / "table.yaml"
    path.parent.mkdir()
    path.write_text("# nothing yet\n")
    with pytest.raises(ValueError, match="holds no table"):
        load_table(path)
