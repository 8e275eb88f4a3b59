import pytest

from shell import BadRequest
from stockimport.app import imports
from stockimport.rows import parse

CSV = "sku,quantity,location\nab-1,5,north\ncd-2,0,\n"


def test_rows():
    assert parse(CSV) == [
        {"sku": "AB-1", "quantity": 5, "location": "north"},
        {"sku": "CD-2", "quantity": 0, "location": "main"},
    ]


def test_import():
    assert imports({"csv": CSV}) == {"rows": 2, "by_location": {"north": 5, "main": 0}, "out_of_stock": ["CD-2"]}


def test_other_files_are_refused():
    with pytest.raises(BadRequest):
        imports({"csv": "name\n"})
