"""Merges address books: the first contact with an address wins."""


def clean(contact):
    return {"email": contact["email"].strip().lower(), "name": " ".join(contact.get("name", "").split())}


def merge(books):
    merged = []
    for book in books:
        for entry in book:
            contact = clean(entry)
            duplicate = False
            for known in merged:
                if known["email"] == contact["email"]:
                    duplicate = True
                    break
            if not duplicate:
                merged.append(contact)
    return merged
