"""Writes `golden.json`: what the real channels_redis puts on the wire, for the tests of `src/channel/bus`.

    "$(tests/interop/venv.sh)"/bin/python tests/interop/golden.py            # write it anew
    "$(tests/interop/venv.sh)"/bin/python tests/interop/golden.py --check    # does the committed one still hold?

Clock and randomness are fixed, so that two runs write the same file. Payloads are hexadecimal. Both layers send through a Redis
of their own, which is started on a free port and ended again.
"""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from unittest import mock

from channels.consumer import get_handler_name
from channels.layers import BaseChannelLayer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer
from channels_redis.utils import _consistent_hash
from redis import asyncio as redis

GOLDEN = Path(__file__).with_name("golden.json")

# 2024-01-01T00:00:00Z, and a little.
NOW = 1_704_067_200.25
PREFIXES = ["asgi", "myapp"]
KEYS = ["a configured key", "an older key"]
GROUPS = ["chat_456", "conversation_456", "user_7_notifications", "presence_2", "general_chat_notifications"]

NAMES = [
    *GROUPS,
    "",
    "a",
    "A-b_c.9",
    "x" * 99,
    "x" * 100,
    "é" * 10,
    "with space",
    "with:colon",
    "specific.0123456789abcdef0123456789abcdef!",
    "specific.0123456789abcdef0123456789abcdef!user_7_notifications",
    "specific.0123456789abcdef0123456789abcdef!é",
    "specific.0123456789abcdef0123456789abcdef!²",
    "specific.0123456789abcdef0123456789abcdef!a!b",
    "specific.0123456789abcdef0123456789abcdef!a b",
    "!local",
    "new\nline",
    "a!\n",
]

MESSAGE = {
    "id": 123,
    "conversation_id": 456,
    "sender": {"id": 1, "username": "john_doe", "profile_picture": "https://example.com/photo.jpg"},
    "content": "Hello, how are you? é😀",
    "created_at": "2024-01-01T00:00:00Z",
    "is_read": False,
    "attachment": None,
}
FLAT = {
    "id": 123,
    "content": "Hello",
    "sender_id": 1,
    "sender_username": "john_doe",
    "sender_profile_picture": None,
    "created_at": "2024-01-01T00:00:00Z",
}
MATCH = {
    "type": "new_match",
    "match": {
        "id": 1,
        "user": {"id": 2, "username": "jane_doe", "profile_picture": None},
        "created_at": "2024-01-01T00:00:00Z",
    },
}

# One of each event that Django publishes, by name.
EVENTS = {
    "match_notification": ("user_7_notifications", {"type": "match_notification", "data": MATCH}),
    "match.notification": ("user_7_notifications", {"type": "match.notification", "data": MATCH}),
    "notification": ("user_7_notifications", {"type": "notification", "notification": {"title": "Hi", "n": 1}}),
    "chat_message": ("chat_456", {"type": "chat_message", "message": MESSAGE}),
    "chat.message": ("conversation_456", {"type": "chat.message", "message": MESSAGE | {"seq": 120}}),
    "flat inside": ("chat_456", {"type": "chat_message", "message": FLAT}),
    "flat outside": (
        "chat_456",
        {
            "type": "chat_message",
            "message": "Hello",
            "message_id": 123,
            "sender_id": 1,
            "sender_username": "john_doe",
            "sender_profile_picture": None,
            "timestamp": "2024-01-01T00:00:00Z",
        },
    ),
    "new_message": ("user_7_notifications", {"type": "new_message", "conversation_id": 456, "message": MESSAGE}),
    "user_typing": ("chat_456", {"type": "user_typing", "user_id": 1, "username": "john_doe", "is_typing": True}),
    "typing_indicator": ("chat_456", {"type": "typing_indicator", "user_id": 1, "is_typing": False}),
    "read_receipt": (
        "chat_456",
        {"type": "read_receipt", "message_id": 123, "user_id": 1, "username": "john_doe", "timestamp": "2024-01-01T00:00:00Z"},
    ),
    "user_status": ("presence_2", {"type": "user_status", "user_id": 2, "status": "online", "is_online": True}),
    "conversation_update": ("user_7_notifications", {"type": "conversation_update", "event": "conversation.create", "data": {"id": 456}}),
    "system_alert": ("general_chat_notifications", {"type": "system_alert", "data": {"level": "info", "title": "T"}}),
    "send_notification": ("user_7_notifications", {"type": "send_notification", "title": "T", "rate": 0.5}),
    "any other name": ("chat_456", {"type": "weather.report", "sky": ["blue", "grey"]}),
    "a leading underscore": ("chat_456", {"type": "_private", "x": 1}),
    "a leading dot": ("chat_456", {"type": ".private", "x": 1}),
    "no type": ("chat_456", {"message": MESSAGE}),
    "a type that is no text": ("chat_456", {"type": 7}),
}

# Every form that msgpack gives a value.
FORMS = {
    "null": None,
    "booleans": [True, False],
    "integers": [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1],
    "negatives": [-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63)],
    "floats": [0.0, -0.5, 0.1, 1e300],
    "texts": ["", "a" * 31, "b" * 32, "c" * 255, "d" * 256, "é😀\n\"\\\x00"],
    "lists": [[], list(range(15)), list(range(16))],
    "maps": [{}, {str(i): i for i in range(15)}, {str(i): i for i in range(16)}],
    "deep": {"a": [{"b": {"c": [None]}}]},
}


def names():
    """Which names are valid, and what they become on Redis."""
    layer = BaseChannelLayer()

    def is_valid(check, name):
        try:
            return check(name)
        except TypeError:
            return False

    return [
        {
            "name": name,
            "group": is_valid(layer.require_valid_group_name, name),
            "channel": is_valid(layer.require_valid_channel_name, name),
            "queue": layer.non_local_name(name),
        }
        for name in NAMES
    ]


def keys():
    return [
        {
            "prefix": prefix,
            "group": group,
            "pubsub": RedisPubSubLoopLayer(prefix=prefix)._get_group_channel_name(group),
            "core": RedisChannelLayer(prefix=prefix)._group_key(group).decode(),
        }
        for prefix in PREFIXES
        for group in GROUPS
    ]


def hosts():
    """The shard of names over 1 to 16 hosts."""
    rng = random.Random(1)
    names = [*GROUPS, *(f"asgi__group__{group}" for group in GROUPS)]
    names += [f"chat_{rng.randrange(10**9)}" for _ in range(60)]
    names += ["specific.0123456789abcdef0123456789abcdef!", "", "é"]
    return [{"name": name, "shards": [_consistent_hash(name, n) for n in range(1, 17)]} for name in names]


def payloads(layers):
    """What a layer makes of one message, in each configuration."""
    messages = [
        {"type": "chat_message", "message": MESSAGE},
        {"type": "x", "__asgi_channel__": ["specific.ab!c", "specific.ab!d"]},
        {"type": "x", "__asgi_channel__": "specific.ab!c"},
        {},
    ]
    return [
        {
            "layer": layer_name,
            "format": serializer,
            "keys": keys,
            "message": message,
            "payload": layer.serialize(message).hex(),
        }
        for layer_name, serializer, keys, layer in layers
        for message in messages
    ]


def forms():
    """Each form of a value, under the key "value"."""
    layer = RedisPubSubChannelLayer()
    return [
        {"name": name, "value": value, "payload": layer.serialize({"value": value}).hex()}
        for name, value in FORMS.items()
    ]


def layers():
    for serializer in ["msgpack", "json"]:
        for keys in [[], KEYS[:1], KEYS]:
            config = {"serializer_format": serializer, "symmetric_encryption_keys": keys}
            yield "core", serializer, keys, RedisChannelLayer(**config)
            yield "pubsub", serializer, keys, RedisPubSubChannelLayer(**config)


def handlers():
    """The method of a consumer that each `type` calls; null where Channels refuses it."""

    def handler(kind):
        try:
            return get_handler_name({"type": kind})
        except ValueError:
            return None

    kinds = ["chat.message", "chat_message", "a.b.c", "_private", ".private", "", "new_message"]
    return [{"type": kind, "handler": handler(kind)} for kind in kinds]


async def sent(port):
    """Each event through both layers and a real Redis: where it arrived, and as what bytes."""
    host = f"redis://127.0.0.1:{port}"
    raw = redis.Redis.from_url(host)
    core = RedisChannelLayer(hosts=[host], capacity=1500)
    pubsub = RedisPubSubChannelLayer(hosts=[host])
    listener = raw.pubsub()
    await listener.psubscribe("*")
    await listener.get_message(timeout=5)
    told = []
    for name, (group, message) in EVENTS.items():
        node = f"specific.0123456789abcdef0123456789abcdef!{group}"
        await core.group_add(group, node)
        await core.group_send(group, message)
        queue = "asgispecific.0123456789abcdef0123456789abcdef!"
        assert sorted(await raw.keys("*")) == sorted([queue.encode(), f"asgi:group:{group}".encode()])
        [(member, score)] = await raw.zrange(queue, 0, -1, withscores=True)
        assert score == NOW and await raw.zrange(f"asgi:group:{group}", 0, -1) == [node.encode()]
        await raw.flushall()
        await pubsub.group_send(group, message)
        published = await listener.get_message(timeout=5)
        told.append(
            {
                "name": name,
                "group": group,
                "message": message,
                "core": {"queue": queue, "channel": node, "payload": member.hex()},
                "pubsub": {"channel": published["channel"].decode(), "payload": published["data"].hex()},
            }
        )
    await core.close_pools()
    await pubsub.flush()
    await listener.aclose()
    await raw.aclose()
    return told


class Redis:
    """A Redis of one's own on a free port."""

    def __enter__(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.directory = tempfile.TemporaryDirectory()
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.server = subprocess.Popen(
            ["redis-server", *options, "--dir", self.directory.name], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                if time.monotonic() > deadline:
                    self.__exit__()
                    raise
                time.sleep(0.01)

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait()
        self.directory.cleanup()


def golden(port):
    rng = random.Random(2)
    with (
        mock.patch("time.time", lambda: NOW),
        mock.patch("random.getrandbits", rng.getrandbits),
        mock.patch("os.urandom", rng.randbytes),
        mock.patch("uuid.uuid4", lambda: uuid.UUID(int=rng.getrandbits(128))),
    ):
        return {
            "made_with": {name: version(name) for name in ["channels", "channels_redis", "redis", "msgpack", "cryptography"]},
            "now": NOW,
            "names": names(),
            "keys": keys(),
            "hosts": hosts(),
            "handlers": handlers(),
            "forms": forms(),
            "payloads": payloads(layers()),
            "sent": asyncio.run(sent(port)),
        }


def lines(sections):
    """JSON with one entry a line, so that a difference shows where it is."""

    def shown(section):
        if isinstance(section, list):
            return "[\n" + ",\n".join(json.dumps(entry) for entry in section) + "\n]"
        return json.dumps(section)

    return "{\n" + ",\n".join(f'"{name}": {shown(section)}' for name, section in sections.items()) + "\n}\n"


def main():
    with Redis() as server:
        text = lines(golden(server.port))
    if sys.argv[1:] == ["--check"]:
        if GOLDEN.read_text() != text:
            sys.exit(f"{GOLDEN} is not what channels_redis says now")
        print("golden.json holds")
    else:
        GOLDEN.write_text(text)


if __name__ == "__main__":
    main()
