#!/usr/bin/env python3
"""table - what `make chaos` has counted, as a table: for the terminal, or in Markdown for docs/reliability.md.

usage: tests/chaos/table.py [build/chaos/chaos.json...]       several: parts of one run (ONLY=)"""
import json
import sys

COLUMNS = {"runs": "runs", "bytes": "bytes", "cuts": "cuts", "lost": "lost", "repeated": "repeated",
           "wrong_codes": "wrong codes", "twice": "twice", "hangs": "hangs", "other": "other"}


def amount(n):
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"


def rows(report):
    total = dict.fromkeys(COLUMNS, 0)
    for fault in report["faults"]:
        if fault["skipped"]:
            yield [fault["fault"], "skipped: " + fault["skipped"]] + [""] * (len(COLUMNS) - 1), {}
            continue
        for field in COLUMNS:
            total[field] += fault["counts"][field]
        yield line(fault["fault"], fault["counts"]), fault["facts"]
    yield line("all", total), {}


def line(title, counts):
    return [title] + [amount(n) if field == "bytes" else f"{n:,}" for field, n in counts.items() if field in COLUMNS]


def as_text(report):
    table = [["fault", *COLUMNS.values()]] + [row for row, _ in rows(report)]
    widths = [max(len(row[i]) for row in table if row[1][:7] != "skipped") for i in range(len(table[0]))]
    widths[0] = max(len(row[0]) for row in table)
    return "\n".join("  ".join([row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]).rstrip()
                     for row in table)


def as_markdown(report):
    out = ["| fault | " + " | ".join(COLUMNS.values()) + " | measured |", "|---|" + "---:|" * len(COLUMNS) + "---|"]
    for row, facts in rows(report):
        if row[1].startswith("skipped"):
            row = row[:1] + [""] * len(COLUMNS)
        out.append("| " + " | ".join(row + [", ".join(f"{name} {value}" for name, value in facts.items())]) + " |")
    return "\n".join(out)


if __name__ == "__main__":
    faults = []
    for name in sys.argv[1:] or ["build/chaos/chaos.json"]:
        with open(name, encoding="utf-8") as file:
            faults += json.load(file)["faults"]
    print(as_markdown({"faults": faults}))
