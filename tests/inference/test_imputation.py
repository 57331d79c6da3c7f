"""Missing cells are filled with what the model expects; every known cell stays as it is, byte for byte."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from data_files import written
from lowerbound.data.csv_text import MARKS
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.foundation.schema import Column, Schema
from lowerbound.inference import imputation
from lowerbound.inference.imputation import expected_cells, impute_table, rounded
from lowerbound.models.vae import VAE
from lowerbound.probability.table_likelihood import TableLikelihood

COLUMNS = (
    Column(name="length", kind="numeric", decimals=3),
    Column(name="day", kind="numeric", offset=20_230_100.0, decimals=0),
    Column(name="visits", kind="count", decimals=0),
    Column(name="new", kind="binary", levels=("no", "yes, é")),
    Column(name="city", kind="categorical", levels=("Bonn", 'L"yon', "Oslo")),
)
SCHEMA = Schema(layout="table", shape=(5,), dtype="", columns=COLUMNS, left_out=("id", "note"))
HEADER = "id,length,day,visits,new,city,note"


def constant(values: list[float]) -> nn.Module:
    """A network whose output does not depend on its input."""
    layer = nn.Linear(1, len(values))
    nn.init.zeros_(layer.weight)
    layer.bias.data = torch.tensor(values)
    return layer


class FirstOnly(nn.Module):
    """The posterior of a model whose z is known from the first column alone: z | length ~ N(length / 2, 1/2)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        is_known = features[:, -len(COLUMNS)].unsqueeze(-1)
        mean = features[:, :1] / 2
        return torch.cat([mean * is_known, torch.where(is_known > 0, np.log(0.5), 0.0)], dim=-1)


class Linear(nn.Module):
    """length | z ~ N(z, 1), day | z ~ N(2 z, 1), visits around 4, new mostly yes, city mostly Oslo."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        rest = torch.tensor([np.log(4.0), np.log(3.0), 0.0, 0.0, np.log(2.0)], dtype=z.dtype)
        return torch.cat([z, 2 * z, rest.expand(len(z), -1)], dim=-1)


@pytest.fixture(scope="module")
def vae() -> VAE:
    """Of length and day everything is known in closed form: both are normal, by one z."""
    likelihood = TableLikelihood((5,), COLUMNS)
    return VAE(encoder=FirstOnly(), decoder=Linear(), event_shape=(5,), latent_dim=1, likelihood=likelihood).eval()


def impute(vae, path, content, suffix=".csv", **options):
    written(path, content)
    found = impute_table(vae, SCHEMA, path, path.with_name(f"out{suffix}"), **options)
    return found, found.path.read_bytes()


def fills_of(found) -> list[dict[str, str]]:
    text = found.fills_path.read_text(encoding="utf-8")
    return list(csv.DictReader(StringIO(text), delimiter=text[len("row")]))


def test_missing_cells_are_filled_and_the_fills_listed_with_their_uncertainty(vae, tmp_path):
    content = f"{HEADER}\r\na,1.50,,,,,\r\nb,2,20230102,3,no,Bonn,x".encode()
    found, out = impute(vae, tmp_path / "in.csv", content)
    rows = fills_of(found)
    assert (found.num_rows, found.num_filled, found.skipped) == (2, 4, ())
    assert out.decode() == f'{HEADER}\r\na,1.50,{rows[0]["value"]},4,"yes, é",Oslo,\r\nb,2,20230102,3,no,Bonn,x'
    assert [(row["row"], row["column"], row["value"]) for row in rows[1:]] == [
        ("0", "visits", "4"),
        ("0", "new", "yes, é"),
        ("0", "city", "Oslo"),
    ]
    # A negative binomial of mean 4 and shape 1 has the variance 4 + 4² / 1.
    assert float(rows[1]["standard_deviation"]) == pytest.approx(20**0.5, rel=1e-3) and rows[1]["probability"] == ""
    assert float(rows[2]["probability"]) == pytest.approx(0.75) and rows[2]["standard_deviation"] == ""
    assert float(rows[3]["probability"]) == pytest.approx(0.5)


def test_the_mixture_is_the_exact_conditional_of_a_linear_model(vae):
    # With z | length ~ N(length / 2, 1/2): day ~ N(length, 4 / 2 + 1).
    x = torch.full((3, 5), torch.nan)
    x[:, 0] = torch.tensor([-1.0, 0.5, 2.0])
    found = expected_cells(vae, x, num_draws=20_000)
    np.testing.assert_allclose(found.mean[:, 1], x[:, 0], atol=0.05)
    np.testing.assert_allclose(found.deviation[:, 1], 3**0.5, atol=0.03)


def test_a_row_without_a_known_cell_is_filled_from_the_prior(vae):
    found = expected_cells(vae, torch.full((1, 5), torch.nan), num_draws=20_000)
    np.testing.assert_allclose(found.mean[0, :2], [0, 0], atol=0.05)
    np.testing.assert_allclose(found.deviation[0, :2], [2**0.5, 5**0.5], atol=0.05)


def test_a_rows_fills_do_not_depend_on_its_neighbours(vae, tmp_path):
    rows = [f"{index},{index / 7:.3f},,,," for index in range(30)]
    together, _ = impute(vae, tmp_path / "in.csv", "\n".join(["id,length,day,visits,new,city", *rows]).encode())
    expected = {row["value"] for row in fills_of(together) if row["row"] == "7" and row["column"] == "day"}
    alone, _ = impute(vae, tmp_path / "in.csv", f"id,length,day,visits,new,city\n{rows[7]}".encode())
    assert {row["value"] for row in fills_of(alone) if row["column"] == "day"} == expected


@pytest.mark.parametrize(
    ("value", "deviation", "decimals", "expected"),
    [
        (1.23456789, 0.5, 17, 1.2346),  # three digits beyond the first of 0.5
        (1.23456789, 0.5, 2, 1.23),
        (20_230_114.3, 8.0, 0, 20_230_114.0),
        (123_456.789, 2e4, 17, 123_457.0),
        (0.000123456, 1e-5, 17, 0.00012346),
    ],
)
def test_a_fill_has_the_digits_that_mean_something(value, deviation, decimals, expected):
    assert rounded(value, deviation, Column(name="x", kind="numeric", decimals=decimals)) == expected


# ---- what stays

PIECES = st.sampled_from(["a", "é", "😀", '"', ",", ";", "\t", "\n", "\r", " ", "'", "0", "."])
OTHERS = st.lists(PIECES, max_size=4).map("".join)
ROWS = st.lists(
    st.tuples(
        OTHERS,
        st.sampled_from(["", "NA", "12.50", "007", "-1e-05", " 3.0 ", "+4", "2.", "1e3"]),
        st.sampled_from(["20230303", "", "?"]),
        st.sampled_from(["3", "3.0", "", "null"]),
        st.sampled_from(["no", "yes, é", ""]),
        st.sampled_from(["Bonn", 'L"yon', "", "nan"]),
        OTHERS,
    ),
    min_size=1,
    max_size=5,
)
QUOTED = st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=6, max_size=6)
ENDS = st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"]), min_size=6, max_size=6)


def raw(cell: str, is_quoted: bool, separator: str) -> str:
    """A cell as it stands in a file."""
    must = any(character in cell for character in (separator, '"', "\n", "\r"))
    return '"' + cell.replace('"', '""') + '"' if is_quoted or must else cell


def as_text(table, quoted, ends, separator, has_last_end) -> str:
    lines = []
    for cells, are_quoted, end in zip(table, quoted, ends, strict=False):
        parts = [raw(cell, is_quoted, separator) for cell, is_quoted in zip(cells, are_quoted, strict=True)]
        lines.append(separator.join(parts) + end)
    return "".join(lines) if has_last_end else "".join(lines).removesuffix(ends[len(table) - 1])


@settings(max_examples=30)
@given(
    rows=ROWS,
    quoted=QUOTED,
    ends=ENDS,
    separator=st.sampled_from(",;\t|"),
    mark=st.sampled_from([(b"", "utf-8"), *MARKS]),
    has_last_end=st.booleans(),
)
def test_no_known_cell_changes_by_a_byte(vae, tmp_path_factory, rows, quoted, ends, separator, mark, has_last_end):
    folder = tmp_path_factory.mktemp("table")
    names = HEADER.split(",")
    table = [names, *(list(row) for row in rows)]
    path = written(folder / "in.csv", mark[0] + as_text(table, quoted, ends, separator, has_last_end).encode(mark[1]))
    found = impute_table(vae, replace(SCHEMA, separator=separator), path, folder / "out.csv")
    missing = {(row, names[i]) for row, cells in enumerate(table) for i in range(1, 6) if is_empty(cells[i])}
    fills = fills_of(found)
    assert {(int(fill["row"]) + 1, fill["column"]) for fill in fills} == missing
    for fill in fills:
        table[int(fill["row"]) + 1][names.index(fill["column"])] = fill["value"]
    expected = mark[0] + as_text(table, quoted, ends, separator, has_last_end).encode(mark[1])
    assert found.path.read_bytes() == expected


def is_empty(cell: str) -> bool:
    return cell.strip().lower() in ("", "na", "?", "null", "nan")


def test_quotes_line_ends_and_empty_lines_stay_where_cells_are_filled(vae, tmp_path):
    text = f'\ufeff{HEADER}\n"1,000",,"20230303",3,no,Bonn,\'x\r\n\n"a""b", 2.0 ,"NA",03,"no","Oslo","p\nq"\r\n'
    found, out = impute(vae, tmp_path / "in.csv", text.encode())
    length, day = (row["value"] for row in fills_of(found))
    expected = text.replace('"1,000",,', f'"1,000",{length},').replace('"NA"', f'"{day}"')
    assert out.decode() == expected


def test_decimal_commas_are_written_where_the_table_has_them(vae, tmp_path):
    content = f"{HEADER.replace(',', ';')}\n1;;20230101;3;no;Bonn;\n2;1,25;20230101;3;no;Bonn;\n".encode()
    path = written(tmp_path / "in.csv", content)
    found = impute_table(vae, replace(SCHEMA, decimal=","), path, tmp_path / "out.csv")
    (fill,) = fills_of(found)
    assert "," in fill["value"] and "." not in fill["value"]
    assert found.path.read_text().splitlines()[1] == f"1;{fill['value']};20230101;3;no;Bonn;"


def test_rows_that_cannot_be_read_are_refused_or_copied_as_they_are(vae, tmp_path):
    content = f"{HEADER}\n1,forty,,3,no,Bonn,\n2,1.5,,3,no,Bonn,\n3,1\n".encode()
    with pytest.raises(DataError, match=r"row 0 \(line 2\), column 'length' is 'forty'"):
        impute(vae, tmp_path / "in.csv", content)
    assert not (tmp_path / "out.csv").exists()
    found, out = impute(vae, tmp_path / "in.csv", content, skip_broken=True)
    (fill,) = fills_of(found)
    assert out.decode() == content.decode().replace("2,1.5,,", f"2,1.5,{fill['value']},")
    assert len(found.skipped) == 2 and fill["row"] == "1"


def test_parquet_keeps_types_known_values_and_every_column(vae, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    numbers = {"length": pyarrow.decimal128(12, 2), "day": pyarrow.int64(), "visits": pyarrow.int16()}
    types = {**numbers, "new": pyarrow.string(), "city": pyarrow.dictionary(pyarrow.int8(), pyarrow.string())}
    cells = {
        "length": [None, "1.25", "-3.50"],
        "day": [20230303, None, 20230101],
        "visits": [None, 2, 3],
        "new": ["no", None, "no"],
        "city": ["Bonn", "Bonn", None],
    }
    columns = {name: pyarrow.array(values).cast(types[name]) for name, values in cells.items()}
    nested = pyarrow.array([[1, 2], None, [3]])
    before = pyarrow.table({"note": nested, **columns, "id": pyarrow.array([2**60 + 1, None, 5])})
    parquet.write_table(before, tmp_path / "in.parquet")
    found = impute_table(vae, SCHEMA, tmp_path / "in.parquet", tmp_path / "out.parquet")
    after = parquet.read_table(tmp_path / "out.parquet")
    assert after.schema.equals(before.schema) and found.num_filled == 5
    fills = {(row["row"], row["column"]) for row in fills_of(found)}
    for name in before.column_names:
        for row, (old, new) in enumerate(zip(before[name].to_pylist(), after[name].to_pylist(), strict=True)):
            is_filled = (str(row), name) in fills
            assert (old is None and new is not None) if is_filled else old == new
    assert (
        after["visits"][0].as_py() == 4 and after["new"][1].as_py() == "yes, é" and after["city"][2].as_py() == "Oslo"
    )


def test_csv_and_parquet_are_filled_alike(vae, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    text = f"{HEADER}\na,1.5,,,,,z\nb,,20230102,3.0,no,Bonn,x\n"
    by_csv, _ = impute(vae, tmp_path / "in.csv", text.encode())
    pandas.read_csv(StringIO(text)).to_parquet(tmp_path / "in.parquet")
    by_parquet = impute_table(vae, SCHEMA, tmp_path / "in.parquet", tmp_path / "filled.parquet")
    assert fills_of(by_csv) == fills_of(by_parquet)


def test_the_list_of_fills_has_the_signs_of_the_table_and_a_name_of_its_own(vae, tmp_path):
    schema = replace(SCHEMA, separator=";", decimal=",")
    header = HEADER.replace(",", ";")
    path = written(tmp_path / "filled.csv", f"{header}\na;1,5;;;;;z\nb;;20230102;3,0;no;Bonn;x\n".encode())
    found = impute_table(vae, schema, path, tmp_path / "filled-again.csv")
    assert found.fills_path.name == "filled-again.cells.csv"
    rows = fills_of(found)
    assert len(rows) == found.num_filled == 5
    table = list(csv.DictReader(StringIO(found.path.read_text("utf-8")), delimiter=";"))
    assert all(table[int(row["row"])][row["column"]] == row["value"] for row in rows)
    assert all("." not in row["standard_deviation"] + row["probability"] for row in rows)


# ---- what is refused


@pytest.mark.parametrize(
    ("name", "out", "reason"),
    [
        ("in.csv", "out.parquet", r"must end in \.csv"),
        ("in.npy", "out.npy", r"is not a table file; impute accepts \.csv, \.tsv, \.parquet"),
        ("in.csv", "in.csv", "is the input, which impute does not overwrite"),
        ("in.csv", "link.csv", "is the input, which impute does not overwrite"),
        ("x.cells.csv", "x.csv", "is the input, which impute does not overwrite"),
    ],
)
def test_another_format_and_the_input_itself_are_refused_as_output(vae, tmp_path, name, out, reason):
    path = written(tmp_path / name, f"{HEADER}\n1,,,,,,\n".encode())
    (tmp_path / "link.csv").symlink_to(path)
    with pytest.raises(UsageError, match=reason):
        impute_table(vae, SCHEMA, path, tmp_path / out)
    assert path.read_bytes() == f"{HEADER}\n1,,,,,,\n".encode()


def test_a_model_of_images_has_no_missing_cells(tmp_path, linear_gaussian):
    path = written(tmp_path / "in.csv", b"a,b\n1,2\n")
    with pytest.raises(UsageError, match="impute needs a model trained on a table"):
        impute_table(linear_gaussian.model, SCHEMA, path, Path(tmp_path / "out.csv"))


def test_anything_but_a_file_is_refused_in_one_line(tmp_path):
    with pytest.raises(
        UsageError, match=r"impute fills a file: give the path of one \(.csv, .tsv, .parquet\), got a dict"
    ):
        imputation.impute(tmp_path, {"a": [1.0]})
