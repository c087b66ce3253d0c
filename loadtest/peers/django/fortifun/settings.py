"""Settings of production: DATABASE_URL, REDIS_URL and SECRET_KEY come from the environment."""

import os
from urllib.parse import urlsplit

database = urlsplit(os.environ["DATABASE_URL"])

SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "fortifun.urls"
ASGI_APPLICATION = "fortifun.asgi.application"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "channels",
    "accounts",
    "conversations",
]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
AUTH_USER_MODEL = "accounts.User"
USE_TZ = True
LOGGING_CONFIG = None
MEDIA_URL = "/media/"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": database.hostname,
        "PORT": database.port,
        "USER": database.username,
        "PASSWORD": database.password,
        "NAME": database.path.removeprefix("/"),
        # Without it each call of a consumer opens a connection of its own.
        "CONN_MAX_AGE": None,
    }
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ["REDIS_URL"]], "capacity": 1500, "expiry": 60},
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
