# mypy: ignore-errors
import resource

from _proof import attempt


def raised(name):
    number = getattr(resource, name)
    _, hard = resource.getrlimit(number)
    if hard == resource.RLIM_INFINITY:
        return f"{name} is unlimited"
    resource.setrlimit(number, (hard, hard + 1))
    return name


attempt(
    memory=lambda: raised("RLIMIT_AS"),
    processes=lambda: raised("RLIMIT_NPROC"),
    processor=lambda: raised("RLIMIT_CPU"),
    files=lambda: raised("RLIMIT_NOFILE"),
    size=lambda: raised("RLIMIT_FSIZE"),
    core=lambda: raised("RLIMIT_CORE"),
)
