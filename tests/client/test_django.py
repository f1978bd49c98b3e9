"""The files of docs/django.md, in a project of their own, with a real service."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from launch import Service, clean_environment, free_port

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "django.md").read_text()
FILES = dict(
    re.findall(r"^```\w+\n(?:# |<!-- )(\S+\.\w+)(?: -->)?\n(.*?)^```$", PAGE, re.M | re.DOTALL)
)

SETTINGS = """
INSTALLED_APPS = ["gallery"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT, MEDIA_URL = "media", "/media/"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
"""

SITE = """
import base64, os, sys
from html.parser import HTMLParser
import django
django.setup()
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.template.loader import render_to_string
from gallery.models import Photo
from gallery.previews import service
from thumbstream.client import Client

call_command("makemigrations", "gallery", verbosity=0)
call_command("makemigrations", "gallery", check=True, verbosity=0)  # and has nothing to add
call_command("migrate", verbosity=0)
pictures = [open(name, "rb").read() for name in ("first.png", "second.png")]

photo = Photo(title='A "lake" at <dawn>')
photo.image.save("lake.png", ContentFile(pictures[0]))
photo.refresh_from_db()
first = photo.preview
stream = service().thumb(first["id"])
assert base64.b64decode(first["prefix"]) == stream[:32]
assert (first["width"], first["height"]) == (96, 64)

photo.title += "!"
photo.save()
assert photo.preview == first  # the same file is not uploaded again
photo.image.save("other.png", ContentFile(pictures[1]))
assert photo.preview["id"] != first["id"]

reachable, settings.THUMBSTREAM_SERVER = settings.THUMBSTREAM_SERVER, sys.argv[1]
service.cache_clear()
late = Photo(title="late")
late.image.save("late.png", ContentFile(pictures[0]))
late.refresh_from_db()
assert late.preview is None
settings.THUMBSTREAM_SERVER = reachable
service.cache_clear()
call_command("make_previews")
late.refresh_from_db()
assert late.preview["id"] == first["id"]

broken = Photo(title="broken")
broken.image.save("broken.png", ContentFile(b"not a picture"))
assert broken.preview is None
assert Photo(title="empty").preview is None

tags = []
class Reader(HTMLParser):
    def handle_starttag(self, tag, attributes):
        tags.append((tag, dict(attributes)))
Reader().feed(render_to_string("photos.html", {"photos": Photo.objects.order_by("pk")}))
assert [tag for tag, _ in tags] == ["script", "img", "img", "img"]
shown = tags[1][1]
assert shown["alt"] == 'A "lake" at <dawn>!'
assert shown["data-thumb-src"] == f"https://thumbs.example/thumb/{photo.preview['id']}"
assert shown["data-thumb"] == photo.preview["prefix"]
assert shown["src"] == photo.image.url
assert "data-thumb" not in tags[3][1]
print("done")
"""


def test_the_page_works(tmp_path: Path, service: Service, new_picture: Callable[[], bytes]) -> None:
    assert {"settings.py", "gallery/models.py", "gallery/templates/photos.html"} <= FILES.keys()
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for package in ("gallery", "gallery/management", "gallery/management/commands"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "gallery" / "templatetags" / "__init__.py").touch()
    own = FILES["settings.py"].replace("http://127.0.0.1:8000", service.url) + SETTINGS
    (tmp_path / "settings.py").write_text(own)
    for name in ("first.png", "second.png"):
        (tmp_path / name).write_bytes(new_picture())
    (tmp_path / "site_check.py").write_text(SITE)
    environment = clean_environment(DJANGO_SETTINGS_MODULE="settings")
    done = subprocess.run(
        [sys.executable, "site_check.py", f"http://127.0.0.1:{free_port()}"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": f".:{environment['PYTHONPATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
