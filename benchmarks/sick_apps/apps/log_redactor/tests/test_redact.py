from redactor.app import redact


def test_everything_is_hidden():
    body = {"names": ["Ada"], "lines": ["Ada's card 4111 1111 1111 1111", "mail ada@x.example or +49 30 1234567"]}
    assert redact(body) == {"lines": ["<name> card <card>", "mail <mail> or <phone>"]}


def test_other_text_stays():
    assert redact({"lines": ["order 17 shipped"]}) == {"lines": ["order 17 shipped"]}
