"""CloudWatch metrics: storage, statistics, metric math and the API operations over them."""
