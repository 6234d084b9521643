"""Writes four IDX files of noise around ten patterns: images.py FOLDER ROWS, for checks without MNIST."""

import pathlib
import random
import struct
import sys

folder, rows = pathlib.Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
draw = random.Random(rows)
patterns = [[draw.choice([0, 160]) for _ in range(rows * rows)] for _ in range(10)]
for name, count in [("train", 400), ("t10k", 40)]:
    labels = bytes(i % 10 for i in range(count))
    pixels = bytes(max(0, pixel + draw.randrange(-90, 90)) for label in labels for pixel in patterns[label])
    (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, count) + labels)
    (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">iiii", 2051, count, rows, rows) + pixels)
