"""Who opens a socket."""

from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User


class AppwriteAuthMiddleware:
    """Puts the user whom a token proves into the scope: that of `?token=`, or the one that the REST API would take.

    Nobody is believed for a bare `X-Appwrite-User-Id` header.
    """

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        user = await user_of(token_of(scope))
        return await self.inner({**scope, "user": user}, receive, send)


def token_of(scope):
    query = parse_qs(scope["query_string"].decode())
    if "token" in query:
        return query["token"][0]
    header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    return header.removeprefix("Bearer ")


@database_sync_to_async
def user_of(token):
    try:
        return User.objects.get(id=AccessToken(token)["user_id"], is_active=True)
    except (TokenError, KeyError, ValueError, User.DoesNotExist):
        return None
