"""Sockets by their paths."""

from django.urls import path

from conversations import consumers

sockets = [
    path("ws/chat/", consumers.MainChatConsumer.as_asgi()),
    path("ws/conversations/<int:conversation_id>/", consumers.ChatConsumer.as_asgi()),
    path("ws/notifications/", consumers.NotificationConsumer.as_asgi()),
    path("_echo", consumers.EchoConsumer.as_asgi()),
]
