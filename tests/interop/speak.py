"""Publishes events as Django's views do, and in bursts as its workers do.

    python speak.py CONFIG        CONFIG as django_layer.py has it

Each line of the input is `{"group": …, "event": {…}}`, or `{"group": …, "burst": 2000, "name": …}` for so many notifications
that count from 0; each is answered by `{"sent": …}`.
"""

import asyncio
import json
import sys

from asgiref.sync import async_to_sync
from django_layer import configure, say


async def burst(layer, group, count, name):
    for n in range(count):
        await layer.group_send(group, {"type": "notification", "notification": {"of": name, "n": n}})


def main():
    layer, _ = configure(sys.argv[1])
    say({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        if "burst" in order:
            asyncio.run(burst(layer, order["group"], order["burst"], order["name"]))
            say({"sent": order["burst"]})
        else:
            async_to_sync(layer.group_send)(order["group"], order["event"])
            say({"sent": 1})


if __name__ == "__main__":
    main()
