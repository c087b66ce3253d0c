"""The three consumers of the app, and one that sends back what comes.

A message costs four statements of their own, as in the app: who may speak, the message, the conversation's time, the sender's.
"""

import json

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from django.utils import timezone

from accounts.models import User
from conversations.models import Conversation, Message, MessageRead


def now():
    return timezone.now().isoformat()


class UserConsumer(AsyncJsonWebsocketConsumer):
    """A socket of one user, in groups."""

    async def connect(self):
        self.user = self.scope["user"]
        self.joined = []
        if self.user is None or not await self.may_enter():
            await self.close(code=4401)
            return
        for group in self.groups_of():
            await self.channel_layer.group_add(group, self.channel_name)
            self.joined.append(group)
        await self.accept()

    async def disconnect(self, code):
        for group in self.joined:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def may_enter(self):
        return True

    async def receive(self, text_data=None, bytes_data=None, **kwargs):
        # What is not an object of JSON is ignored.
        try:
            content = json.loads(text_data)
        except (TypeError, ValueError):
            return
        if isinstance(content, dict):
            await self.receive_json(content)

    async def receive_json(self, content, **kwargs):
        if content.get("type") == "ping":
            await self.send_json({"type": "pong", "timestamp": now()})

    async def match_notification(self, event):
        await self.send_json({"type": "new_match", "data": event["data"]})

    async def user_status(self, event):
        await self.send_json(event)

    async def system_alert(self, event):
        await self.send_json(event)


class MainChatConsumer(UserConsumer):
    """`/ws/chat/`: matches, alerts, who is online."""

    def groups_of(self):
        return [f"user_{self.user.id}_notifications", "general_chat_notifications"]

    async def receive_json(self, content, **kwargs):
        if content.get("type") == "subscribe":
            kind = content.get("subscription_type")
            await self.send_json({"type": "subscribed", "subscription_type": kind})
        else:
            await super().receive_json(content)


class NotificationConsumer(UserConsumer):
    """`/ws/notifications/`: matches and alerts of one user."""

    def groups_of(self):
        return [f"user_{self.user.id}_notifications"]


class ChatConsumer(UserConsumer):
    """`/ws/conversations/ID/`: what is said in one conversation."""

    def groups_of(self):
        return [self.group]

    async def connect(self):
        self.conversation_id = self.scope["url_route"]["kwargs"]["conversation_id"]
        self.group = f"chat_{self.conversation_id}"
        await super().connect()
        if self.joined and await self.turn(online=True):
            await self.tell_status(online=True)

    async def disconnect(self, code):
        await super().disconnect(code)
        if self.joined and await self.turn(online=False):
            await self.tell_status(online=False)

    async def receive_json(self, content, **kwargs):
        kind = content.get("type")
        if kind in ("message", "chat_message"):
            text = str(content.get("content") or content.get("message") or "").strip()
            if text:
                message = await self.store(text)
                await self.tell({"type": "chat_message", "message": message})
        elif kind == "typing":
            typing = bool(content.get("is_typing"))
            await self.tell({"type": "typing_indicator", **self.who(), "is_typing": typing})
        elif kind == "read_receipt":
            message_id = content.get("message_id")
            if isinstance(message_id, int) and await self.mark_read(message_id):
                receipt = {"message_id": message_id, **self.who(), "timestamp": now()}
                await self.tell({"type": "read_receipt", **receipt})
        else:
            await super().receive_json(content)

    async def tell(self, event):
        await self.channel_layer.group_send(self.group, event)

    async def tell_status(self, *, online):
        status = "online" if online else "offline"
        await self.tell({"type": "user_status", **self.who(), "status": status, "timestamp": now()})

    def who(self):
        return {"user_id": self.user.id, "username": self.user.username}

    async def chat_message(self, event):
        await self.send_json({"type": "message", "message": event["message"]})

    async def typing_indicator(self, event):
        if event["user_id"] != self.user.id:
            await self.send_json({**event, "type": "typing"})

    async def read_receipt(self, event):
        await self.send_json(event)

    @database_sync_to_async
    def may_enter(self):
        own = Conversation.objects.filter(id=self.conversation_id, participants=self.user)
        return own.exists()

    @database_sync_to_async
    def store(self, text):
        conversation = Conversation.objects.get(id=self.conversation_id, participants=self.user)
        message = Message.objects.create(
            conversation=conversation, sender=self.user, content=text
        )
        conversation.save(update_fields=["updated_at"])
        User.objects.filter(id=self.user.id).update(last_activity=timezone.now())
        return message.shown()

    @database_sync_to_async
    def mark_read(self, message_id):
        others = Message.objects.filter(conversation_id=self.conversation_id, id__lte=message_id)
        unread = others.exclude(sender=self.user).exclude(reads__user=self.user)
        reads = [MessageRead(message=message, user=self.user) for message in unread]
        MessageRead.objects.bulk_create(reads, ignore_conflicts=True)
        return len(reads) > 0

    @database_sync_to_async
    def turn(self, *, online):
        """Writes that the user comes or goes; true exactly when that is news."""
        user = User.objects.filter(id=self.user.id).exclude(is_online=online)
        return user.update(is_online=online, last_activity=timezone.now()) > 0


class EchoConsumer(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data, bytes_data=bytes_data)
