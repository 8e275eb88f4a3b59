"""What calls to AWS cost, for the report of a cycle. Prices of us-east-1; other regions differ by some per cent."""

METRIC_REQUESTED_USD = 0.01 / 1000
"""GetMetricData, a metric requested; no free tier. Source: https://aws.amazon.com/cloudwatch/pricing/"""
METRIC_API_REQUEST_USD = 0.01 / 1000
"""ListMetrics and other metric APIs, a request beyond the first million of a month. Same source."""
LOG_GB_SCANNED_USD = 0.005
"""Logs Insights, a GB scanned. Same source."""
LOG_API_REQUEST_USD = 0.0
"""FilterLogEvents, DescribeLogGroups, StartQuery and GetQueryResults bear no price a request. Same source."""


def aws_cost_usd(*, metrics_requested: int, log_bytes_scanned: int, api_calls: int = 0) -> float:
    """Estimated price of one collection in US dollars, rather too high than too low.

    `api_calls` are priced as ListMetrics, the only ones that are charged by the request, without the free million.
    """
    metrics = metrics_requested * METRIC_REQUESTED_USD
    logs = log_bytes_scanned / 1e9 * LOG_GB_SCANNED_USD
    return round(metrics + logs + api_calls * METRIC_API_REQUEST_USD, 6)
