# mypy: ignore-errors
import os
import site
import sys
import sysconfig

from _proof import HOME, attempt, planted

library, packages = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
user = site.getusersitepackages()

attempt(
    pth=lambda: planted(packages + "/escape.pth"),
    sitecustomize=lambda: planted(library + "/sitecustomize.py"),
    usercustomize=lambda: not user.startswith(os.environ["HOME"]) and planted(user + "/usercustomize.py"),
    host_user=lambda: planted(HOME + "/.local/lib/python3.11/site-packages/usercustomize.py"),
    compiled=lambda: planted(library + "/__pycache__/os.cpython-311.pyc"),
    source=lambda: planted(os.__file__),
    interpreter=lambda: planted(os.path.realpath(sys.executable)),
    environment=lambda: planted(sys.prefix + "/pyvenv.cfg"),
    command=lambda: planted(os.path.dirname(sys.executable) + "/pytest"),
    moved=lambda: os.rename("cfg.json", library + "/escape.json") or os.unlink(library + "/escape.json") or True,
)
