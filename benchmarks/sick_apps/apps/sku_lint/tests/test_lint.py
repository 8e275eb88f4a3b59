from skulint.lint import colour, is_valid, lint


def test_valid_and_invalid():
    assert is_valid("AB-XL-green-12345")
    assert not is_valid("AB-XXL-green-12345")
    assert not is_valid("zz-XL-green-12345")


def test_colour():
    assert colour("AB-S-red-00001") == "red"
    assert colour("nothing") is None


def test_lint():
    assert lint(["AB-S-red-00001", "??"]) == {"bad": ["??"], "colours": ["red"]}
