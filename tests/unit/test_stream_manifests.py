"""A manifest that declares a stream whose events could not be counted, or that shows restricted values, is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from waybill.contracts import Contract, load_all
from waybill.ops.manifest_lint import lint_manifests

CLICKS, PRODUCTS = "shop.clickstream", "shop.products"
Change = Callable[[dict[str, Any]], object]


def problems_of(
    include_dir: Path,
    change: Change = lambda _: None,
    contracts: dict[str, Contract] | None = None,
) -> list[str]:
    """Return the problems of the shop's stream after a change, each as `key: what is wrong`."""
    path = include_dir / "domains" / "shop.yaml"
    manifest = yaml.safe_load(path.read_text())
    del manifest["people"]  # see test_people
    change(manifest["streams"]["clickstream"])
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))
    found = "\n".join(lint_manifests((load_all() | (contracts or {})).values(), ()))
    return [line.rpartition("$.streams.clickstream")[2].lstrip(".: ") for line in found.splitlines() if "$." in line]


def with_column(table: str, name: str, **values: Any) -> dict[str, Contract]:
    """Return a dataset's contract with another definition of a column."""
    contract = load_all()[table]
    columns = [replace(one, **values) if one.name == name else one for one in contract.columns]
    return {table: replace(contract, columns=tuple(columns))}


def test_the_stream_of_the_shop_is_valid(include_dir: Path) -> None:
    assert problems_of(include_dir) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s["dimensions"].append("page"), "dimensions: 'page' is named twice"),
        (lambda s: s["funnel"].append("checkout"), "funnel: 'checkout' is named twice"),
        (lambda s: s["funnel"].append("pay"), "funnel: unknown kind 'pay'"),
        (lambda s: s["amount"].update(kind="purchas"), "amount.kind: unknown kind 'purchas': did you mean `purchase`?"),
        (
            lambda s: s["amount"].update(value="brand"),
            "amount.value: the column 'brand' of shop.products must be a num",
        ),
        (
            lambda s: s["amount"].update(value="prize"),
            "amount.value: shop.products has no column 'prize': did you mean",
        ),
        (lambda s: s["amount"].update(table="product"), "amount.table: unknown dataset 'product': did you mean"),
        (lambda s: s["amount"].update(table="customers"), "amount.table: the key of shop.customers must be 'product_i"),
        (lambda s: s["amount"].update(column="page"), "amount.table: the key of shop.products must be 'page'"),
        (lambda s: s["dimensions"].remove("product_id"), "amount.column: 'product_id' is none of the `dimensions`"),
        (lambda s: s.update(session="visitor"), "session: shop.clickstream has no column 'visitor'"),
    ],
)
def test_names_of_a_stream_must_fit_its_contract(change: Change, problem: str, include_dir: Path) -> None:
    found = problems_of(include_dir, change)
    assert any(one.startswith(problem) for one in found), found


@pytest.mark.parametrize(
    ("table", "column", "values", "problem"),
    [
        (CLICKS, "page", {"classification": "restricted"}, "dimensions: 'page' is restricted"),
        (CLICKS, "event_type", {"classification": "restricted"}, "kind: 'event_type' is restricted"),
        (PRODUCTS, "price", {"classification": "restricted"}, "amount.value: 'price' is restricted"),
        (CLICKS, "event_type", {"required": False}, "kind: the column 'event_type' of shop.clickstream must be `requi"),
        (CLICKS, "ts", {"physical_type": "date"}, "shop.clickstream needs a `periodColumn` of the type timestamptz"),
    ],
)
def test_columns_of_a_stream_must_be_of_use(
    table: str, column: str, values: dict[str, Any], problem: str, include_dir: Path
) -> None:
    [found] = problems_of(include_dir, contracts=with_column(table, column, **values))
    assert found.startswith(problem)


def test_a_session_may_be_restricted_because_its_values_are_not_shown(include_dir: Path) -> None:
    assert problems_of(include_dir, contracts=with_column(CLICKS, "session_id", classification="restricted")) == []


def test_files_of_the_archive_must_add_to_those_of_the_day(include_dir: Path) -> None:
    contract = replace(load_all()[CLICKS], load_mode="changes")
    [found] = problems_of(include_dir, contracts={CLICKS: contract})
    assert found == "shop.clickstream needs `loadMode: merge`: the archive adds files to a day"
