# mypy: ignore-errors
# ruff: noqa: SIM115
import os

from _proof import CANARY, HOME, WORKER, attempt, reads

attempt(
    ssh=lambda: reads(HOME + "/.ssh/id_rsa"),
    aws=lambda: reads(HOME + "/.aws/credentials"),
    cloud=lambda: reads(HOME + "/.config/gcloud/credentials.db"),
    environment=lambda: [name for name, value in os.environ.items() if CANARY in value],
    listing=lambda: os.listdir(HOME),
    shadow=lambda: open("/etc/shadow").read(10),
    own_user=lambda: [each for each in (".ssh/id_rsa", ".aws/credentials") if reads(os.path.expanduser("~/" + each))],
    token=lambda: open("/var/run/secrets/kubernetes.io/serviceaccount/token").read(10),
    machine=lambda: open("/etc/machine-id").read(10),
    processes=lambda: [pid for pid in os.listdir("/proc") if pid == str(WORKER)],
)
