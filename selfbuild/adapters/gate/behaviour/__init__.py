"""Shows that a patch which must not change behaviour does not: old and new are run side by side in the sandbox.

Nothing of the application is imported or unpickled by this process; it compares what the two versions answered.
"""
