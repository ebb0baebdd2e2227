"""The benchmark scores how polluted files are loaded."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from waybill.settings import PROJECT_ROOT

HEADER = "DATE,TIME,Qty,PRODUCTID,Price,ProductType,ProductDescription,URL,Comments"
ROWS = [f"28/01/2018,00:{minute},2,MG-{minute},$74.69,Boots,Warm,https://x.example,\n" for minute in range(10, 14)]


@pytest.fixture(scope="module")
def pollock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pollock", PROJECT_ROOT / "benchmarks/pollock.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["pollock"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def describe(folder: Path, parameters: dict[str, dict[str, object]]) -> None:
    """Write the dialect of each file, as the benchmark describes it."""
    usual = {
        "delimiter": ",",
        "quotechar": '"',
        "escapechar": '"',
        "header_lines": 1,
        "preamble_lines": 0,
        "column_names": HEADER.split(","),
        "n_columns": 9,
    }
    (folder / "parameters").mkdir()
    for name, different in parameters.items():
        (folder / f"parameters/{name}_parameters.json").write_text(json.dumps(usual | different))


@pytest.mark.parametrize("dialect", ["declared", "drafted"])
@pytest.mark.parametrize("typed", [True, False])
def test_files_of_other_dialects_are_loaded_whole(
    dialect: str, typed: bool, pollock: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = f"{HEADER}\n" + "".join(ROWS)
    names = [f"{name} {name}" for name in HEADER.split(",")]
    files: dict[str, tuple[str, str, dict[str, object]]] = {
        "source.csv": (clean, clean, {}),
        "file_semicolons.csv": (clean.replace(",", ";"), clean, {"delimiter": ";"}),
        "file_quote.csv": (
            clean.replace("Warm", "'So, warm'"),
            clean.replace("Warm", '"So, warm"'),
            {"quotechar": "'"},
        ),
        "file_escape.csv": (
            clean.replace("Warm", '"So \\"warm\\""'),
            clean.replace("Warm", '"So ""warm"""'),
            {"escapechar": "\\"},
        ),
        "file_preamble.csv": (f"Sales,,,,,,,,\n,,,,,,,,\n{clean}", clean, {"preamble_lines": 2}),
        "file_header.csv": (
            f"{HEADER}\n{clean}",
            f"{','.join(names)}\n" + "".join(ROWS),
            {"header_lines": 2, "column_names": names},
        ),
        "file_no_header.csv": ("".join(ROWS), "".join(ROWS), {"header_lines": 0, "column_names": []}),
    }
    for folder in ("csv", "clean"):
        (tmp_path / folder).mkdir()
        for name, (text, expected, _) in files.items():
            (tmp_path / folder / name).write_text(text if folder == "csv" else expected)
    (tmp_path / "weights.json").write_text(json.dumps(dict.fromkeys(files, 1)))
    describe(tmp_path, {name: different for name, (_, _, different) in files.items()})
    pollock.score(tmp_path, dialect, typed=typed)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "simple 10.000, weighted 10.000 of 10; 7 files",
        "28 rows loaded correctly, 0 records in quarantine, 0 files rejected",
    ]


def test_scores_rejected_files_and_wrong_rows_are_printed(
    pollock: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = f"{HEADER}\n" + "".join(ROWS)
    files = {
        "source.csv": clean,
        "row_less_sep_row2_col3.csv": clean.replace(",MG-11", "MG-11"),
        "file_preamble.csv": f"Sales\n{clean}",
        "file_other_value.csv": clean.replace("MG-12", "MG-99"),
        "file_multitable_same.csv": clean + clean,
    }
    for folder in ("csv", "clean"):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text if folder == "csv" else clean)
    (tmp_path / "weights.json").write_text(json.dumps({"source.csv": 3, "file_preamble.csv": 1}))
    describe(tmp_path, {name: {} for name in files})
    pollock.score(tmp_path)
    printed = capsys.readouterr().out.splitlines()
    # The lost row costs recall and F1 of rows and cells, the other value precision and recall of both.
    row = 1 + 0.75 + 2 * 0.75 / 1.75
    value = 3 * 0.75
    cells_lost, cells_other = 1 + 27 / 36 + 2 * 0.75 / 1.75, 3 * 35 / 36
    simple = (10 + (4 + row + cells_lost) + 0 + (4 + value + cells_other) + 10) / 5
    assert printed[0] == f"simple {simple:.3f}, weighted 7.500 of 10; 5 files"
    assert printed[1] == "14 rows loaded correctly, 2 records in quarantine, 1 files rejected"
    assert printed[2].startswith(
        "  rejected file_preamble.csv: s3://pollock/file_preamble.csv: it appears that the header is line 2"
    )
    assert printed[3:5] == [
        "1 rows loaded with wrong values, 1 of them without a doubt in the contract",
        "     1 file_other_value",
    ]
    assert printed[5].startswith("  file_other_value.csv record 3: 2018-01-28,00:12:00,2,mg-99,")
