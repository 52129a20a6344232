"""Building blocks of gates: slices of test rows, the values measured on them, conditions and verdicts."""
