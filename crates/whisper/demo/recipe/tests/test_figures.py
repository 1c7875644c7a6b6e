from pathlib import Path

from recipe.figures import distinct_names, write_figures


def test_models_of_one_name_get_longer_names():
    made, shipped = Path("/made/model"), Path("/shipped/model")
    assert distinct_names([made, shipped]) == {"made/model": made, "shipped/model": shipped}
    assert distinct_names([made]) == {"model": made}
    assert distinct_names([made, made]) == {"model": made}


def test_table_has_a_column_for_every_model(tmp_path: Path):
    ours, old = {"WER": 2.0, "start off by_s": 0.1}, {"WER": 3.21, "start off by_s": 0.2}
    write_figures({"ours": ours, "old": old}, tmp_path / "f")
    assert (tmp_path / "f.md").read_text().splitlines() == [
        "| | ours | old |",
        "|---|---|---|",
        "| WER | 2.0 % | 3.2 % |",
        "| start off by | 0.10 s | 0.20 s |",
    ]
