"""The CloudWatch Logs Insights query language: a subset, parsed completely before anything is read."""
