"""CloudWatch Logs: ingestion with metric extraction, filter patterns and the Insights query language."""
