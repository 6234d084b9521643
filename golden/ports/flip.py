"""flip.py FROM TO: copies the vectors, each with one bit of one of its results flipped."""

import json
import pathlib
import sys

source, target = map(pathlib.Path, sys.argv[1:])
target.mkdir(parents=True, exist_ok=True)
for count, path in enumerate(sorted(source.glob("*.json"))):
    vector = json.loads(path.read_text())
    results = [key for key, words in vector.items() if key.split()[0] in ("out", "plain", "fused") and words]
    key = results[count % len(results)]
    words = vector[key].split()
    words[-1] = f"{int(words[-1], 16) ^ 1 << count % 32:08x}"
    vector[key] = " ".join(words)
    (target / path.name).write_text(json.dumps(vector, indent=0) + "\n")
