"""What every service of the collection shares: serving requests and publishing what they did.

Copied into each service's repository when it is built, since a release is a commit of the whole service.
"""

from .service import BadRequest, Gauge, memory_mb, open_files, serve

__all__ = ["BadRequest", "Gauge", "memory_mb", "open_files", "serve"]
