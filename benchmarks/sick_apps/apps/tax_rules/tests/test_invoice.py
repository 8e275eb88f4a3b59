from taxes.invoice import invoice


def test_mixed_invoice():
    lines = [{"net": 100, "category": "books"}, {"net": 50}]
    assert invoice("DE", lines) == {"net": 150, "tax": 16.5, "gross": 166.5}


def test_unknown_category_is_standard():
    assert invoice("DK", [{"net": 4, "category": "food"}])["tax"] == 1


def test_empty_invoice():
    assert invoice("SE", []) == {"net": 0, "tax": 0, "gross": 0}
