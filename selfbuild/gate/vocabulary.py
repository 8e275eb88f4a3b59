"""Names the delta guard knows: what reaches out of a function, what is harmless, what weakens a protection."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SAFE_MODULES = _words(
    """
    __future__ abc asyncio bisect collections concurrent contextlib copy dataclasses datetime decimal enum fractions
    functools heapq itertools json logging math numbers operator re statistics string textwrap threading time typing
    typing_extensions unicodedata weakref
    """
)
"""Modules a patch may begin to import."""

RISKY_MODULES = _words(
    """
    aiohttp antigravity atexit base64 binascii boto3 botocore builtins bz2 cloudpickle code codecs codeop
    configparser contextvars ctypes dbm dill ensurepip faulthandler fcntl fileinput ftplib gc getpass glob gzip http
    httpx httpx2 imaplib imp importlib inspect io jsonpickle linecache lzma marshal mmap multiprocessing nntplib os
    paramiko pathlib pdb pickle pip pkgutil platform poplib posix psutil psycopg psycopg2 pty pwd pymysql pytest
    random redis requests resource runpy secrets select selectors setuptools shelve shlex shutil signal site smtplib
    socket socketserver sqlite3 ssl subprocess symtable sys sysconfig tarfile telnetlib tempfile trace tracemalloc
    tty types unittest urllib urllib3 venv webbrowser websocket websockets winreg wsgiref xml xmlrpc yaml zipfile
    zipimport zlib
    """
)
"""Modules through which code reaches files, processes, the network, the interpreter or the tests."""

HARMLESS = (
    "io.BytesIO",
    "io.StringIO",
    "httpx.HTTPError",
    "httpx.Timeout",
    "os.path.basename",
    "os.path.dirname",
    "os.path.join",
    "os.path.splitext",
    "pathlib.PurePath",
    "pathlib.PurePosixPath",
    "requests.ConnectionError",
    "requests.Session",
    "requests.session",
    "requests.HTTPError",
    "requests.RequestException",
    "requests.Timeout",
    "requests.exceptions.",
    "sys.getsizeof",
    "sys.intern",
    "sys.maxsize",
    "types.MappingProxyType",
    "urllib.parse.",
)
"""Parts of risky modules that reach nothing; a trailing dot covers all below."""

RISKY_MEMBERS = _words(
    """
    asyncio.create_subprocess_exec asyncio.create_subprocess_shell asyncio.get_event_loop asyncio.open_connection
    asyncio.open_unix_connection asyncio.start_server asyncio.subprocess concurrent.futures.ProcessPoolExecutor
    contextlib.suppress copy.copyreg datetime.date.today datetime.datetime.now datetime.datetime.today
    datetime.datetime.utcnow functools.partialmethod hashlib.md5 hashlib.sha1 logging.FileHandler
    logging.basicConfig logging.config logging.disable logging.handlers logging.setLoggerClass operator.attrgetter
    operator.methodcaller string.Formatter threading.Thread threading.Timer threading.excepthook
    threading.setprofile threading.settrace time.ctime time.gmtime time.localtime time.sleep time.strftime time.time
    time.time_ns typing.no_type_check typing.no_type_check_decorator weakref.finalize
    """
)
"""Members of otherwise harmless modules: egress, dynamic access, wall clocks, hidden errors."""

RISKY_NAMES = _words(
    """
    __import__ breakpoint chr compile copyright credits delattr eval exec exit globals hash help input license
    locals memoryview open ord print_function quit setattr vars
    """
)
"""Builtins that run text, reach files or change foreign objects; `chr` builds text that
cannot be read, `ord` and `hash` compare with it."""

RISKY_ATTRIBUTES = _words(
    """
    Popen _os _sys a85decode b32decode b64decode builtins check_call check_output chmod chown co_code cr_frame
    create_connection ctypes currentframe decompress environ environb exec_module f_back f_builtins f_globals
    f_locals fork forkpty fromhex getenv getframe getoutput gettrace gi_frame import_module importlib kill killpg
    load_module loads_module mkfifo modules mro os popen pty putenv rmdir rmtree setprofile settrace socket
    subprocess symlink sys system tb_frame unhexlify unlink urlopen urlretrieve
    """
)
"""Attributes that are dangerous on any object, also where one module is reached through another."""

RISKY_METHODS = _words(
    """
    addFilter addHandler connect delete delete_object exec_command execute executemany executescript format_map
    invoke patch post put put_object removeHandler request run run_command run_until_complete send sendall sendmail
    sendto setLevel set_trace shutdown terminate touch upload_file upload_fileobj write write_bytes write_text
    writelines
    """
)
"""Methods that send, store or run; a call that is new to the file is refused."""

PROTECTIVE = (
    "acquire",
    "allow",
    "audit",
    "auth",
    "check",
    "digest",
    "ensure",
    "escape",
    "limit",
    "mask",
    "permission",
    "quote",
    "raise_for_status",
    "redact",
    "sanit",
    "throttl",
    "valid",
    "verif",
)
"""Parts of names whose calls must not become fewer."""

PROTECTIVE_KEYWORDS = frozenset({"timeout", "verify", "check", "autoescape", "check_hostname"})
WEAKENING_KEYWORDS = _words(
    """
    allow_pickle allow_redirects autoescape cert_reqs check_hostname debug follow_redirects proxies proxy
    return_exceptions shell ssl ssl_context trust_env trusted_host unsafe usedforsecurity verify verify_ssl
    """
)
"""Keyword arguments a patch does not add or change."""

CONSTANT_MAKERS = _words(
    """
    asyncio.Lock asyncio.Semaphore collections.Counter collections.OrderedDict collections.defaultdict
    collections.deque datetime.timedelta decimal.Decimal dict fractions.Fraction frozenset list logging.getLogger
    object re.compile requests.Session requests.session set str.maketrans threading.Lock threading.RLock
    threading.local tuple types.MappingProxyType typing.TypeVar weakref.WeakKeyDictionary
    weakref.WeakValueDictionary
    """
)
"""Calls allowed where a module begins to define a constant."""

SAFE_DECORATORS = _words(
    """
    classmethod contextlib.contextmanager dataclasses.dataclass functools.cache functools.cached_property
    functools.lru_cache functools.wraps property staticmethod
    """
)
REPLACEABLE_DECORATORS = frozenset({"functools.cache", "functools.lru_cache"})

BROAD_ERRORS = frozenset({"Exception", "BaseException", "builtins.Exception", "builtins.BaseException"})
CRYPTO_MODULES = _words("argon2 bcrypt cryptography hashlib hmac itsdangerous jose jwt nacl passlib secrets ssl")
"""Modules whose calls are changed by people only."""
