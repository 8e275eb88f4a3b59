from photolinks.links import album_links, photo_link


def test_link_is_signed_and_names_the_photo():
    link = photo_link("ada/1.jpg")
    assert link.startswith("https://")
    assert "ada/1.jpg" in link
    assert "X-Amz-Signature=" in link


def test_album():
    assert list(album_links({"owner": "ada", "photos": ["a", "b"]})) == ["a", "b"]
