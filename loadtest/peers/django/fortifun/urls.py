"""The part of the REST API that a load needs."""

from conversations import views
from django.urls import path

urlpatterns = [
    path("api/v1/conversations/", views.conversations),
    path("api/v1/conversations/<int:conversation_id>/messages/", views.messages),
]
