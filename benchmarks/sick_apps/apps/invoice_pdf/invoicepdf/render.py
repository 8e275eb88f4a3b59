RENDERED = {}


def line(text, width=72):
    return text[:width].ljust(width)


def render(number, customer):
    head = line(f"Invoice {number}") + line(customer)
    body = "".join(line(f"{number}/{n} item {n}") for n in range(1800))
    return head + body


def page(number, customer):
    key = (number, customer)
    if key not in RENDERED:
        RENDERED[key] = render(number, customer)
    return RENDERED[key]
