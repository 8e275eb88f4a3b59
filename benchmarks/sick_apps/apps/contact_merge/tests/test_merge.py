from contacts.merge import clean, merge


def test_first_wins():
    books = [
        [{"email": "a@x.example", "name": "Ada"}],
        [{"email": "A@x.example ", "name": "Other"}, {"email": "b@x.example"}],
    ]
    assert merge(books) == [{"email": "a@x.example", "name": "Ada"}, {"email": "b@x.example", "name": ""}]


def test_clean():
    assert clean({"email": " Z@X.example", "name": " Zoe   Z "}) == {"email": "z@x.example", "name": "Zoe Z"}
