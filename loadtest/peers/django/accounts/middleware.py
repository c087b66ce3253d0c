"""Who opens a socket."""

from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User


class AppwriteAuthMiddleware:
    """Puts the user whom `?token=` proves into the scope. Nobody is believed for a bare `X-Appwrite-User-Id` header."""

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        query = parse_qs(scope["query_string"].decode())
        user = await user_of(query.get("token", [""])[0])
        return await self.inner({**scope, "user": user}, receive, send)


@database_sync_to_async
def user_of(token):
    try:
        return User.objects.get(id=AccessToken(token)["user_id"], is_active=True)
    except (TokenError, KeyError, ValueError, User.DoesNotExist):
        return None
