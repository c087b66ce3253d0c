"""Many consumers of Django Channels in one process and one group, that count what they get and do nothing else.

    python crowd.py CONFIG        CONFIG as django_layer.py has it, and "group" and "consumers", their number

Each line of the input is answered by `{"handled": …, "quiet_s": …}`: how many events all consumers together have handled, and
for how long none of them has.
"""

import asyncio
import sys
import time

from channels.generic.websocket import AsyncWebsocketConsumer
from django_layer import configure, connect, say


class Consumer(AsyncWebsocketConsumer):
    group = ""
    handled = 0
    last = 0.0

    async def connect(self):
        await self.channel_layer.group_add(Consumer.group, self.channel_name)
        await self.accept()

    async def notification(self, _event):
        Consumer.handled += 1
        Consumer.last = time.monotonic()


async def main():
    _, asked = configure(sys.argv[1])
    Consumer.group = asked["group"]
    application = Consumer.as_asgi()
    communicators = [await connect(application, f"/{n}/") for n in range(asked["consumers"])]
    say({"ready": True})
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        say({"handled": Consumer.handled, "quiet_s": time.monotonic() - Consumer.last})
    for communicator in communicators:
        communicator.future.cancel()


if __name__ == "__main__":
    asyncio.run(main())
