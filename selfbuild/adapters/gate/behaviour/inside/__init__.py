"""Programs that run in the sandbox, in the application's interpreter: standard library only, nothing of this package.

They are copied beside the application as files and never imported by the worker.
"""
