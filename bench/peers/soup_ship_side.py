"""Soup's ship gate on pairs of scores, called by bench/ship_gate.py in Soup's environment.

The argument is a JSON file with a list of pairs: task and benchmarks, each with the scores (base, tuned). For each pair
the decision and the rule that failed are printed as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from soup_cli.utils.ship_verdict import build_task_win, compute_benchmark_deltas, decide_ship

for pair in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
    win = build_task_win("metric", *pair["task"])
    base, tuned = ({name: scores[side] for name, scores in pair["benchmarks"].items()} for side in (0, 1))
    verdict = decide_ship(win, compute_benchmark_deltas(base, tuned))
    print(json.dumps({"decision": verdict.decision, "failed": verdict.failed_rule}))
