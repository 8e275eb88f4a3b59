class CheckIn:
    """Decides who of a party may come in."""

    def __init__(self, banned):
        self.banned = [name.casefold() for name in banned]
        self.turned_away = 0

    def admit(self, party):
        admitted = []
        for guest in party:
            if guest.casefold() in self.banned:
                self.turned_away += 1
                continue
            admitted.append(guest)
        return admitted


def greeting(guests):
    if not guests:
        return "Sorry, not tonight"
    return f"Welcome, {guests[0]}" + (f" and {len(guests) - 1} more" if len(guests) > 1 else "")
