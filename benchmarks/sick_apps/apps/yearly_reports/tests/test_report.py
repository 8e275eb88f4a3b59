from yearly.report import report, summary


def test_report():
    assert report(2025, [1, 2]) == {"year": 2025, "total": 3, "mean": 1.5}
    assert report(2025, [])["mean"] == 0


def test_summary():
    assert summary([3, 9]) == {"rows": 2, "max": 9}
