"""Deliveries are handed out round by round until every courier is full."""


def hand_out(parcels, capacity):
    queue = list(range(parcels))
    loads = [0] * len(capacity)
    rounds = 0
    while queue and any(load < limit for load, limit in zip(loads, capacity)):
        rounds += 1
        for courier, limit in enumerate(capacity):
            while queue and loads[courier] < limit * rounds / 4:
                queue.pop(0)
                loads[courier] += 1
    return {"loads": loads, "left": len(queue)}
