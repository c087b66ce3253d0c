"""What uvicorn runs: sockets by Channels, everything else by Django."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fortifun.settings")
http = get_asgi_application()

# Models can be imported from here on.
from accounts.middleware import AppwriteAuthMiddleware  # noqa: E402
from conversations.routing import sockets  # noqa: E402

application = ProtocolTypeRouter(
    {"http": http, "websocket": AppwriteAuthMiddleware(URLRouter(sockets))}
)
