import re

MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}")


def problems(form):
    found = []
    if not MAIL.fullmatch(form.get("mail", "")):
        found.append("mail")
    if not form.get("name", "").strip():
        found.append("name")
    if not str(form.get("age", "")).isdigit():
        found.append("age")
    return found
