"""Real consumers of Django Channels, and what their clients would get.

    python listen.py CONFIG       CONFIG as django_layer.py has it, and "consumers": {"name": ["group", …]}

Each consumer is in its groups and has a handler for every event that the Django project publishes, and for no other: it ends at
the first one that it does not know. It prints a line for what it handles, `{"consumer": …, "handler": …, "event": …}`, and for
one that ends, `{"consumer": …, "died": …}`.
"""

import asyncio
import json
import sys

from channels.generic.websocket import AsyncWebsocketConsumer
from django_layer import configure, connect, say

HANDLERS = [
    "match_notification",
    "notification",
    "chat_message",
    "new_message",
    "user_typing",
    "typing_indicator",
    "read_receipt",
    "user_status",
    "conversation_update",
    "system_alert",
    "send_notification",
]
GROUPS = {}


class Consumer(AsyncWebsocketConsumer):
    async def connect(self):
        self.name = self.scope["path"].strip("/")
        for group in GROUPS[self.name]:
            await self.channel_layer.group_add(group, self.channel_name)
        await self.accept()


def handler(name):
    async def handle(self, event):
        await self.send(text_data=json.dumps({"consumer": self.name, "handler": name, "event": event}))

    return handle


for name in HANDLERS:
    setattr(Consumer, name, handler(name))


async def relay(communicator):
    while True:
        say(json.loads((await communicator.output_queue.get())["text"]))


async def main():
    _, asked = configure(sys.argv[1])
    GROUPS.update(asked["consumers"])
    application = Consumer.as_asgi()
    communicators = {name: await connect(application, f"/{name}/") for name in GROUPS}
    lives = {communicator.future: name for name, communicator in communicators.items()}
    relays = [asyncio.ensure_future(relay(communicator)) for communicator in communicators.values()]
    end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    say({"ready": True})
    while not end.done():
        done, _ = await asyncio.wait({end, *lives}, return_when=asyncio.FIRST_COMPLETED)
        for future in done - {end}:
            say({"consumer": lives.pop(future), "died": repr(future.exception())})
    for task in relays:
        task.cancel()
    for future in lives:
        future.cancel()


if __name__ == "__main__":
    asyncio.run(main())
