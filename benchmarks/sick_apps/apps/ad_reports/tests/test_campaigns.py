from adreports.app import campaigns
from adreports.campaigns import Campaign


def test_click_rate():
    assert Campaign("spring", 200, 5, 10).click_rate == 0.025


def test_report_is_sorted_and_summed():
    body = {
        "campaigns": [
            {"name": "b", "shown": 100, "clicks": 1, "spent": 1.005},
            {"name": "a", "shown": 1000, "clicks": 123, "spent": 20},
        ]
    }
    assert campaigns(body) == {
        "rows": [["a", 1000, "12.30 %", "20.00"], ["b", 100, "1.00 %", "1.01"]],
        "spent": "21.01",
    }
