def entry(book, author):
    return f"{author}: {book['title']}" + (f" ({book['year']})" if book.get("year") else "")


def entries(store, books):
    return [entry(book, store.author(book["author_id"])) for book in books]
