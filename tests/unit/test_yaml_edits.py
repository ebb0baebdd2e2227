"""Edits of contracts as text: the document has the change and nothing else, and comments and layout stay."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from waybill.contracts import ContractError
from waybill.settings import PROJECT_ROOT
from waybill.watch.proposal import raised
from waybill.watch.yaml_edits import ContractText

CONTRACTS = sorted((PROJECT_ROOT / "include/contracts").glob("*/*.yaml"))
LAYOUTS = """\
# Above.
version: "1.0.0"  # raise it
schema:
  - name: things
    properties:
    # The key.
    - name: id
      physicalType: integer  # a number
      description: >-
        Folded text:
        two lines.

    - {name: flow, physicalType: text, enum: [{value: a}, {value: 'b'}]}
    - physicalType: text
      name: block
      enum:
        - value: a  # first
          description: |
            Kept text.
        - {value: b}

      synonyms: []
    # Below.
slaProperties: []"""


def properties(document: Any) -> dict[str, Any]:
    return {one["name"]: one for one in document["schema"][0]["properties"]}


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_edits_change_only_what_they_should(path: Any) -> None:
    text = path.read_text()
    before = yaml.safe_load(text)
    expected = copy.deepcopy(before)
    expected["version"] = "9.0.0"
    edit = ContractText(text)
    edit.set_version("9.0.0")
    for name, one in properties(expected).items():
        edit.add_item(name, "synonyms", "{synonym: 'neu: #1'}")
        one["synonyms"] = [*one.get("synonyms", []), {"synonym": "neu: #1"}]
    edit.add_property(["- name: added", "  # check: it", "  physicalType: text"])
    expected["schema"][0]["properties"].append({"name": "added", "physicalType": "text"})
    assert yaml.safe_load(edit.edited) == expected
    kept = [line for line in text.splitlines() if "synonyms" not in line and not line.startswith("version")]
    lines = iter(edit.edited.splitlines())
    assert all(line in lines for line in kept), "every other line stays, in its order"


def test_every_layout_of_lists_and_columns_is_edited() -> None:
    edit = ContractText(LAYOUTS)
    edit.set_version("1.1.0")
    for name in ("flow", "block"):
        edit.add_item(name, "enum", "{value: c}")
        edit.add_item(name, "synonyms", "{synonym: s}")
    edit.set_pair("id", "physicalType", "bigint")
    edit.set_pair("id", "description", None)
    edit.add_property(["- name: last"])
    after = yaml.safe_load(edit.edited)
    columns = properties(after)
    assert after["version"] == "1.1.0"
    assert columns["id"] == {"name": "id", "physicalType": "bigint"}
    assert [one["value"] for one in columns["flow"]["enum"]] == ["a", "b", "c"]
    assert [one["value"] for one in columns["block"]["enum"]] == ["a", "b", "c"]
    assert columns["block"]["enum"][0]["description"] == "Kept text.\n"
    assert columns["flow"]["synonyms"] == columns["block"]["synonyms"] == [{"synonym": "s"}]
    assert [*columns] == ["id", "flow", "block", "last"]
    assert after["slaProperties"] == []
    for comment in ("# Above.", "# raise it", "# The key.", "# a number", "# first", "# Below."):
        assert edit.edited.count(comment) == 1


@pytest.mark.parametrize(
    "present",
    [
        "",
        "customProperties: []",
        "customProperties: [{property: dateForms, value: [YYYY]}, {property: other, value: 1}]",
        """customProperties:
        # Of the sender.
        - property: dateForms
          value: [YYYY]
        - {property: other, value: 1}""",
        """customProperties:
        - {property: other, value: 1}
        - property: dateForms
          value:
            - YYYY""",
    ],
    ids=("absent", "empty", "one line", "block", "block at the end"),
)
def test_custom_properties_are_added_together_and_replaced_by_name(present: str) -> None:
    text = f"""\
version: 1.0.0
schema:
  - properties:
      - name: day
        physicalType: date
        {present}
        required: true
"""
    edit = ContractText(text)
    edit.set_pair("day", "physicalType", "text")
    edit.set_custom_properties(
        "day", {"dateForms": "{property: dateForms, value: [DDMMYY]}", "pivotYear": "{property: pivotYear, value: 70}"}
    )
    column = properties(yaml.safe_load(edit.edited))["day"]
    assert edit.edited.count("customProperties") == 1
    assert column["required"] is True
    others = [{"property": "other", "value": 1}] if "other" in present else []
    assert sorted(column["customProperties"], key=lambda one: str(one["property"])) == [
        {"property": "dateForms", "value": ["DDMMYY"]},
        *others,
        {"property": "pivotYear", "value": 70},
    ]


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(ContractError, match="no column nope"):
        ContractText(LAYOUTS).add_item("nope", "enum", "{value: c}")


@pytest.mark.parametrize(
    ("version", "minor", "major"),
    [
        ("1.2.3", "1.3.0", "2.0.0"),
        ("1.2.3-beta", "1.3.0", "2.0.0"),
        ("7", "8", "8"),
        ("v2", "v3", "v3"),
        ("x", "x.1", "x.1"),
    ],
)
def test_versions_are_raised(version: str, minor: str, major: str) -> None:
    assert raised(version) == minor
    assert raised(version, is_breaking=True) == major
