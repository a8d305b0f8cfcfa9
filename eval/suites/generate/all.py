"""Writes every suite that is generated, or checks that the stored ones are what the scripts write.

    python3 eval/suites/generate/all.py            writes eval/suites/NAME.jsonl
    python3 eval/suites/generate/all.py --check    compares and runs the self-tests; exit code 1 and the reasons if anything differs
    python3 eval/suites/generate/all.py --counts   items and clusters by split and slice

Python 3.9 or newer and its standard library are all it needs.
"""

import importlib
import sys

import suitefile
import verify

GENERATORS = ["extraction", "classification", "safety", "tools", "portability"]


def main(arguments):
    if arguments not in ([], ["--check"], ["--counts"]):
        sys.exit(f"unknown arguments {arguments}; there are --check and --counts")
    faults = []
    for module in map(importlib.import_module, GENERATORS):
        items = module.items()
        path = suitefile.path_of(module.NAME)
        wanted = suitefile.text_of(items).encode()
        if arguments == ["--check"] and (not path.exists() or path.read_bytes() != wanted):
            faults.append(f"{path.name} is not what generate/{module.__name__}.py writes; run all.py without --check and commit both")
        header = path.with_suffix(".yaml").read_text(encoding="utf-8")
        faults += verify.faults(module.NAME, header, items, wanted)
        if hasattr(module, "faults"):
            faults += [f"{module.NAME} {fault}" for fault in module.faults(items)]
        if not arguments:
            suitefile.write(module.NAME, items)
        if arguments != ["--check"]:
            print(f"{module.NAME}\n{verify.counts(items)}")
    if faults:
        sys.exit("\n".join(faults))
    if arguments == ["--check"]:
        print(f"{len(GENERATORS)} suites are what their scripts write, and their self-tests pass")


if __name__ == "__main__":
    main(sys.argv[1:])
