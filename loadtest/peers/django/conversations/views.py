"""A user's conversations, opening one, and what was said in it."""

from django.core.signals import request_finished
from django.db import connections
from django.dispatch import receiver
from django.shortcuts import get_object_or_404
from rest_framework.decorators import api_view
from rest_framework.response import Response

from accounts.models import User
from conversations.models import Conversation, Message

PAGE = 50


@receiver(request_finished)
def let_go(**kwargs):
    """Under ASGI each request has a thread of its own, which would leave its connection behind."""
    connections.close_all()


@api_view(["GET", "POST"])
def conversations(request):
    if request.method == "GET":
        own = Conversation.objects.filter(participants=request.user).order_by("-updated_at")
        return Response([opened(conversation) for conversation in own])
    partner = get_object_or_404(User, id=request.data["participant_id"])
    shared = Conversation.objects.filter(participants=request.user)
    conversation = shared.filter(participants=partner).first()
    if conversation is None:
        conversation = Conversation.objects.create()
        conversation.participants.add(request.user, partner)
    text = request.data.get("message")
    if text:
        Message.objects.create(conversation=conversation, sender=request.user, content=text)
    return Response(opened(conversation), status=201)


def opened(conversation):
    people = conversation.participants.values("id", "username", "profile_picture")
    return {
        "id": conversation.id,
        "participants": list(people),
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "is_active": conversation.is_active,
    }


@api_view(["GET"])
def messages(request, conversation_id):
    conversation = get_object_or_404(Conversation, id=conversation_id, participants=request.user)
    latest = conversation.messages.select_related("sender").order_by("-created_at", "-id")[:PAGE]
    return Response([message.shown() for message in reversed(latest)])
