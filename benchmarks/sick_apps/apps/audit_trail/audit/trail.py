class Trail:
    """Keeps the newest events for the page of the operators."""

    def __init__(self):
        self.recent = []

    def record(self, kind, user, payload):
        text = repr(sorted(payload.items()))
        event = {"kind": kind, "user": user, "text": text, "raw": text.encode("utf-16")}
        self.recent.append(event)
        return len(text)

    def latest(self, number=10):
        return [f"{e['user']}: {e['kind']}" for e in self.recent[-number:]]
