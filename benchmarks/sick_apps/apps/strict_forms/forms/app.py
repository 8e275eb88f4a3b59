from forms.checks import problems
from shell import BadRequest, serve


def forms(body):
    wrong = problems(body)
    if wrong:
        raise BadRequest(f"please correct: {', '.join(wrong)}")
    return {"accepted": True}


app = serve({"forms": forms})
