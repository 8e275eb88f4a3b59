def price(seat):
    return seat["base"] + (20 if seat["row"] <= 3 else 0)


def affordable(guests, seats):
    """How many seats each guest could pay for, and the best of them."""
    answer = {}
    for guest in guests:
        ordered = sorted(seats, key=lambda seat: (-price(seat), seat["row"], seat["number"]))
        count = 0
        best = None
        for seat in ordered:
            if price(seat) <= guest["budget"]:
                best = best or f"{seat['row']}-{seat['number']}"
                count += 1
        answer[guest["name"]] = {"best": best, "count": count}
    return answer
