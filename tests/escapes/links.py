# mypy: ignore-errors
import os

from _proof import HOME, OUTSIDE, attempt, changed, reads


def through(link):
    os.symlink(OUTSIDE, link)
    return changed(link + "/through_link")


def hard(target, link):
    os.link(target, link)
    return reads(link) or changed(link)


def swapped():
    with open("report.xml", "w") as file:
        file.write("<x/>")
    os.unlink("report.xml")
    os.symlink(OUTSIDE + "/victim", "report.xml")
    return changed("report.xml")


attempt(
    symlink=lambda: through("link"),
    parent=lambda: changed("../" * 20 + OUTSIDE.lstrip("/") + "/dots"),
    hardlink=lambda: hard(HOME + "/.ssh/id_rsa", "key"),
    hardlink_victim=lambda: hard(OUTSIDE + "/victim", "victim"),
    swapped=swapped,
    renamed=lambda: os.rename("cfg.json", OUTSIDE + "/renamed") or True,
    renamed_in=lambda: os.rename(OUTSIDE + "/victim", "stolen") or True,
)
