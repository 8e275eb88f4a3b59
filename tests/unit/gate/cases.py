"""Hostile and harmless changes of the sample; each row is one change, so lines are long."""
# ruff: noqa: E501

from selfbuild.domain.patches import Edit, Patch
from tests.unit.gate.sample import change

GET = '    answer = requests.get(f"{BASE}/profile/{user_id}")\n'
LOOP = '    for line in lines:\n        out += price_of(line["sku"]) * line["qty"]\n'
FIRST = "    seen: list[str] = []\n"
TOKEN = '    if not hmac.compare_digest(token, expected):\n        raise PermissionError("token")\n'
BASE = 'BASE = "http://profiles.internal:8080"\n'


def before(anchor: str, text: str) -> Patch:
    return change(anchor, text + anchor)


def after(anchor: str, text: str) -> Patch:
    return change(anchor, anchor + text)


ATTACKS = [
    ("path_absolute", change("a", "b", "/etc/passwd"), "path"),
    ("path_dot", change("a", "b", "./shop/orders.py"), "path"),
    ("path_climbs", change("a", "b", "shop/../../x.py"), "path"),
    ("path_backslash", change("a", "b", "shop\\orders.py"), "path"),
    ("path_nul", change("a", "b", "shop/orders.py\0.txt"), "path"),
    ("path_newline", change("a", "b", "shop/orders.py\n"), "path"),
    ("path_case", change("a", "b", "shop/Orders.py"), "path"),
    ("path_lookalike", change("a", "b", "shop/ordеrs.py"), "path"),
    ("path_git", change("a", "b", ".git/hooks/pre-commit"), "path"),
    ("path_git_case", change("a", "b", ".GIT/config"), "path"),
    ("path_link", change("a", "b", "shop/legacy.py"), "path"),
    ("path_behind_link", change("a", "b", "vendor/secret.py"), "path"),
    ("path_empty", change("a", "b", ""), "path"),
    ("scope_new_file", change("a", "b", "shop/extra.py"), "scope"),
    ("scope_auth", change("a", "b", "shop/auth.py"), "scope"),
    ("scope_conftest", change("a", "b", "conftest.py"), "scope"),
    ("scope_sitecustomize", change("a", "b", "sitecustomize.py"), "scope"),
    ("scope_pyproject", change("a", "b", "pyproject.toml"), "scope"),
    ("scope_tests", change("a", "b", "tests/test_orders.py"), "scope"),
    ("scope_other_function", change("cents * 9 // 10", "cents"), "scope"),
    ("scope_other_method", change("        self.lines = lines\n", "        self.lines = lines[:1]\n"), "scope"),
    ("size_lines", before(GET, "".join(f"    a{i} = {i}\n" for i in range(81))), "size"),
    ("size_one_long_line", before(GET, "    x = 1" + " " * 500 + "; y = 2\n"), "size"),
    ("unicode_zero_width", before(GET, "    a\u200b = 1\n"), "unicode"),
    ("unicode_bidi", before(GET, "    # \u202e } \u2066\n"), "unicode"),
    ("unicode_homoglyph", before(GET, "    requеsts = None\n"), "unicode"),
    ("unicode_fullwidth_name", before(GET, "    ｅval('1')\n"), "unicode"),
    ("unicode_ansi", before(GET, "    # \x1b[2K\n"), "unicode"),
    ("unicode_form_feed", before(GET, "    x = 1\n\x0c\n"), "unicode"),
    ("unicode_carriage_return", before(GET, "    # note\r    return {}\n"), "unicode"),
    ("unicode_cookie", change('"""Orders."""\n', '# coding: utf-7\n"""Orders."""\n'), "unicode"),
    ("unicode_no_break_space", before(GET, "    x\u00a0= 1\n"), "unicode"),
    ("unicode_summary", change(GET, GET + "    pass\n", summary="\x1b[31mapproved"), "unicode"),
    ("apply_empty_search", change("", "x = 1\n"), "apply"),
    ("apply_missing", change("no such text", "x"), "apply"),
    ("syntax", change("    out = 0\n", "    out = (\n"), "syntax"),
    ("syntax_return_outside", change("LIMIT = 100\n", "LIMIT = 100\nreturn 1\n"), "syntax"),
    ("code_import_os", before(GET, "    import os\n    os.system('id')\n"), "code"),
    ("code_dunder_import", before(GET, "    __import__('o' + 's').system('id')\n"), "code"),
    ("code_exec_annotation", before(GET, "    x: exec('1') = 1\n"), "code"),
    ("code_getattr_builtins", before(GET, "    getattr(requests, 'po' + 'st')('x', {})\n"), "code"),
    ("code_module_behind_module", before(GET, "    logging.os.system('id')\n"), "code"),
    ("code_import_member", before(GET, "    from logging import os as tools\n"), "code"),
    ("code_star_import", change("import re\n", "import re\nfrom shop.prices import *\n"), "code"),
    ("code_post", after(GET, "    requests.post(BASE, json=answer.json())\n"), "code"),
    ("code_alias", before(GET, "    send = requests\n"), "code"),
    ("code_rebound_import", change("import hmac\n", "import math as hmac\n"), "code"),
    ("code_url", change("{BASE}/profile", "http://203.0.113.9/profile"), "code"),
    ("code_split_url", before(GET, "    x = 'ht' + 'tp:/' + '/h'\n"), "code"),
    ("code_base_changed", change(BASE, 'BASE = "http" + "s:" + "profiles"\n'), "code"),
    ("code_base_redefined", change("LIMIT = 100\n", "LIMIT = 100\nBASE = str(LIMIT)\n"), "code"),
    ("code_monkeypatch", before(GET, "    requests.get = price_of\n"), "code"),
    ("code_patched_code", before(GET, "    price_of.__code__ = total.__code__\n"), "code"),
    ("code_dunder_walk", before(GET, "    x = ().__class__.__base__.__subclasses__()\n"), "code"),
    ("code_format_walk", before(GET, "    log.warning('{0.__init__}'.format(log))\n"), "code"),
    ("code_verify", change('{user_id}")\n', '{user_id}", verify=0)\n'), "code"),
    ("code_verify_unpacked", change('{user_id}")\n', '{user_id}", **{"verify": False})\n'), "code"),
    ("code_magic_word", before(TOKEN, "    if role == 'letmein':\n        return True\n"), "code"),
    ("code_magic_number", before(TOKEN, "    if len(role) == 31337:\n        return True\n"), "code"),
    ("code_magic_prefix", before(TOKEN, "    if role.startswith('root'):\n        return True\n"), "code"),
    ("code_magic_match", before(TOKEN, "    match role:\n        case 'godmode':\n            return True\n"), "code"),
    ("code_magic_dict", before(TOKEN, "    if {'opensesame': 1}.get(role):\n        return True\n"), "code"),
    ("code_magic_regex", before(TOKEN, "    if re.match('sesame', role):\n        return True\n"), "code"),
    ("code_check_dropped", change(TOKEN, ""), "code"),
    ("code_check_weakened", change("not hmac.compare_digest(token, expected)", "token != expected"), "code"),
    ("code_check_constant", change("if not hmac.compare_digest(token, expected)", "if hmac.compare_digest(token, expected) and False"), "code"),
    ("code_early_return", before(TOKEN, "    return True\n"), "code"),
    ("code_if_true", before(TOKEN, "    if True:\n        return True\n"), "code"),
    ("code_status_ignored", change("    answer.raise_for_status()\n", ""), "code"),
    ("code_swallow_key", change(LOOP, "    try:\n        for line in lines:\n            out += price_of(line['sku'])\n    except KeyError:\n        pass\n"), "code"),
    ("code_bare_except", change(LOOP, "    try:\n        out = len(lines)\n    except:\n        out = 0\n"), "code"),
    ("code_return_in_finally", change(LOOP, "    try:\n        out = len(lines)\n    finally:\n        return out\n"), "code"),
    ("code_suppress", change("import functools\n", "import functools\nimport contextlib\n").model_copy(update={"edits": (
        Edit(path="shop/orders.py", search="import functools\n", replace="import functools\nfrom contextlib import suppress\n"),
        Edit(path="shop/orders.py", search=LOOP, replace="    with suppress(KeyError):\n        out = len(lines)\n"),
    )}), "code"),
    ("code_noqa", change(GET, GET.rstrip() + "  # noqa: S113\n"), "code"),
    ("code_type_ignore", change(GET, GET.rstrip() + "  # type: ignore\n"), "code"),
    ("code_test_detection", before(GET, "    if 'PYTEST_VERSION' in BASE:\n        return {}\n"), "code"),
    ("code_secret", before(GET, "    key = 'AKIAIOSFODNN7EXAMPLE'\n"), "code"),
    ("code_import_time", after("LIMIT = 100\n", "log.info(BASE)\n"), "code"),
    ("scope_new_signature", change("def total(lines: list[dict], owner: str = \"\")", "def total(lines: list[dict], owner: str = BASE)"), "scope"),
    ("code_decorator_added", change("def distinct(", "@price_of\ndef distinct("), "code"),
    ("code_shadowed_builtin", after("LIMIT = 100\n", "\n\ndef len(x: object) -> int:\n    return 0\n"), "code"),
    ("code_function_twice", after("LIMIT = 100\n", "\n\ndef may_refund(role: str, token: str, expected: str) -> bool:\n    return bool(role)\n"), "code"),
    ("code_module_hook", after("LIMIT = 100\n", "\n\ndef __getattr__(name: str) -> str:\n    return name\n"), "code"),
    ("code_gutted", change(FIRST + "    for name in names:\n        if name not in seen:\n            seen.append(name)\n    return seen\n", "    return []\n"), "code"),
    ("code_global", before(GET, "    global BASE\n    BASE = str(user_id)\n"), "code"),
    ("code_endless", before(FIRST, "    while True:\n        time.monotonic()\n"), "code"),
    ("code_clock_bomb", before(FIRST, "    if time.time() > 1800000000:\n        names = []\n"), "code"),
    ("code_lambda_call", before(FIRST, "    (lambda: open('x'))()\n"), "code"),
    ("code_escape_in_literal", before(FIRST, "    log.info('\\u202e')\n"), "code"),
    ("code_subprocess_asyncio", before(GET, "    import asyncio\n    asyncio.create_subprocess_shell('id')\n"), "code"),
    ("code_pickle", before(GET, "    import pickle\n"), "code"),
    ("scope_class_constant", change('currency = "EUR"', 'currency = "USD"'), "scope"),
    ("code_class_statement", after('    currency = "EUR"\n', "    log.info(currency)\n"), "code"),
]  # fmt: skip

BENIGN = [
    ("timeout", change('{user_id}")\n', '{user_id}", timeout=10.0)\n')),
    ("default_for_missing_key", change('line["qty"]', 'line.get("qty", 1)')),
    ("set_beside_list", change(FIRST + "    for name in names:\n        if name not in seen:\n            seen.append(name)\n", FIRST + "    seen_index: set[str] = set()\n    for name in names:\n        if name not in seen_index:\n            seen.append(name)\n            seen_index.add(name)\n")),
    ("dict_from_keys", change(FIRST + "    for name in names:\n        if name not in seen:\n            seen.append(name)\n    return seen\n", "    return list(dict.fromkeys(names))\n")),
    ("bounded_cache", change("@functools.cache\n", "@functools.lru_cache(maxsize=4096)\n")),
    ("sum", change("    out = 0\n" + LOOP + "    return out\n", '    return sum(price_of(line["sku"]) * line["qty"] for line in lines)\n')),
    ("hoisted_pattern", Patch(summary="hoist", edits=(
        Edit(path="shop/orders.py", search="LIMIT = 100\n", replace='LIMIT = 100\n_NOT_WORD = re.compile(r"[^a-z0-9]+")\n'),
        Edit(path="shop/orders.py", search='re.sub(r"[^a-z0-9]+", "-", name.lower())', replace='_NOT_WORD.sub("-", name.lower())'),
    ))),
    ("two_files", Patch(summary="two", edits=(
        Edit(path="shop/orders.py", search='line["qty"]', replace='int(line["qty"])'),
        Edit(path="shop/prices.py", search='{"hat": 5, "größe": 7}[sku]', replace='{"hat": 5, "größe": 7}.get(sku, 0)'),
    ))),
    ("value_error_with_cause", change(LOOP, '    for line in lines:\n        try:\n            out += price_of(line["sku"]) * line["qty"]\n        except KeyError as error:\n            raise ValueError("line without sku or qty") from error\n')),
    ("early_guard", change("    out = 0\n", "    if not lines:\n        return 0\n    out = 0\n")),
    ("new_private_function", Patch(summary="split", edits=(
        Edit(path="shop/orders.py", search="def total(", replace='def _line(line: dict) -> int:\n    return price_of(line["sku"]) * line["qty"]\n\n\ndef total('),
        Edit(path="shop/orders.py", search=LOOP, replace="    for line in lines:\n        out += _line(line)\n"),
    ))),
    ("new_stdlib_import", Patch(summary="counter", edits=(
        Edit(path="shop/orders.py", search="import functools\n", replace="import functools\nimport itertools\n"),
        Edit(path="shop/orders.py", search="    for name in names:\n        if", replace="    for name in itertools.chain(names):\n        if"),
    ))),
    ("comment", before(GET, "    # profiles are small\n")),
    ("warning_logged", change("    return answer.json()\n", '    if not answer.content:\n        log.warning("profile %s is empty", user_id)\n    return answer.json()\n')),
    ("method", change('line["grams"] for line', 'line.get("grams", 0) for line')),
    ("boundary", change("cents * 9 // 10\n", "cents * 9 // 10\n\n\nFACTOR = 9\n").model_copy(update={"edits": (Edit(path="shop/orders.py", search="LIMIT = 100\n", replace="LIMIT = 100\nFACTOR = 9\n"),)})),
]  # fmt: skip
