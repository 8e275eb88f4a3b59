from shell import serve
from yearly import report as printing


def reports(body):
    return printing.report(body.get("year", 2026), body.get("rows", []))


def summaries(body):
    return printing.summary(body.get("rows", []))


app = serve({"reports": reports, "summaries": summaries})
