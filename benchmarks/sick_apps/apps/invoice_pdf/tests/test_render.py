from invoicepdf.render import line, page


def test_page_names_number_and_customer():
    text = page(17, "Ada Ltd")
    assert text.startswith("Invoice 17 ")
    assert "Ada Ltd" in text[:144]


def test_page_is_the_same_again():
    assert page(3, "Ben") == page(3, "Ben")


def test_line_has_its_width():
    assert len(line("x")) == len(line("x" * 100)) == 72
