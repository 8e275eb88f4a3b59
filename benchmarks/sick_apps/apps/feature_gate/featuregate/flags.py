import hashlib
import json
from pathlib import Path

FILE = Path(__file__).with_name("flags.json")


def load_flags():
    return json.loads(FILE.read_text())["flags"]


def bucket(user):
    return int(hashlib.md5(user.encode()).hexdigest()[:4], 16) % 100


def is_on(flag, user):
    flags = load_flags()
    percent = flags.get(flag, {}).get("percent", 0)
    return bucket(user) < percent
