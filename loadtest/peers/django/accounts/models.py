"""Users, in the table as it is."""

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class User(AbstractBaseUser):
    id = models.BigAutoField(primary_key=True)
    is_superuser = models.BooleanField(default=False)
    username = models.CharField(max_length=150, unique=True)
    first_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    email = models.EmailField(blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(auto_now_add=True)
    profile_picture = models.CharField(max_length=100, null=True)
    bio = models.TextField(null=True)
    date_of_birth = models.DateField(null=True)
    phone_number = models.CharField(max_length=15, null=True)
    location = models.CharField(max_length=100, null=True)
    latitude = models.FloatField(null=True)
    longitude = models.FloatField(null=True)
    is_online = models.BooleanField(null=True)
    last_activity = models.DateTimeField(null=True)
    appwrite_user_id = models.CharField(max_length=255, unique=True, null=True)
    gender = models.CharField(max_length=1, null=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "username"

    class Meta:
        db_table = "accounts_user"
        managed = False
