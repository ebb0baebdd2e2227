"""The files from which tests draft contracts."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from support.drafts import Shape, columns_of, read_csv, slashed


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]], **dialect: Any) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n", **dialect)
    writer.writerows([header, *rows])
    return stream.getvalue()


def instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _plain() -> list[Shape]:
    shapes = []
    body = csv_text(
        ["Order Id", "Ordered On", "Amount"], [[n, f"2026-03-{n % 28 + 1:02d}", f"{n * 3}.50"] for n in range(1, 301)]
    ).encode()
    shapes.append(
        Shape(
            "plain.csv",
            body,
            columns_of(read_csv(body), order_id=int, ordered_on=date.fromisoformat, amount=Decimal),
            {"order_id": "integer", "ordered_on": "date", "amount": "numeric(12,2)"},
            key=("order_id",),
        )
    )
    shapes.append(Shape("packed.csv.gz", gzip.compress(body), shapes[0].values, shapes[0].types, key=("order_id",)))
    shapes.append(Shape("marks.csv", b"\xef\xbb\xbf" + body.replace(b"\n", b"\r\n"), shapes[0].values))

    rows = [[f"{n:05d}", f"{n % 7}", f'said "{n}",\nand left' if n % 5 else ""] for n in range(1, 121)]
    body = csv_text(["shop-code", "visits", "Remark"], rows).encode()
    shapes.append(
        Shape(
            "zeros_and_lines.csv",
            body,
            columns_of(read_csv(body), shop_code=str, visits=int, remark=str),
            {"shop_code": "text", "visits": "integer", "remark": "text"},
            key=("shop_code",),
        )
    )

    rows = [[n, f"{n % 12 + 1}/{n % 28 + 1}/1990", ""] for n in range(1, 200)]
    body = csv_text(["id", "born", "note"], rows).encode()
    shapes.append(
        Shape(
            "month_first.csv",
            body,
            columns_of(read_csv(body), id=int, born=slashed("mdy"), note=str),
            {"born": "date", "note": "text"},
            texts=["format: M/d/yyyy", "classification: restricted", "no row has a value"],
        )
    )
    body = csv_text(["id", "day"], [[n, f"{n % 28 + 1}/{n % 12 + 1}/2025"] for n in range(1, 200)]).encode()
    shapes.append(
        Shape(
            "day_first.csv",
            body,
            columns_of(read_csv(body), id=int, day=slashed("dmy")),
            {"day": "date"},
            texts=["format: d/M/yyyy"],
        )
    )
    body = csv_text(["id", "day"], [[n, f"{n}/{n % 12 + 1}/2025"] for n in range(1, 4)]).encode()
    shapes.append(
        Shape(
            "either_order.csv",
            body,
            columns_of(read_csv(body), id=int, day=str),
            {"day": "text"},
            texts=["no value shows whether day or month comes first"],
        )
    )

    rows = [
        [str(UUID(int=n)), f"2026-03-01T10:{n % 60:02d}:00+02:00", f"2026-03-01 10:{n % 60:02d}:30.5", n % 2 == 0]
        for n in range(1, 130)
    ]
    body = csv_text(["token", "at", "Local Time", "isActive"], rows).encode()
    shapes.append(
        Shape(
            "moments.csv",
            body,
            columns_of(
                read_csv(body),
                token=UUID,
                at=instant,
                local_time=datetime.fromisoformat,
                is_active=lambda text: text == "True",
            ),
            {"token": "uuid", "at": "timestamptz", "local_time": "timestamp", "is_active": "boolean"},
            key=("token",),
        )
    )

    rows = [[n, "n/a" if n % 10 == 0 else n * 7, "NULL" if n % 9 == 0 else f"w{n % 3}"] for n in range(1, 101)]
    body = csv_text(["id", "points", "word"], rows).encode()
    absent = {"n/a", "NULL"}
    values = columns_of(
        [["" if cell in absent else cell for cell in row] for row in read_csv(body)], id=int, points=int, word=str
    )
    shapes.append(
        Shape(
            "null_words.csv",
            body,
            values,
            {"points": "integer", "word": "text"},
            texts=["value: [n/a]", "'NULL'", "enum: [{value: w0}, {value: w1}, {value: w2}]"],
        )
    )

    rows = [["north" if n % 2 else "south", f"item {n % 4}", n % 3] for n in range(60)]
    body = csv_text(["region", "item", "sold"], rows).encode()
    shapes.append(
        Shape(
            "no_key.csv",
            body,
            columns_of(read_csv(body), region=str, item=str, sold=int),
            {"occurrence": "integer"},
            texts=["numbered in file order", "enum: [{value: north}, {value: south}]"],
        )
    )
    rows = [["" if n % 3 else n % 5, "" if n % 4 else "word"] for n in range(60)]
    body = csv_text(["number", "word"], rows).replace("\n,\n", "\n8,\n").replace("\n,\n", "\n8,\n").encode()
    shapes.append(
        Shape(
            "no_complete_column.csv",
            body,
            columns_of(read_csv(body), number=int, word=str),
            key=("occurrence",),
            texts=["so the rows of each file are numbered", "One row per occurrence."],
        )
    )
    body = b"name\nalpha\nbeta\n\ngamma\n"
    shapes.append(Shape("one_column.csv", body, {"name": ["alpha", "beta", "gamma"]}, {"name": "text"}, key=("name",)))
    header = [f"Measure {n}" for n in range(1, 131)]
    rows = [[r * n for n in range(1, 131)] for r in range(1, 6)]
    body = csv_text(["id", *header], [[r, *row] for r, row in enumerate(rows, 1)]).encode()
    values = columns_of(read_csv(body), id=int, **{f"measure_{n}": int for n in range(1, 131)})
    shapes.append(Shape("wide.csv", body, values, {"measure_130": "integer"}, key=("id",)))

    body = csv_text(
        ["Straße", "Größe (cm)", "№", "名前", "2026 Plan", "E-Mail", "order"],
        [[f"Weg {n}", f"{n}.25", n, f"人{n}", -n, f"p{n}@example.org", n % 3] for n in range(1, 120)],
    ).encode()
    shapes.append(
        Shape(
            "spellings.csv",
            body,
            columns_of(
                read_csv(body),
                strasse=str,
                groesse_cm=Decimal,
                number=int,
                column_4=str,
                column_2026_plan=int,
                e_mail=str,
                order=int,
            ),
            {"groesse_cm": "numeric(12,2)"},
            texts=["synonym: 名前", "classification: restricted"],
        )
    )
    rows = [
        [
            n,
            "9999-12-31" if n % 5 else "2026-01-01",
            f"18{n % 90 + 10}-05-01",
            10**12 + n,
            10**24 + n,
            f"-0.{n:09d}",
        ]
        for n in range(1, 120)
    ]
    body = csv_text(["id", "ever", "since", "big", "huge", "tiny"], rows).encode()
    shapes.append(
        Shape(
            "limits.csv",
            body,
            columns_of(
                read_csv(body),
                id=int,
                ever=date.fromisoformat,
                since=date.fromisoformat,
                big=int,
                huge=Decimal,
                tiny=Decimal,
            ),
            {"big": "bigint", "huge": "numeric(38,0)", "tiny": "numeric(18,9)", "ever": "date"},
            texts=["maximum: '9999-12-31'", "minimum: '18"],
        )
    )
    good = [[n, f"text, {n}"] for n in range(1, 99)]
    body = csv_text(["id", "words"], good).encode() + b'99,torn,apart\n100,"open\n'
    shapes.append(
        Shape(
            "torn_records.csv",
            body,
            columns_of(good, id=int, words=str),
            {"id": "integer"},
            rows_in=100,
            texts=["torn_records.csv has 2 rejected rows of 100"],
        )
    )
    shapes.append(Shape("header_only.csv", b"id,name\n", {"id": [], "name": []}, {"id": "text"}, key=None))
    return shapes


def german(text: str) -> Decimal:
    return Decimal(text.replace(".", "").replace(",", "."))


def american(text: str) -> Decimal:
    digits = Decimal(re.sub(r"[^0-9.]", "", text))
    return -digits if text.startswith(("(", "-")) else digits


def _numbers() -> list[Shape]:
    amounts = [Decimal(n * n * 37 - 90_000) / 100 for n in range(1, 200)]
    grouped = [f"{amount:,.2f}" for amount in amounts]
    written = [text.replace(",", "g").replace(".", ",").replace("g", ".") for text in grouped]
    body = csv_text(["id", "Betrag"], list(enumerate(written, 1))).encode()
    shapes = [
        Shape(
            "decimal_commas.csv",
            body,
            columns_of(read_csv(body), id=int, betrag=german),
            {"betrag": "numeric(12,2)"},
            texts=["numberFormat, value: {decimal: ',', thousands: .}"],
        )
    ]
    money = [f"(${text[1:]})" if text.startswith("-") else f"${text}" for text in grouped]
    shares = [f"{n}.5%" for n in range(1, 200)]
    rows = [[n, *both] for n, both in enumerate(zip(money, shares, strict=True), 1)]
    body = csv_text(["id", "Revenue", "Share"], rows).encode()
    shapes.append(
        Shape(
            "money.csv",
            body,
            columns_of(read_csv(body), id=int, revenue=american, share=american),
            {"revenue": "numeric(12,2)", "share": "numeric(12,2)"},
            texts=["currency: $", "parentheses: true", "12% is read as 12"],
        )
    )
    rows = [[n, f"{n},{n % 900 + 100}", f"{n}.125", f"{n * 1000:,}"] for n in range(1, 99)]
    body = csv_text(["id", "unclear", "points", "pieces"], rows).encode()
    shapes.append(
        Shape(
            "unclear_signs.csv",
            body,
            columns_of(read_csv(body), id=int, unclear=american, points=Decimal, pieces=american),
            {"unclear": "integer", "points": "numeric(18,4)", "pieces": "integer"},
            texts=["is read as the thousands separator", "three digits after it"],
        )
    )
    rows = [[n, repr(n / 7), f"{n}e-{n % 30}", f"{n % 24:02d}:30"] for n in range(1, 99)]
    body = csv_text(["id", "ratio", "tiny", "opens"], rows).encode()
    shapes.append(
        Shape(
            "binary_numbers.csv",
            body,
            columns_of(read_csv(body), id=int, ratio=float, tiny=float, opens=time.fromisoformat),
            {"ratio": "double precision", "tiny": "double precision", "opens": "time"},
            texts=["as binary floating-point numbers have"],
        )
    )
    return shapes


def _dialects() -> list[Shape]:
    rows = [[n, f"2026-03-{n % 28 + 1:02d}", f"{n},{n % 100:02d}", f"Größe {n}; groß"] for n in range(1, 150)]
    text = csv_text(["Nr", "Tag", "Preis", "Ware"], rows, delimiter=";")
    values = columns_of(read_csv(text.encode(), delimiter=";"), nr=int, tag=date.fromisoformat, preis=german, ware=str)
    types = {"nr": "integer", "tag": "date", "preis": "numeric(12,2)", "ware": "text"}
    shapes = [
        Shape("semicolons_cp1252.csv", text.encode("cp1252"), values, types, texts=["encoding: cp1252"], key=("nr",)),
        Shape("semicolons_utf_16.csv", text.encode("utf-16"), values, types, texts=["encoding: utf-16"]),
        Shape("old_mac.txt", text.replace("\n", "\r").encode(), values, types, texts=["delimiter: ;"]),
        Shape("packed.csv.bz2", bz2.compress(text.encode()), values, types),
        Shape("sep_line.csv", b"sep=;\r\n" + text.replace("\n", "\r\n").encode(), values, types),
    ]
    title = "Weekly export;;;\nCreated on Monday;;;\n"
    body = f"{title}{text}Total;;{sum(n for n in range(1, 150))};\n".encode()
    shapes.append(Shape("title_and_footer.csv", body, values, types, texts=["skipLines, value: 2", "ignoredLines"]))

    good = [[f"s{n}", n, f"a'b {n}" if n % 2 else "c\td"] for n in range(1, 80)]
    body = csv_text(["Site", "Count", "Note"], good, delimiter="\t").encode()
    shapes.append(
        Shape(
            "tabs.tsv",
            body,
            columns_of(read_csv(body, delimiter="\t"), site=str, count=int, note=str),
            {"count": "integer"},
        )
    )
    body = csv_text(["site", "count", "note"], good, delimiter="|", quotechar="'", quoting=csv.QUOTE_ALL).encode()
    shapes.append(
        Shape(
            "pipes_and_single_quotes.txt",
            body,
            columns_of(read_csv(body, delimiter="|", quotechar="'"), site=str, count=int, note=str),
            {"count": "integer"},
            texts=["delimiter: '|'", "quote, value: ''''"],
        )
    )
    body = csv_text(
        ["site", "count", "note"],
        [[site, count, f'he said "{note}"'] for site, count, note in good],
        escapechar="\\",
        doublequote=False,
        quoting=csv.QUOTE_ALL,
    ).encode()
    shapes.append(
        Shape(
            "backslashes.csv",
            body,
            columns_of(read_csv(body, escapechar="\\", doublequote=False), site=str, count=int, note=str),
            texts=["property: escape"],
        )
    )
    rows = [[f"{n:04d}", f"2026-01-{n % 28 + 1:02d}", n * 1.25] for n in range(1, 200)]
    body = csv_text(rows[0], rows[1:]).encode()
    shapes.append(
        Shape(
            "no_header.csv",
            body,
            columns_of([rows[0], *read_csv(body)], column_1=str, column_2=date.fromisoformat, column_3=as_decimal),
            {"column_1": "text", "column_2": "date"},
            key=("column_1",),
            texts=["headerLines, value: 0"],
        )
    )
    rows = [[n, f"a{n}", f"b{n}", "" if n % 3 else n] for n in range(1, 90)]
    body = csv_text(["id", "Name", "name", ""], rows).encode()
    shapes.append(
        Shape(
            "equal_and_empty_names.csv",
            body,
            columns_of(read_csv(body), id=int, name=str, name_2=str, column_4=int),
            {"name_2": "text", "column_4": "integer"},
            texts=["columns are read by their order"],
        )
    )
    archive = io.BytesIO()
    halves = [csv_text(["id", "v"], [[n, n * n] for n in some]) for some in (range(1, 50), range(50, 101))]
    with zipfile.ZipFile(archive, "w") as stream:
        for number, half in enumerate(halves):
            stream.writestr(f"part-{number}.csv", half)
        stream.writestr("README.md", "Nothing of interest.")
    rows = [row for half in halves for row in read_csv(half.encode())]
    shapes.append(
        Shape(
            "members.zip",
            archive.getvalue(),
            columns_of(rows, id=int, v=int),
            {"v": "integer"},
            key=("id",),
            texts=["members, value: '*.csv'"],
        )
    )
    return shapes


def _parquet() -> list[Shape]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = range(1, 101)
    moments = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=n, microseconds=n) for n in numbers]
    table = pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "Share": pa.array([n / 7 for n in numbers], pa.float64()),
            "whole": pa.array([float(n) for n in numbers], pa.float64()),
            "Amount": pa.array([Decimal(n) / 4 if n % 5 else None for n in numbers], pa.decimal128(18, 3)),
            "at": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "local": pa.array([at.replace(tzinfo=None) for at in moments], pa.timestamp("us")),
            "day": pa.array([at.date() for at in moments], pa.date32()),
            "flag": pa.array([n % 2 == 0 for n in numbers], pa.bool_()),
            "code": pa.array([f"{n:05d}" for n in numbers], pa.string()),
            "words": pa.array([["x", str(n)] for n in numbers], pa.list_(pa.string())),
        }
    )
    target = io.BytesIO()
    pq.write_table(table, target, row_group_size=30)
    read = pq.read_table(io.BytesIO(target.getvalue())).to_pydict()
    values = {name.lower(): column for name, column in read.items()}
    types = {
        "id": "bigint",
        "share": "double precision",
        "whole": "double precision",
        "amount": "numeric(18,3)",
        "at": "timestamptz",
        "local": "timestamp",
        "day": "date",
        "flag": "boolean",
        "code": "text",
        "words": "text[]",
    }
    return [Shape("table.parquet", target.getvalue(), values, types, key=("id",), texts=["format: parquet"])]


def _workbooks() -> list[Shape]:
    from openpyxl import Workbook, load_workbook

    def written(*, with_title: bool) -> bytes:
        book = Workbook()
        sheet = book.active
        assert sheet is not None
        sheet.title = "Sales"
        if with_title:
            sheet.append(["Sales of the spring"])
            sheet.append([])
            other = book.create_sheet("Notes")
            other.append(["Ask Ann."])
        sheet.append(["Order No", "Placed on", "Amount", "Customer", "Paid"])
        for n in range(1, 80):
            placed = datetime(2026, 3, n % 28 + 1, tzinfo=UTC).replace(tzinfo=None)
            sheet.append([f"A{n:04d}", placed.date(), n * 1.25, f"Shop {n % 5}" if n % 4 else None, n % 2 == 0])
        target = io.BytesIO()
        book.save(target)
        return target.getvalue()

    def read(body: bytes, first: int) -> dict[str, list[Any]]:
        rows = [*load_workbook(io.BytesIO(body))["Sales"].iter_rows(min_row=first, values_only=True)]
        return columns_of(rows, order_no=str, placed_on=datetime.date, amount=as_decimal, customer=str, paid=bool)

    types = {"order_no": "text", "placed_on": "date", "amount": "numeric(12,2)", "paid": "boolean"}
    plain, titled = written(with_title=False), written(with_title=True)
    return [
        Shape("workbook.xlsx", plain, read(plain, 2), types, key=("order_no",), texts=["format: xlsx"]),
        Shape(
            "titled.xlsx",
            titled,
            read(titled, 4),
            types,
            key=("order_no",),
            texts=["skipLines, value: 2", "sheet, value: Sales", "Other sheets with values: Notes"],
        ),
    ]


def _moments() -> list[Shape]:
    days = [date(2024, 1, 1) + timedelta(days=n * 3) for n in range(150)]
    times = [datetime.combine(day, time(n % 24, n % 60)) for n, day in enumerate(days)]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    header = [
        "id",
        "german",
        "named",
        "american",
        "short",
        "compact_date",
        "sent_at",
        "changed_ts",
        "serial_day",
        "zoned",
    ]
    rows = [
        [
            n,
            f"{at:%d.%m.%Y %H:%M}",
            f"{at.day} {at:%b %Y}",
            f"{at.month}/{at.day}/{at.year} {at:%I:%M %p}",
            f"{at:%d/%m/%y}",
            f"{at:%Y%m%d}",
            int((at.replace(tzinfo=UTC) - epoch).total_seconds()),
            int((at.replace(tzinfo=UTC) - epoch).total_seconds() * 1000) + 5,
            (at.date() - date(1899, 12, 30)).days,
            f"{at:%d/%m/%Y %H:%M:%S} +0200",
        ]
        for n, at in enumerate(times)
    ]
    body = csv_text(header, rows).encode()
    zone = timezone(timedelta(hours=2))
    values = {
        "id": [*range(150)],
        "german": times,
        "named": days,
        "american": times,
        "short": days,
        "compact_date": days,
        "sent_at": [at.replace(tzinfo=UTC) for at in times],
        "changed_ts": [at.replace(tzinfo=UTC) + timedelta(milliseconds=5) for at in times],
        "serial_day": days,
        "zoned": [at.replace(tzinfo=zone).astimezone(UTC) for at in times],
    }
    types = {
        **dict.fromkeys(("german", "american"), "timestamp"),
        **dict.fromkeys(("named", "short", "compact_date", "serial_day"), "date"),
        **dict.fromkeys(("sent_at", "changed_ts", "zoned"), "timestamptz"),
    }
    forms = ["dd.MM.yyyy HH:mm", "d MMM yyyy", "M/d/yyyy hh:mm a", "dd/MM/yy", "pivotYear", "yyyyMMdd", "epoch_seconds"]
    shapes = [Shape("moments_of_all_kinds.csv", body, values, types, texts=[*forms, "value: [excel]", "HH:mm:ss XX"])]

    close = [date(2026, 3, n % 10 + 1) for n in range(40)]
    rows = [[n, f"{day.month}/{day.day}/{day.year}", "plain"] for n, day in enumerate(close)]
    body = csv_text(["id", "day", "word"], rows).encode()
    shapes.append(
        Shape(
            "dates_that_lie_close.csv",
            body,
            columns_of(read_csv(body), id=int, day=slashed("mdy"), word=str),
            {"day": "date"},
            texts=["the month first, because the dates then span 10 days instead of 274"],
        )
    )
    rows = [[n, f"{n % 28 + 1}/{n % 12 + 1}/2025", f"{n % 9 + 1}/{n % 5 + 1}/2025"] for n in range(99)]
    body = csv_text(["id", "sure", "unsure"], rows).encode()
    shapes.append(
        Shape(
            "order_of_the_other_column.csv",
            body,
            columns_of(read_csv(body), id=int, sure=slashed("dmy"), unsure=slashed("dmy")),
            {"unsure": "date"},
            texts=["the day first, as in the other columns"],
        )
    )
    return shapes


def _json() -> list[Shape]:
    records = [
        {
            "orderId": n,
            "placed": f"2026-03-01T10:00:{n % 60:02d}Z",
            "total": n * 0.25,
            "customer": {"name": f"Ann {n}", "address": {"city": "Leeds" if n % 2 else None, "zip": f"0{n}"}},
            "tags": ["a", n],
            "words": ["b", f"c{n}"],
            "open": n % 3 == 0,
        }
        for n in range(1, 90)
    ]
    values = {
        "order_id": [one["orderId"] for one in records],
        "placed": [instant(str(one["placed"])) for one in records],
        "total": [as_decimal(one["total"]) for one in records],
        "customer_name": [f"Ann {n}" for n in range(1, 90)],
        "customer_address_city": ["Leeds" if n % 2 else None for n in range(1, 90)],
        "customer_address_zip": [f"0{n}" for n in range(1, 90)],
        "tags": [one["tags"] for one in records],
        "words": [one["words"] for one in records],
        "open": [one["open"] for one in records],
    }
    types = {
        "order_id": "integer",
        "placed": "timestamptz",
        "total": "numeric(12,2)",
        "open": "boolean",
        "tags": "jsonb",
    }
    types["words"] = "text[]"
    key = ("order_id",)
    lines = "\n".join(map(json.dumps, records))
    pretty = "\n".join(json.dumps(one, indent=1) for one in records)
    wrapped = json.dumps({"page": 4, "data": {"orders": records}}, indent=2)
    return [
        Shape("lines.jsonl", lines.encode(), values, types, key=key),
        Shape("array.json", json.dumps(records).encode(), values, types, key=key),
        Shape("pretty.ndjson", pretty.encode(), values, types, key=key),
        Shape("lines_without_ending.dat", lines.encode(), values, types, texts=["format: json"]),
        Shape(
            "wrapped.json",
            wrapped.encode(),
            {**values, "page": [4] * len(records)},
            types,
            texts=["recordPath, value: data.orders"],
        ),
        Shape("utf_16.json", json.dumps(records, ensure_ascii=False).encode("utf-16"), values, types),
    ]


def as_decimal(value: Any) -> Decimal:
    return Decimal(str(value))


SHAPES: list[Shape] = [*_plain(), *_numbers(), *_dialects(), *_json(), *_moments(), *_parquet(), *_workbooks()]
