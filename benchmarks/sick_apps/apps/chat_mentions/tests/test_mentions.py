from chatroom.mentions import mentions
from chatroom.rooms import room_title


def test_mentions_in_order():
    assert mentions("hello @Ada and @bob#0042") == [{"name": "ada", "tag": None}, {"name": "bob", "tag": "0042"}]


def test_text_without_mentions():
    assert mentions("nobody here") == []


def test_room_titles():
    assert room_title(["b", "a"]) == "a, b"
    assert room_title(["d", "c", "b", "a"]) == "a, b and 2 others"
