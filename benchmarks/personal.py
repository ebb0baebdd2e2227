"""State how well personal data is detected, on columns that are generated with and without it, and what it costs.

Three tables are printed:

  recall     in which share of columns each kind is found: as whole values, and in the middle of 1, 2, 3 and 5 texts
  precision  the columns without personal data in which some is found, by what they have
  cost       milliseconds of processor time per 10,000 different values

Usage: python benchmarks/personal.py [--rows 1000] [--seeds 20]
"""

from __future__ import annotations

import argparse
import random
import time
import uuid
from collections.abc import Sequence

import pyarrow as pa

from waybill.personal.recognise import Evidence, recognise
from waybill_devtools.personal_data import OTHER, PLANTED, column, digits, other_texts, planted_texts, texts

TEXTS = (1, 2, 3, 5)


def found_in(values: Sequence[str]) -> list[Evidence]:
    """Return the evidence in the different values of a column whose name says nothing."""
    return recognise(["value"], pa.array(list(dict.fromkeys(values)), pa.string()))


def recall(rows: int, seeds: int) -> tuple[int, int, int]:
    """Print the table; return how many columns have personal data, of which it is found, and another kind is."""
    print(f"{'kind':40} {'values':>7} " + " ".join(f"{number:>3} text" for number in TEXTS))
    planted = right = wrong = 0
    for one in PLANTED:
        shares = []
        for number in (None, *TEXTS):
            hits = 0
            for seed in range(seeds):
                chance = random.Random(seed)
                values = planted_texts(one, chance, rows, number) if number else column(one.make, chance, rows)
                kinds = [evidence.kind for evidence in found_in(values)]
                hits += one.kind in kinds
                wrong += bool({*kinds} - {one.kind})
            shares.append(hits / seeds)
            if number is None or (one.in_text and number >= one.in_text):
                planted, right = planted + seeds, right + hits
        print(f"{one.what:40} {shares[0]:>7.0%} " + " ".join(f"{share:>8.0%}" for share in shares[1:]))
    return planted, right, wrong


def precision(rows: int, seeds: int) -> tuple[int, int]:
    """Print the table; return how many columns without personal data there are, and in how many some is found."""
    print(f"\n{'no personal data':45} {'values':>7} {'texts':>7}")
    columns = alarms = 0
    for what, make in OTHER.items():
        whole = inside = 0
        for seed in range(seeds):
            chance = random.Random(seed)
            whole += bool(found_in(column(make, chance, rows)))
            some = [bool(found_in(values)) for _, values in other_texts(make, chance, rows)]
            inside += sum(some)
            columns += 1 + len(some)
        alarms += whole + inside
        if whole or inside:
            print(f"{what:45} {whole:>7} {inside:>7}")
    for seed in range(seeds):
        columns, alarms = columns + 1, alarms + bool(found_in(texts(random.Random(seed), rows)))
    return columns, alarms


def single_numbers(columns: int = 4_000) -> int:
    """Return in how many columns a single number of 16 random digits is taken for a card."""
    chance = random.Random(0)
    return sum(bool(found_in([f"order {digits(chance, 16)} is late", "fine"])) for _ in range(columns))


def cost(rows: int = 100_000) -> None:
    """Print the milliseconds per 10,000 different values for columns of several kinds."""
    print(f"\n{'column of ' + format(rows, ',') + ' values':45} {'ms per 10,000':>13}")
    chance = random.Random(0)
    for what, values in {
        "texts": [f"{text} {place}" for place, text in enumerate(texts(chance, rows))],
        "words": [f"word {place}" for place in range(rows)],
        "UUIDs": [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(rows)],
        "numbers of 9 digits": [digits(chance, 9, "7") for _ in range(rows)],
        "numbers of 16 digits": [digits(chance, 16, "7") for _ in range(rows)],
        "timestamps": [f"2026-03-02 10:00:{place % 60:02d}.{place:06d}" for place in range(rows)],
        "email addresses": [f"user{place}@example.org" for place in range(rows)],
        "SHA-256": [f"{chance.getrandbits(256):064x}" for _ in range(rows)],
    }.items():
        array, best = pa.array(values), float("inf")
        for _ in range(3):
            began = time.process_time()
            recognise(["value"], array)
            best = min(best, time.process_time() - began)
        print(f"{what:45} {best * 1000 * 10_000 / rows:>13.1f}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    planted, right, wrong = recall(options.rows, options.seeds)
    columns, alarms = precision(options.rows, options.seeds)
    print(f"\nrecall    {right} of {planted} columns: {right / planted:.2%}; with another kind {wrong}")
    print(f"precision {right} of {right + alarms} findings: {right / (right + alarms):.2%}")
    print(f"false     {alarms} of {columns} columns without personal data: {alarms / columns:.2%}")
    print(f"a single number of 16 random digits: {single_numbers()} of 4,000 columns")
    cost()


if __name__ == "__main__":
    main()
