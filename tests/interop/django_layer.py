"""Django's channel layer as a project configures it, from a JSON text:

    {"layer": "core" | "pubsub", "hosts": ["redis://…"], "keys": ["…"], "capacity": 1500}
"""

import json

from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.conf import settings

BACKENDS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


def configure(text):
    """Configures Django; returns the layer and all that was asked for."""
    asked = json.loads(text)
    config = {"hosts": asked["hosts"], "symmetric_encryption_keys": asked.get("keys", [])}
    if asked["layer"] == "core":
        config |= {"capacity": asked.get("capacity", 1500), "expiry": 60}
    backend = BACKENDS[asked["layer"]]
    settings.configure(CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": config}})
    return get_channel_layer(), asked


async def connect(application, path):
    """A client of a consumer, accepted."""
    scope = {"type": "websocket", "path": path, "headers": [], "subprotocols": []}
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "websocket.connect"})
    answer = await communicator.receive_output(timeout=30)
    assert answer["type"] == "websocket.accept", answer
    return communicator


def say(told):
    """One line for whoever started this process."""
    print(json.dumps(told), flush=True)
