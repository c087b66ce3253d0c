"""Counts what the Autobahn Testsuite found, and fails where a case is not conformant or was not run.

Usage: autobahn_report.py INDEX_JSON WSTEST_LOG
"""

import json
import re
import sys
from collections import Counter

CONFORMANT = ("OK", "NON-STRICT", "INFORMATIONAL")


def announced(log):
    """How many cases the suite said it would run; None where it did not come so far."""
    found = re.search(r"will run (\d+) test cases", log)
    return int(found.group(1)) if found else None


def case_key(case):
    """1.10.2 comes after 1.9.1."""
    return [int(part) for part in case.split(".")]


def main(index_path, log_path):
    with open(log_path, encoding="utf-8", errors="replace") as log_file:
        log = log_file.read()
    try:
        with open(index_path, encoding="utf-8") as index_file:
            agents = json.load(index_file)
    except OSError as error:
        print(log[-2000:], file=sys.stderr)
        print(f"autobahn: no results: {error}", file=sys.stderr)
        return 1
    (results,) = agents.values()
    behavior = Counter(result["behavior"] for result in results.values())
    closing = Counter(result["behaviorClose"] for result in results.values())
    for case in sorted(results, key=case_key):
        result = results[case]
        told = (result["behavior"], result["behaviorClose"])
        if told[0] != "OK" or told[1] not in ("OK", "INFORMATIONAL"):
            print(f"autobahn: case {case}: {told[0]}, closing {told[1]}")
    bad = sum(
        result["behavior"] not in CONFORMANT or result["behaviorClose"] not in CONFORMANT
        for result in results.values()
    )
    expected = announced(log)
    for title, counts in (("behavior", behavior), ("closing", closing)):
        told = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        print(f"autobahn: {title}: {told}")
    verdict = "FAILED" if bad or len(results) != expected else "passed"
    print(f"autobahn: {verdict}: {len(results)} of {expected} cases ran, {bad} not conformant")
    return 0 if verdict == "passed" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
