# SPDX-License-Identifier: GPL-2.0
"""Keeps the figures of fuzzing in one file of the tree.

fuzz-record.py RECORD executions COUNTS           adds what COUNTS has, and empties it
fuzz-record.py RECORD coverage JSONL REVISION     replaces the coverage

RECORD is JSON:

{
  "executions": [
    {"revision": "...", "target": "...", "executions": N, "seconds": N, "runs": N,
     "first": "YYYY-MM-DD", "last": "YYYY-MM-DD"}, ...
  ],
  "total": {"executions": N, "seconds": N, "targets": {"TARGET": N, ...}},
  "coverage": {"revision": "...", "targets": {"TARGET": {"subject": [FILE...],
     "lines": {"covered": N, "all": N}, "regions": {...}}, ...}}
}
"""

import json
import os
import sys


def add(record, counts):
    """Adds the lines of counts: target, executions, seconds, day, revision."""
    rows = {(row["revision"], row["target"]): row for row in record["executions"]}
    for line in counts:
        target, executions, seconds, day, revision = line.rstrip("\n").split("\t")
        row = rows.setdefault(
            (revision, target),
            {"revision": revision, "target": target, "executions": 0, "seconds": 0, "runs": 0,
             "first": day, "last": day},
        )
        row["executions"] += int(executions)
        row["seconds"] += int(seconds)
        row["runs"] += 1
        row["first"] = min(row["first"], day)
        row["last"] = max(row["last"], day)
    record["executions"] = sorted(rows.values(), key=lambda row: (row["first"], row["revision"], row["target"]))
    targets = {}
    for row in record["executions"]:
        targets[row["target"]] = targets.get(row["target"], 0) + row["executions"]
    record["total"] = {
        "executions": sum(targets.values()),
        "seconds": sum(row["seconds"] for row in record["executions"]),
        "targets": targets,
    }


def main():
    path, what, source, *revision = sys.argv[1:]
    record = {"executions": [], "total": {}, "coverage": {}}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
    taken = None
    if what == "executions":
        # A run that goes on meanwhile begins a new file.
        taken = source + ".taken"
        if os.path.exists(source) and not os.path.exists(taken):
            os.rename(source, taken)
        if not os.path.exists(taken):
            print("nothing to record", file=sys.stderr)
            return
        with open(taken, encoding="utf-8") as file:
            add(record, file)
    else:
        with open(source, encoding="utf-8") as file:
            targets = [json.loads(line) for line in file]
        record["coverage"] = {
            "revision": revision[0],
            "targets": {target.pop("target"): target for target in targets},
        }
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    os.replace(path + ".tmp", path)
    if taken:
        os.remove(taken)
    print(f"{record['total'].get('executions', 0)} executions in all")


main()
