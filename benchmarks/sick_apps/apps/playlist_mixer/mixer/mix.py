def seconds(track):
    return track.get("s", 0)


def mix(playlists, limit_s):
    """Take turns among the playlists until the time is full."""
    mixed = []
    total = 0
    longest = max((len(p) for p in playlists), default=0)
    for turn in range(longest):
        for playlist in playlists:
            if turn < len(playlist) and total + seconds(playlist[turn]) <= limit_s:
                mixed = mixed + [playlist[turn]["id"]]
                total += seconds(playlist[turn])
    return mixed, total
