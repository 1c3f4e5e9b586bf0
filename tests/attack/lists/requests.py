# SPDX-License-Identifier: Apache-2.0
"""List H: the HTTP port, second part: requests that are wrong, odd, or two at once."""
import random
import socket

from frame import attack
from target import many

SECOND = b"GET /second HTTP/1.1\r\nHost: b\r\n\r\n"  # smuggled: nobody asked for it
DICE = 7
SILENT_S = 0.3


def answers(t, shapes):
    """What each is answered, until the daemon closes or is silent."""
    for shape in shapes:
        yield shape, t.answer(shape, timeout_s=SILENT_S)


def only_one(t, shapes):
    """Each gets one answer at most, and then the daemon closes: what may be a second request
    is not looked at. How many there were."""
    n = 0
    for shape, answer in answers(t, shapes):
        assert answer.count(b"HTTP/1.") <= 1, f"{shape!r} became two: {answer!r}"
        assert not answer or b"\r\nConnection: close\r\n" in answer, \
            f"{shape!r} may go on: {answer!r}"
        n += 1
    return n


@attack("H30", "smuggling: Content-Length and Transfer-Encoding that disagree")
def lengths(t):
    post, get = b"POST /live HTTP/1.1\r\nHost: a\r\n", b"GET /live HTTP/1.1\r\nHost: a\r\n"
    length = b"Content-Length: %d\r\n" % len(SECOND)
    chunked = b"Transfer-Encoding: chunked\r\n"
    ends = [
        length + chunked + b"\r\n0\r\n\r\n", chunked + length + b"\r\n0\r\n\r\n",
        chunked + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 33\r\n\r\n",
        b"Content-Length: 33\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 0, 33\r\n\r\n", b"Content-Length: +0\r\n\r\n",
        b"Content-Length: -1\r\n\r\n", b"Content-Length: 0x21\r\n\r\n",
        b"Content-Length: 3 3\r\n\r\n", b"Content-Length:\r\n\r\n", b"Content-Length: a\r\n\r\n",
        b"Content-Length : 33\r\n\r\n", b"Content-Length\t: 33\r\n\r\n",
        b" Content-Length: 33\r\n\r\n", b"X: y\r\n Content-Length: 33\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: \x00chunked\r\n\r\n0\r\n\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"X: y\x00\r\n\r\n", b"X\x00: y\r\n\r\n", b"X: y\r\r\n\r\n", b"X: y\n\n",
        b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nX: y\r\n\r\n",
    ]
    return f"{only_one(t, [way + end + SECOND for way in (post, get) for end in ends])} shapes"


@attack("H31", "smuggling: chunks that end in other ways than they say")
def chunks(t):
    head = b"POST /live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    bodies = (b"0\r\n\r\n", b"0\n\n", b"0;a=b\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"00000\r\n\r\n",
        b"1\r\nZ\r\n0\r\n\r\n", b"1\r\nZZ\r\n0\r\n\r\n", b"1\nZ\n0\n\n", b"0x1\r\nZ\r\n0\r\n\r\n",
        b"1\r\nZ0\r\n\r\n", b"-0\r\n\r\n", b" 0\r\n\r\n", b"0 \r\n\r\n",
        b"0\r\nContent-Length: 33\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"2;\nxx\r\nGET /b HTTP/1.1\r\n\r\n0\r\n\r\n")
    return f"{only_one(t, [head + body + SECOND for body in bodies])} shapes"


@attack("H32", "Expect, Upgrade, Trailer, hop-by-hop and doubled headers")
def others(t):
    lines = (b"Expect: 100-continue\r\nContent-Length: 0\r\n", b"Expect: 200-maybe\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"Trailer: X\r\n", b"TE: trailers\r\n",
        b"Host: b\r\n", b"Host: b\r\nHost: c\r\n")
    shapes = [b"GET /live HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n" + SECOND for line in lines]
    n = 0
    for shape, answer in answers(t, shapes):
        answer = answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        assert answer.count(b"HTTP/1.") <= 1, f"{shape!r} became two: {answer!r}"
        assert b"101 Switching" not in answer, answer[:80]
        n += 1
    return f"{n} shapes"


@attack("H33", "request lines: no version, other versions, other forms, no words at all")
def request_lines(t):
    fine = (b"200", b"404", b"405")
    lines = {b"GET /live": b"", b"GET /live HTTP/1.0": b"200", b"GET /live HTTP/2.0": b"",
        b"GET /live HTTP/9.9": b"", b"GET /live HTTP/1.1 HTTP/1.1": b"", b"GET  /live HTTP/1.1": b"",
        b"GET\t/live\tHTTP/1.1": b"", b"GET /live http/1.1": b"", b"get /live HTTP/1.1": b"",
        b"GET http://b/live HTTP/1.1": b"200", b"GET http:///live HTTP/1.1": b"",
        b"GET ftp://b/live HTTP/1.1": b"", b"GET * HTTP/1.1": b"404", b"GET b:80 HTTP/1.1": b"",
        b"OPTIONS * HTTP/1.1": b"405", b"CONNECT b:80 HTTP/1.1": b"405", b"": b"", b" ": b"",
        b"GET": b"", b"GET / HTTP/": b"", b"GET / HTTP/1.": b"", b"GET / HTTP/-1.1": b"",
        b"GET / HTTP/1.1\x00": b"", b"G\x00ET / HTTP/1.1": b"", b"GET /\x00 HTTP/1.1": b"",
        b"GET /live\x01 HTTP/1.1": b"", b"GET /\xff\xfe HTTP/1.1": b"", b"GET /#a HTTP/1.1": b"",
        b"GET //b/live HTTP/1.1": b"200", b"GET /../live HTTP/1.1": b"404",
        b"GET /live/ HTTP/1.1": b"404", b"GET /%6cive HTTP/1.1": b"200",
        b"GET /live%00 HTTP/1.1": b"404", b"GET /live;a HTTP/1.1": b"404"}
    for line, status in lines.items():
        answer = t.answer(line + b"\r\nHost: a\r\nConnection: close\r\n\r\n", SILENT_S)
        got = answer[9:12]
        assert answer.count(b"HTTP/1.") <= 1, f"{line!r}: {answer!r}"
        assert got == status or (status == b"" and got in (b"400", b"501", b"") + fine), \
            f"{line!r} was answered {got!r}"
    return f"{len(lines)} lines"


@attack("H34", "methods that nobody serves, and those that nobody knows")
def methods(t):
    names = ("POST PUT DELETE OPTIONS TRACE CONNECT PATCH PROPFIND FOO get "
        "A" + "B" * 1000).split(" ")
    for name in names:
        for path in ("/metrics", "/live", "/", "/other"):
            answer = t.answer(f"{name} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                .encode(), SILENT_S)
            assert answer[9:12] in (b"405", b"501", b"400", b""), answer[:80]
            assert b"TRACE" not in answer and b"FOO" not in answer, "the request is echoed"
    return f"{len(names)} methods"


@attack("H35", "TLS, HTTP/2 and other greetings, and dice")
def greetings(t):
    dice = random.Random(DICE)
    shapes = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40), b"\0SP\0\0\x30\0\0", b"SSH-2.0-a\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"\r\n" * 1000, b"\n" * 5000, b"\0" * 9000]
    shapes += [dice.randbytes(1 + i * 37 % 3000) for i in range(many(20, 1000))]
    for shape in shapes:
        connection = t.http()
        try:
            connection.sendall(shape)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
            assert answer[9:12] in (b"400", b"501", b""), answer[:80]
        except OSError:
            pass
        connection.close()
    return f"{len(shapes)} greetings"


@attack("H36", "bad percent-encoding, NUL, UTF-8 and half of it in filters")
def encodings(t):
    values = ["%", "%%", "%4", "%zz", "%00", "a%00b", "%c3%a9", "%c3", "%ff%fe", "%ed%a0%80",
        "%f8%88%80%80%80", "+", "%2B", "%0d%0aX-Injected:%20yes", "%0d%0a%0d%0a<script>",
        "%22%7D%20666", "..%2f..%2fetc", "%e2%80%ae", "%25%32%35"]
    keys = ["name[]", "namespace", "name%5b%5d", "%6eame[]", "name%00[]", "%", "", "%0d%0a"]
    n = 0
    for key in keys:
        for value in values:
            answer = t.answer(f"GET /metrics?{key}={value} HTTP/1.0\r\n\r\n".encode())
            assert answer[9:12] in (b"200", b"400"), answer[:80]
            head = answer.partition(b"\r\n\r\n")[0]
            assert b"Injected" not in answer and b"<script" not in answer, answer[:300]
            assert b"666" not in head, head
            n += 1
    raw = [b"GET /metrics?name[]=\xc3\xa9 HTTP/1.0\r\n\r\n",
        b"GET /metrics?name[]=\xff HTTP/1.0\r\n\r\n",
        b"GET /metrics?name[]=a\x00b HTTP/1.0\r\n\r\n",
        b"GET /metrics?namespace=\x7f HTTP/1.0\r\n\r\n"]
    for shape in raw:
        answer = t.answer(shape, SILENT_S)
        assert answer[9:12] in (b"200", b"400", b""), answer[:80]
    return f"{n + len(raw)} queries"


@attack("H37", "Accept and Accept-Encoding: weights, wildcards, nonsense")
def accepts(t):
    values = ["gzip", "gzip;q=0", "gzip;q=1.000", "gzip;q=1.0001", "gzip;q=2", "gzip;q=-1",
        "gzip;q=nan", "gzip;q=", "gzip;q", "gzip;;q=1", "*", "*;q=0", "*;q=0,gzip;q=0.001",
        "identity;q=0", "identity;q=0,gzip;q=0", "br, zstd, deflate", ",,,,", ";", "=", "gzip " * 500,
        "gzip," * 1000, "q=1", "\xff", "gzip;q=0.5;q=1", "x-gzip", "GZIP", "gz\tip", "*/*",
        "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
        "application/vnd.google.protobuf;proto=a;encoding=delimited", "text/html;q=0"]
    for value in values:
        for name in ("Accept-Encoding", "Accept"):
            answer = t.answer(f"GET /metrics?name[]=none HTTP/1.0\r\n{name}: {value}\r\n\r\n"
                .encode("latin-1"))
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head[9:12] in (b"200", b"400"), head[:80]
            packed = b"Content-Encoding: gzip" in head
            assert not packed or body[:2] == b"\x1f\x8b", "a packed page that is none"
            assert head[9:12] == b"400" or b"text/plain; version=0.0.4" in head, head
    return f"{2 * len(values)} headers"


@attack("H38", "whatever is asked, nothing of it comes back in a header")
def splitting(t):
    mark = "iwashere"
    shapes = [f"GET /{mark} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        f"GET /metrics?namespace={mark}&component= HTTP/1.1\r\nHost: {mark}\r\n"
        f"Connection: close\r\n\r\n",
        f"GET /%0d%0aX-{mark}:%20y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        f"GET http://{mark}/ HTTP/1.1\r\nOrigin: http://{mark}\r\nCookie: {mark}=1\r\n"
        f"Connection: close\r\n\r\n",
        f"GET /live?{mark} HTTP/1.1\r\nReferer: {mark}\r\nX-Forwarded-Host: {mark}\r\n"
        f"Connection: close, {mark}\r\n\r\n",
        f"{mark} / HTTP/1.1\r\nConnection: close\r\n\r\n",
        f"GET / HTTP/1.1\r\n{mark}: {mark}\r\nExpect: {mark}\r\nConnection: close\r\n\r\n"]
    for shape in shapes:
        answer = t.answer(shape.encode(), SILENT_S)
        head = answer.partition(b"\r\n\r\n")[0]
        assert mark.encode() not in head, head
        assert b"Access-Control" not in head and b"Set-Cookie" not in head, head
    return f"{len(shapes)} requests"


@attack("H39", "nothing that is asked changes anything")
def read_only(t):
    t.json({"metrics": [{"name": "stays_total", "type": "counter", "inc": 3}]})
    for path in ("/metrics", "/", "/health", "/live", "/remove", "/-/quit", "/-/reload",
            "/api/v1/admin/tsdb/delete_series?match[]=stays_total", "/metrics?remove=stays_total"):
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE"):
            t.answer(method + b" " + path.encode() +
                b" HTTP/1.1\r\nOrigin: http://evil\r\nConnection: close\r\n\r\n", SILENT_S)
    assert t.value("dynamo_stays_total") == 3
    return "45 requests"
