from forms.checks import problems


def test_good_form():
    assert problems({"mail": "ada@x.example", "name": "Ada", "age": 36}) == []


def test_every_problem_is_named():
    assert problems({"mail": "ada", "name": " "}) == ["mail", "name", "age"]
