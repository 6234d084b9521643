"""Checks that docs/porting.md has every name in the vectors and every constant in the ports. What it says of them only a
reader can check; what it leaves out is found here."""

import json
import pathlib
import re
import sys

root = pathlib.Path(__file__).parents[2]
page = (root / "docs/porting.md").read_text()
words = set(re.findall(r"[A-Za-z0-9_]+", page))

names, constants = set(), set()
for path in (root / "golden/vectors").glob("*.json"):
    vector = json.loads(path.read_text())
    names |= {vector.pop("kernel")} | {key.split()[2] for key in vector}
for path in (root / "golden/ports").glob("*/drmad.*"):
    text = path.read_text()
    constants |= {word.lower() for word in re.findall(r"0x([0-9a-fA-F]{8}(?:[0-9a-fA-F]{8})?)\b", text)}
    for words_of in re.findall(r'hexes\("([0-9a-f ]+)"\)', text):
        constants |= set(words_of.split())
constants -= {"ffffffff"}  # the mask of a word

missing = sorted((names | constants) - words)
print(f"docs/porting.md: {len(names)} names of the vectors and {len(constants)} constants of the ports, {len(missing)} missing")
if missing:
    sys.exit("not on the page: " + " ".join(missing))
