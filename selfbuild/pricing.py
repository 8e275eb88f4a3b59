"""What calls to AWS cost, for the report of a cycle. Prices of us-east-1; other regions differ by some per cent."""

METRIC_REQUESTED_USD = 0.01 / 1000
"""GetMetricData, a metric requested. Source: https://aws.amazon.com/cloudwatch/pricing/"""
LOG_GB_SCANNED_USD = 0.005
"""Logs Insights, a GB scanned. Same source."""


def aws_cost_usd(*, metrics_requested: int, log_bytes_scanned: int) -> float:
    """Estimated price of one collection in US dollars."""
    return round(metrics_requested * METRIC_REQUESTED_USD + log_bytes_scanned / 1e9 * LOG_GB_SCANNED_USD, 6)
