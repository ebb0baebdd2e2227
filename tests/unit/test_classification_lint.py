"""A derived column that repeats a classified value has a classification of its own."""

from __future__ import annotations

from dataclasses import replace

from waybill.contracts import Contract, load_all
from waybill.ops.classification_lint import lint_classification


def classified(contract: Contract, name: str, classification: str | None) -> Contract:
    """Return a contract with another classification of a column."""
    columns = (replace(one, classification=classification) if one.name == name else one for one in contract.columns)
    return replace(contract, columns=tuple(columns))


def test_the_project_has_no_such_column() -> None:
    assert [*lint_classification(load_all())] == []


def test_a_copy_and_a_part_of_a_text_are_found_by_their_sources() -> None:
    contracts = load_all()
    contracts["shop_star.dim_customer"] = classified(contracts["shop_star.dim_customer"], "email", None)
    table = "purchases_report.top_purchasers"  # joins two names
    contracts[table] = classified(contracts[table], "full_name", None)
    found = [*lint_classification(contracts)]
    assert [one.partition(", which")[0] for one in found] == [
        f"{table}: the column 'full_name' is computed from purchases_star.fact_purchases.first_name",
        f"{table}: the column 'full_name' is computed from purchases_star.fact_purchases.last_name",
        "shop_star.dim_customer: the column 'email' is computed from shop.customers.email",
    ]
    assert "Write `classification: restricted`, or `internal` if its values identify nobody" in found[0]


def test_a_column_that_is_said_to_identify_nobody_is_not_reported() -> None:
    contracts = load_all()
    contracts["shop_star.dim_customer"] = classified(contracts["shop_star.dim_customer"], "email", "internal")
    assert [*lint_classification(contracts)] == []


def test_numbers_that_are_counted_from_texts_are_not_reported() -> None:
    """The key of a dimension, and when its versions begin, follow from whether a restricted value changed."""
    contracts = load_all()
    dimension = contracts["shop_star.dim_customer"]
    assert [one.classification for one in dimension.columns if one.name in ("customer_key", "valid_from")] == [None] * 2
    assert [*lint_classification(contracts)] == []
