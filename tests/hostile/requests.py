"""The table of hostile requests: each would load, read, write, fetch or break something if it were accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.hostile.client import API, JSON, Request

PATHS = (
    "/etc/passwd",
    "../../../../etc/passwd",
    "model",
    "./model",
    "secret.txt",
    "secret.json",
    "~/.ssh/id",
    "demo/../model",
    "demo//minilm",
    "demo/minilm/../../model",
    "demo/minilm\u0000.txt",
    "demo/minilm ",
    "DEMO/MINILM",
    "..%2f..%2fmodel",
    "file:///etc/passwd",
    "\\\\localhost\\share\\model",
    "/proc/self/environ",
    "/dev/zero",
    ".",
    "/",
)
ADDRESSES = (
    "{trap}/model",
    "{trap}/data.csv",
    "http://169.254.169.254/latest/meta-data",
    "ftp://127.0.0.1/x",
    "//127.0.0.1/x",
)
NAMES = (
    "Qwen/Qwen2.5-0.5B",
    "gpt2",
    "a" * 513,
    "",
    "\u202etxt.exe",
    "🪚" * 400,
    "\ud800",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "$(touch pwned)",
    "`touch pwned`",
    "'; drop table runs; --",
    "<img src=x onerror=alert(1)>",
)
TYPES: tuple[Any, ...] = (None, True, 0, 1.5, [], ["demo/minilm"], {}, {"path": "/etc/passwd"})

FILE = {"path": "/etc/passwd", "orig_name": "x", "meta": {"_type": "gradio.FileData"}}
FILES: tuple[dict[str, Any], ...] = (
    FILE,
    {**FILE, "path": "secret.txt"},
    {**FILE, "path": "{trap}/file"},
    {**FILE, "url": "{trap}/file"},
    {**FILE, "path": "{trap}/file", "is_stream": True},
    {**FILE, "url": "file:///etc/passwd"},
    {**FILE, "path": "https://127.0.0.1:1/x.svg"},
)

CHOICES: dict[str, tuple[Any, ...]] = {
    "ratio": (-0.1, 1, "nan", 10**400, "x" * 2000),
    "tokens": (0, 16_385, 10**9, 1e308, []),
    "sequence_length": (1, 513, 2**31),
    "separator": ("\n",),
    "evaluate_length": (513, 1),
    "evaluate_limit": (401, 0, "all"),
    "seed": (-1, 2**63, {"$gt": 0}),
    "evaluate": (
        "perplexity",
        ["perplexity", "shell"],
        ["mnli"],
        ["own"],
        ["harness:arc_easy"],
        ["harness:../../etc/passwd"],
        ["sentiment"] * 17,
    ),
    "data": ("/etc/passwd", "https://example.org/texts.csv", "x" * 5000),
    "targets": ("everything",),
    "criterion": (["obs"],),
    "edits": (
        ["layers.0.ffn:keep=0-99999999999"],
        ["layers.0.ffn:keep=0-999998"] * 200,
        ["layers.0.ffn:ratio=0.1"] * 201,
        ["../../etc:keep=1"],
        "layers.0.ffn:ratio=0",
    ),
    "device": ("cuda", "cuda:0", "cpu", "meta"),
    "dtype": ("float16", "object"),
    "cls": (1,),
    "self": (1,),
    "__class__": ("x",),
    "trust_remote_code": (True,),
    "offload_folder": ("pwned",),
    "save": ("pwned",),
    "push": ("owner/name",),
    "\ud800": (1,),
}
"""Values that a choice of a recipe must not have, or that of no choice."""

BODIES: tuple[tuple[str, bytes, dict[str, str]], ...] = (
    ("nothing", b"", JSON),
    ("null", b"null", JSON),
    ("a list", b"[]", JSON),
    ("half", b'{"data": [', JSON),
    ("nan", b'{"data": [{"ratio": NaN}]}', JSON),
    ("infinity", b'{"data": [{"ratio": -Infinity}]}', JSON),
    ("too great", b'{"data": [{"ratio": 1e999}]}', JSON),
    ("many digits", b'{"data": [{"seed": ' + b"9" * 5000 + b"}]}", JSON),
    ("half a character", b'{"data": [{"model": "\\ud800"}]}', JSON),
    ("no utf-8", b'{"data": ["\xff\xfe"]}', JSON),
    ("utf-16", '{"data": [{"model": "/etc/passwd"}]}'.encode("utf-16"), JSON),
    ("deep lists", b'{"data": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", JSON),
    ("deep objects", b'{"data": [' + b'{"a":' * 8_000 + b"1" + b"}" * 8_000 + b"]}", JSON),
    ("70 KB", b'{"data": [{"model": "' + b"x" * 70_000 + b'"}]}', JSON),
    ("8 MB", b'{"data": [{"model": "' + b"x" * 8_000_000 + b'"}]}', JSON),
    ("a lie about its length", b'{"data": [{}]}', {**JSON, "content-length": "99999999999"}),
    ("a negative length", b'{"data": [{}]}', {**JSON, "content-length": "-1"}),
    ("endless pieces", b"10000\r\n" + b" " * 65_536 + b"\r\n10\r\n" + b" " * 16 + b"\r\n",
     {**JSON, "transfer-encoding": "chunked"}),
    ("gzip", b"\x1f\x8b\x08\x00" + b"\0" * 60, {**JSON, "content-encoding": "gzip"}),
    ("a form", b"data=1", {"content-type": "application/x-www-form-urlencoded"}),
    ("parts", b'--x\r\ncontent-disposition: form-data; name="f"; filename="/tmp/x"\r\n\r\nhi\r\n--x--\r\n',
     {"content-type": "multipart/form-data; boundary=x"}),
    ("yaml", b"!!python/object/apply:os.system ['touch pwned']", {"content-type": "application/yaml"}),
)  # fmt: skip

READ = (
    *(f"{API}/file={path}" for path in (
        "/etc/passwd", "../../../../etc/passwd", "secret.txt", "/proc/self/environ", "/dev/zero", "/etc/%00passwd",
        "{scratch}/../work/secret.txt", "{scratch}/", "C:/windows/win.ini", "{trap}/file", "http://169.254.169.254/",
        "file:///etc/passwd", "app.py", "%2e%2e/%2e%2e/etc/passwd", "~/.ssh/id", "{work}/secret.txt",
    )),
    f"{API}/file/etc/passwd",
    *(f"{API}/proxy={path}" for path in ("{trap}/x", "https://127.0.0.1/x", "file:///etc/passwd", "https://x.hf.space/a")),
    *(f"{API}/{name}" for name in (
        "deep_link?session_hash=x", "upload", "upload_progress?upload_id=x", "runs", "run-history/buckets", "user", "token",
        "run-history/records?bucket=a/b", "stream/x/y/1/playlist.m3u8", "stream/x/y/1/playlist-file", "stream/x/y/1/2.ts",
        "custom_component/x/client/component/..%2f..%2fapp.py", "vibe-code", "vibe-starter-queries", "dev/reload",
        "profiling/traces", "mcp/sse", "component_server", "process_recording", "login_check", "queue/join", "call/x",
    )),
    "/gradio_api/deep_link?session_hash=x",
    "/monitoring",
    "/monitoring/summary",
    "/monitoring/key",
    "/static/../../../../../../etc/passwd",
    "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
    "/assets/../../../app.py",
    "/assets/%2e%2e/%2e%2e/%2e%2e/routes.py",
    "/assets//etc/passwd",
    "/svelte/../../../routes.py",
    "/static//etc/passwd",
    "/docs",
    "/openapi.json",
    "/login",
    "/logout",
    "/secret.txt",
    "/.git/config",
    "/..%2f..%2fetc/passwd",
    "//etc/passwd",
    "/pwa_icon/99999999",
)  # fmt: skip

WRITTEN = (
    *(f"{API}/{name}" for name in (
        "upload", "upload?upload_id=x", "component_server", "component_server/", "process_recording", "vibe-edit", "vibe-code",
        "undo-vibe-edit", "run-history/connect", "stream/x", "stream/x/close", "vibe-starter-queries", "profiling/clear",
    )),
    "/login",
    "/",
    "/config",
)  # fmt: skip

_PREDICT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("no such index", {"fn_index": 10**6, "data": []}),
    ("a negative index", {"fn_index": -1, "data": []}),
    ("a huge index", {"fn_index": 10**300, "data": []}),
    ("an index of letters", {"fn_index": "forecast", "data": []}),
    ("no index", {"data": [{}]}),
    ("data that is no list", {"fn_index": 0, "data": {"0": 1}}),
    ("no data", {"fn_index": 0}),
    ("a batch", {"fn_index": 0, "data": [[1], [2]], "batched": True}),
    ("a session with a path", {"fn_index": 0, "data": [], "session_hash": "../../etc"}),
    ("a long session", {"fn_index": 0, "data": [], "session_hash": "x" * 5000}),
    ("a session that is a list", {"fn_index": 0, "data": [], "session_hash": ["a"]}),
    ("a token", {"fn_index": 0, "data": [], "oauth_token": "hf_x"}),
)

HEADERS: tuple[dict[str, str], ...] = (
    {"host": "evil.example"},
    {"host": "a b\\c"},
    {"x-forwarded-host": "evil.example, other"},
    {"x-forwarded-host": "a b"},
    {"x-forwarded-host": "[::1"},
    {"x-forwarded-proto": "gopher"},
    {"x-forwarded-for": "not an address, " * 500},
    {"x-forwarded-for": "::ffff:999.1.1.1"},
    {"forwarded": "for=127.0.0.1;host=evil.example"},
    {"range": "bytes=0-99999999999999999999"},
    {"authorization": "Bearer hf_x", "x-gradio-history-bucket": "owner/bucket"},
    {"cookie": "access-token=" + "x" * 8000},
    {"origin": "http://evil.example"},
    {"upgrade": "websocket", "connection": "upgrade"},
    {"expect": "100-continue"},
    {"x-http-method-override": "DELETE"},
)


def hostile(trap: str, work: str, scratch: str) -> Iterator[Request]:
    """Every hostile request, with the addresses of the trap and the folders filled in."""

    def here(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{trap}", trap).replace("{work}", work).replace("{scratch}", scratch)
        return {name: here(part) for name, part in value.items()} if isinstance(value, dict) else value

    yield from _recipes([here(name) for name in (*PATHS, *ADDRESSES, *NAMES, *TYPES)], [here(file) for file in FILES])
    yield from _bodies()
    yield from _routes([here(path) for path in READ])


def _recipes(names: list[Any], files: list[dict[str, Any]]) -> Iterator[Request]:
    """Requests to the public endpoints."""
    for name in names:
        yield _named("prune", {"model": name})
        yield _named("prune", {"model": "demo/minilm-sentiment", "calibration": name})
        yield _named("forecast", {"model": name})
    for name, values in CHOICES.items():
        for value in values:
            yield _named("prune", {"model": "demo/minilm-sentiment", name: value})
    for file in files:
        yield _call("forecast", [file])
        yield _named("prune", {"model": file})
        yield _named("prune", {"edits": [[{"deep": file}]]})
    for data in ([], [1], ["x"], [None], [[]], [{"model": "x"}] * 1000, [{"model": "demo/minilm-sentiment"}]):
        yield _call("prune", data)
    for name in ("nope", "../../x", "%2e%2e", "v2/nope", "explore", "v2/explore", "a" * 3000):
        yield _call(name, [])


def _bodies() -> Iterator[Request]:
    """Malformed bodies, sent to the routes that take requests."""
    for name, body, headers in BODIES:
        for path in (f"{API}/call/prune", f"{API}/queue/join"):
            yield Request(f"{path} with {name}", "POST", path, body, headers)
    for name, raw in _PREDICT:
        for path in (f"{API}/queue/join", f"{API}/run/predict"):
            yield Request(f"{path} with {name}", "POST", path, {"session_hash": "visitor", **raw})
    for body in ({"session_hash": "x", "fn_index": 0, "event_id": "x"}, {"session_hash": 1}, {}):
        yield Request(f"cancel {body}", "POST", f"{API}/cancel", body)
    yield Request("reset", "POST", f"{API}/reset", {"event_id": []})


def _routes(read: list[str]) -> Iterator[Request]:
    """Routes that the page does not use, and attempts to bypass their refusal."""
    for path in read:
        yield Request(f"GET {path}", "GET", path)
        yield Request(f"HEAD {path}", "HEAD", path)
    for path in WRITTEN:
        yield Request(
            f"POST {path}", "POST", path, {"data": [], "session_hash": "x", "component_id": 1, "fn_name": "x"}
        )
    yield Request("upload of parts", "POST", f"{API}/upload", *BODIES[-2][1:])
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "CONNECT"):
        yield Request(f"{method} /", method, "/")
    for session in ("x", "../../etc", "%00", "a" * 5000, "visitor'--"):
        yield Request(f"events of {session[:20]}", "GET", f"{API}/queue/data?session_hash={session}")
        yield Request(f"events of call {session[:20]}", "GET", f"{API}/call/prune/{session}")


def unharmed(trap: str) -> Iterator[Request]:
    """Requests with odd headers or queries that are answered normally."""
    for headers in HEADERS:
        yield Request(f"/ with {str(headers)[:60]}", "GET", "/", None, headers)
        yield Request(f"/config with {str(headers)[:60]}", "GET", "/config", None, headers)
    for query in (
        "model=/etc/passwd", "model={trap}/x", "calibration=secret.txt", "deep_link=../../etc", "ratio=nan&seed=1e999",
        "%00=%ff", "tab=../../etc", "site=<script>", "&".join("edits=x" for _ in range(3000)), "__theme=<script>",
        "page=../../x",
    ):  # fmt: skip
        for path in ("/", "/card.png"):
            yield Request(f"{path}?{query[:30]}", "GET", f"{path}?{query.replace('{trap}', trap)}")


def _call(endpoint: str, data: Any) -> Request:
    return Request(f"{endpoint} with {ascii(data)[:70]}", "POST", f"{API}/call/{endpoint}", {"data": data})


def _named(endpoint: str, choices: dict[str, Any]) -> Request:
    """A call of an endpoint by the names of its parameters."""
    return Request(f"{endpoint} with {ascii(choices)[:70]}", "POST", f"{API}/call/v2/{endpoint}", choices)
