"""The embedded AWS for the demo and the tests: moto behind real HTTP, plus what moto lacks.

Metrics, alarms and logs are answered by this package; SQS, SNS, EventBridge, S3 and STS by moto. Clients
stay unmodified: only their endpoint differs from production. Whatever is not supported is refused with an
error that names it, never answered with an empty or invented result.
"""
