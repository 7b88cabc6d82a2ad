# SPDX-License-Identifier: GPL-2.0
"""Keeps the figures of torture in one file of the tree.

torture-record.py RECORD LOG REVISION     adds what LOG, of a run that passed, has counted

RECORD is JSON:

{
  "runs": [
    {"date": "YYYY-MM-DD", "revision": "...", "kernel": "...", "checks": "debug" or "plain",
     "seed": N, "seconds": N, "counted": {"transitions": N, "faults": N, ...}}, ...
  ],
  "total": {"seconds": N, "counted": {...}}
}
"""

import datetime
import json
import os
import sys

MARK = "# counted: "


def counted(log):
    """The words of the line that says it, in pairs."""
    lines = [line[len(MARK):].split() for line in log if line.startswith(MARK)]
    if len(lines) != 1:
        sys.exit(f"{len(lines)} lines with counts, not one")
    words = lines[0]
    return dict(zip(words[::2], words[1::2]))


def main():
    path, log, revision = sys.argv[1:]
    record = {"runs": []}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
    with open(log, encoding="utf-8") as file:
        said = counted(file)
    run = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "revision": revision,
        "kernel": said.pop("kernel"),
        "checks": said.pop("checks"),
        "seed": int(said.pop("seed")),
        "seconds": int(said.pop("seconds")),
        "counted": {name: int(count) for name, count in said.items()},
    }
    record["runs"].append(run)
    total = {}
    for done in record["runs"]:
        for name, count in done["counted"].items():
            total[name] = total.get(name, 0) + count
    record["total"] = {
        "seconds": sum(done["seconds"] for done in record["runs"]),
        "counted": total,
    }
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    os.replace(path + ".tmp", path)
    print(f"{total['transitions']} transitions in all")


main()
