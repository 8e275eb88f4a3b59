import sqlite3
import time

ROUND_TRIP_S = 0.003  # the database runs in another zone


class Store:
    def __init__(self):
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self.db.execute("create table author (id integer primary key, name text)")
        self.db.executemany("insert into author values (?, ?)", [(n, f"Author {n}") for n in range(1, 1001)])

    def _query(self, sql, arguments):
        time.sleep(ROUND_TRIP_S)
        return self.db.execute(sql, arguments).fetchall()

    def author(self, author_id):
        rows = self._query("select name from author where id = ?", (author_id,))
        return rows[0][0] if rows else "unknown"

    def authors(self, author_ids):
        ids = list(author_ids)
        marks = ",".join("?" * len(ids))
        names = dict(self._query(f"select id, name from author where id in ({marks})", ids))
        return [names.get(i, "unknown") for i in ids]
