"""Conversations and messages, in the tables as they are."""

from django.conf import settings
from django.db import models


class Conversation(models.Model):
    id = models.BigAutoField(primary_key=True)
    participants = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        related_name="conversations",
        db_table="conversations_conversation_participants",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        db_table = "conversations_conversation"
        managed = False


class Message(models.Model):
    id = models.BigAutoField(primary_key=True)
    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    sender = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    content = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    is_read = models.BooleanField(default=False)
    attachment = models.CharField(max_length=100, null=True)

    class Meta:
        db_table = "conversations_message"
        managed = False

    def shown(self):
        """The message as clients see it."""
        return {
            "id": self.id,
            "conversation_id": self.conversation_id,
            "sender": {
                "id": self.sender_id,
                "username": self.sender.username,
                "profile_picture": self.sender.profile_picture,
            },
            "content": self.content,
            "created_at": self.created_at.isoformat(),
            "is_read": self.is_read,
            "attachment": self.attachment,
        }


class MessageRead(models.Model):
    id = models.BigAutoField(primary_key=True)
    message = models.ForeignKey(Message, models.CASCADE, related_name="reads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    read_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "conversations_messageread"
        managed = False
        unique_together = [("message", "user")]
