"""Rendering, against a stored snapshot."""

import csv
import io
from pathlib import Path

import pytest
import yaml

from gnnzoo.results import (
    collect,
    load_table,
    to_csv,
    to_markdown,
    to_rich,
    update_between_markers,
)

SNAPSHOT = Path(__file__).with_name("table_snapshot.md")


@pytest.fixture
def table(tmp_path):
    def value(mean, runs, source, status="verified"):
        return {"mean": mean, "std": 0.005, "runs": runs, "source": source, "status": status}

    raw = {
        "title": "Small table",
        "protocol": "the public split",
        "metric": "accuracy",
        "seeds": "range(0,4)",
        "columns": {
            "cora": {"title": "Cora", "overrides": ["dataset=cora"]},
            "citeseer": {"title": "CiteSeer", "overrides": ["dataset=citeseer"]},
        },
        "rows": [
            {
                "name": "MLP",
                "overrides": ["model=mlp"],
                "reported": {"cora": value(0.6, 10, "A talk", "memory")},
                "notes": {"cora": "without features | with bias"},
            },
            {
                "name": "GCN",
                "overrides": ["model=gcn"],
                "reported": {
                    "cora": value(0.8124, 10, "Paper A"),
                    "citeseer": value(0.708, None, "Paper B"),
                },
            },
            {"name": "GAT", "overrides": ["model=gat"]},
        ],
        "baselines": ["MLP", "GCN"],
    }
    path = tmp_path / "small" / "table.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    (table,) = load_table(path)
    return table


@pytest.fixture
def summaries(table, make_record):
    def runs(cell, scores, **changes):
        return [make_record(cell, seed, score, **changes) for seed, score in enumerate(scores)]

    records = runs("cora mlp", [0.5, 0.51, 0.52, 0.53])
    records += runs("cora gcn", [0.81, 0.815, 0.81, 0.8199], tuned="cora/node/gcn_backprop.yaml")
    records += runs("citeseer gcn", [0.69, 0.70], code_hash="old", commit="f" * 40 + "-dirty")
    records += runs("cora gat", [0.83, 0.84])
    records.append(make_record("cora gat", 2, None, status="failed"))
    records += runs("citeseer gat", [0.71, 0.711, 0.7105, 0.71])

    def identify(overrides):
        return " ".join(override.split("=")[1] for override in overrides), "code"

    return collect(table, identify, records)


def test_markdown_matches_the_snapshot(table, summaries):
    assert to_markdown(table, summaries) == SNAPSHOT.read_text(encoding="utf-8")


def test_an_empty_table_says_not_run(table):
    shown = to_markdown(table, collect(table, lambda overrides: ("nothing", "code"), []))
    assert shown.count("not run") == 12
    assert "Device" not in shown


def test_the_terminal_shows_every_text_whole(table, summaries):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120)
    console.print(to_rich(table, summaries))
    shown = console.file.getvalue()
    for text in ("60.0 ± 0.5 [1, unverified]", "83.50 ± 0.71 (2 of 4, 1 failed)", "holds, +0.13"):
        assert text in shown
    assert "[2]: Paper A" in shown


def test_csv_has_one_line_per_cell_in_fractions(table, summaries):
    lines = list(csv.DictReader(io.StringIO(to_csv(table, summaries))))
    assert len(lines) == 6
    by_place = {(line["method"], line["column"]): line for line in lines}
    stale = by_place["GCN", "citeseer"]
    assert (stale["value_is_stale"], stale["num_stale"], stale["num_missing"]) == ("1", "2", "2")
    assert stale["verdict"] == ""
    assert float(by_place["MLP", "cora"]["mean"]) == pytest.approx(0.515)
    assert by_place["MLP", "cora"]["reported_status"] == "memory"
    assert by_place["MLP", "citeseer"]["mean"] == ""
    assert by_place["GAT", "cora"]["num_failed"] == "1"


def test_a_block_is_placed_between_its_markers_and_again():
    other = "<!-- table:b --><!-- /table -->\nEnd \\1\n"
    text = f"Intro\n<!-- table:a -->\nold\n<!-- /table -->\n{other}"
    once = update_between_markers(text, "a", "| new \\1 |\n")
    assert "<!-- table:a -->\n\n| new \\1 |\n\n<!-- /table -->\n<!-- table:b -->" in once
    assert "old" not in once
    assert once.endswith(other)
    assert update_between_markers(once, "a", "| new \\1 |\n") == once


@pytest.mark.parametrize("text", [
    "nothing", "<!-- table:a -->", "<!-- table:a --> <!-- table:b --> <!-- /table -->",
    "<!-- table:a --><!-- /table -->" * 2,
])  # fmt: skip
def test_missing_or_repeated_markers_are_refused(text):
    with pytest.raises(ValueError, match="table:a"):
        update_between_markers(text, "a", "block")


def test_values_of_another_protocol_are_marked_and_not_compared(table, summaries):
    from dataclasses import replace

    reported = table.row("MLP").reported["cora"]
    other = replace(reported, same_protocol=False)
    rows = [
        replace(row, reported={"cora": other}) if row.name == "MLP" else row for row in table.rows
    ]
    changed = replace(table, rows=tuple(rows))
    shown = to_markdown(changed, summaries)
    assert "60.0 ± 0.5 [1, unverified, other protocol]" in shown
    assert "| not compared |" in shown
    line = next(csv.DictReader(io.StringIO(to_csv(changed, summaries))))
    assert (line["reported_protocol"], line["verdict"]) == ("other", "")
