from shell import serve
from skulint import lint as rules


def lint(body):
    return rules.lint(body.get("skus", []))


app = serve({"lint": lint})
