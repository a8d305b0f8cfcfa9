"""Adds the ledger up again, from its SQLite file alone: `recompute.py DATABASE RATES.json`.

RATES.json: { "vendor/model": { "input": "0.15", … } } in US dollars per million tokens (of tools: per use), as decimals in texts. Prints what
the sums are, and every attempt whose cost is not what these rates make of its tokens.
"""

import json
import sqlite3
import sys
from fractions import Fraction


def cost_micros(row, rates):
    """Rounded once, half up."""
    parts = {
        "cached_input": row["cached_tokens"],
        "cache_write_1h": row["cache_write_1h_tokens"],
        "cache_write": row["cache_write_tokens"] - row["cache_write_1h_tokens"],
        "audio_input": row["audio_input_tokens"],
    }
    parts["input"] = row["input_tokens"] - row["unbilled_input_tokens"] - sum(parts.values())
    parts["audio_output"] = row["audio_output_tokens"]
    parts["output"] = row["output_tokens"] - row["unbilled_output_tokens"] - row["audio_output_tokens"]
    exact = sum((Fraction(rates.get(kind, "0")) * tokens for kind, tokens in parts.items()), Fraction(0))
    if row["service"] == "batch":
        exact = exact * Fraction(rates["batch"])
    # Fees are dollars for each use, whatever the class of service.
    for kind, uses in (("web_search", "web_searches"), ("file_search", "file_searches"), ("code_session", "code_sessions")):
        exact += Fraction(rates.get(kind, "0")) * 1_000_000 * row[uses]
    return int(exact + Fraction(1, 2))


def main(database, rates):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    ids = [row["id"] for row in connection.execute("SELECT id FROM calls")]
    wrong = []
    for row in connection.execute("SELECT * FROM attempts"):
        known = rates.get(f"{row['vendor']}/{row['model']}")
        if row["cost_micros"] is None:
            expected = None if known is None else -1
        elif known is None:
            expected = 0
        else:
            expected = cost_micros(row, known)
        if row["cost_micros"] != expected:
            wrong.append({**dict(row), "expected": expected})
    by = {}
    for row in connection.execute(
        "SELECT c.tenant, c.feature, a.model, sum(a.cost_micros), sum(a.input_tokens), sum(a.output_tokens) "
        "FROM attempts a JOIN calls c ON c.id = a.call_id GROUP BY 1, 2, 3"
    ):
        by["|".join(str(part) for part in tuple(row)[:3])] = list(tuple(row)[3:])
    total = connection.execute("SELECT coalesce(sum(cost_micros), 0) FROM attempts").fetchone()[0]
    used = connection.execute("SELECT coalesce(sum(cost_micros), 0) FROM used").fetchone()[0]
    open_ = connection.execute(
        "SELECT coalesce(sum(cost_micros), 0) FROM attempts WHERE call_id IN (SELECT id FROM calls WHERE ending = 'open')"
    ).fetchone()[0]
    json.dump(
        {
            "calls": len(ids),
            "distinct": len(set(ids)),
            "total_micros": total,
            "hourly_micros": used + open_,
            "by_tenant_feature_model": by,
            "wrong": wrong[:5],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    with open(sys.argv[2], encoding="utf-8") as file:
        main(sys.argv[1], json.load(file))
