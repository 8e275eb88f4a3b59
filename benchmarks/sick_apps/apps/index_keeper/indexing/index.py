import threading
import time

COMPACT_EVERY = 60
COMPACT_S = 0.12


class Index:
    def __init__(self):
        self._words = {}
        self._lock = threading.Lock()
        self._asked = 0

    def add(self, document, text):
        with self._lock:
            for word in text.lower().split():
                self._words.setdefault(word, set()).add(document % 500)

    def search(self, word):
        with self._lock:
            self._asked += 1
            if self._asked % COMPACT_EVERY == 0:
                time.sleep(COMPACT_S)  # segments are merged
            return sorted(self._words.get(word.lower(), ()))
