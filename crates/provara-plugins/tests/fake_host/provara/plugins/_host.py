"""A stand-in for the plugin host, in plain Python, that misbehaves on request.

The environment variable PROVARA_PLUGINS names the behaviour.
"""

import json
import os
import signal
import subprocess
import sys
import time

MODE = os.environ.get("PROVARA_PLUGINS", "good")
FD = int(sys.argv[sys.argv.index("--protocol-fd") + 1])
VERSION = os.environ["PYTHONPATH"].rsplit("version-", 1)[-1]


def read(size):
    data = b""
    while len(data) < size:
        chunk = os.read(FD, size - len(data))
        if not chunk:
            sys.exit(0)
        data += chunk
    return data


def frame(reply):
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return len(body).to_bytes(4, "big") + body


def descriptors():
    found = []
    for number in range(3, 256):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found


OPEN = descriptors()


# Each level applies the next one twice: a billion steps for one document.
EXPLOSIVE = json.dumps(
    {
        "$ref": "#/$defs/d0",
        "$defs": {
            **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)},
            "d30": {"required": ["ok"]},
        },
    }
)


def discover():
    plugin = {
        "kind": "event_type",
        "name": "com.acme.audit.login",
        "class": "fake.Login",
        "distribution": "fake",
        "version": "1.0",
        "source": "entry_point",
        "entry_point": "login",
        "schema_json": EXPLOSIVE if MODE == "explosive" else '{"type":"object","required":["ok"]}',
        "schema_version": "1.0",
        "cli_command": "login",
    }
    reducer = {
        "kind": "reducer",
        "name": "com.acme.sum",
        "class": "fake.Sum",
        "source": "registered",
    }
    export = {"kind": "export", "name": "csv", "class": "fake.Csv", "source": "environment"}
    return {"plugins": [plugin, reducer, export], "problems": []}


def say_loading(request, loading):
    """Say what is loaded next, and wait until that is noted."""
    os.write(FD, frame({"id": request["id"], "loading": loading}))
    noted = json.loads(read(int.from_bytes(read(4), "big")))
    assert noted == {"id": request["id"], "noted": True}, noted


def load(request):
    """Name plugins, each with its module, and do what the mode says that loading them does."""
    plugins = [("one", "a"), ("two\x1b (pkg)", "b"), ("three", "b"), ("four", "c"), ("five", None)]
    if MODE == "loading many":
        plugins = [(f"p{number}", None) for number in range(20)]
    if MODE == "loading endless":
        plugins *= 10_000
    skip = request["skip"]
    for name, module in plugins:
        if any(name == one["plugin"] or (module and module == one["module"]) for one in skip):
            if MODE != "loading deaf":
                continue
        say_loading(request, {"plugin": name, "module": module})
        print("loads", name, flush=True)
        if MODE in ("loading dies", "loading deaf") and name.startswith("two"):
            os._exit(3)
        if MODE == "loading hangs" and name.startswith("two"):
            time.sleep(60)
        if MODE == "loading breaks" and name.startswith("two"):
            os.write(FD, frame(b"hello"))
        if MODE == "loading many":
            os._exit(3)
    say_loading(request, None)
    if MODE == "loading ends":
        os._exit(3)


def reduce(request):
    os.lseek(request["log_fd"], 0, os.SEEK_SET)
    data = os.read(request["log_fd"], request["log_length"])
    output = {
        "lines": data.count(b"\n"),
        "bytes": len(data),
        "environment": sorted(os.environ),
        "descriptors": OPEN,
        "cwd": os.getcwd(),
        "stdin": sys.stdin.read(),
        "one": 1.0,
    }
    text = {
        "nan": '{"a":NaN}',
        "duplicate": '{"a":1,"a":2}',
        "huge": '{"a":[1,1e999]}',
        "integers": '{"a":[9007199254740993, -100000000000000000000, 1.0, 1e16]}',
    }.get(MODE, json.dumps(output))
    return {"output_json": text}


def misbehave(request):
    """Return the bytes to send instead of the good reply, or None."""
    number = request["id"]
    if MODE == "wrong_id":
        return frame({"id": number + 1, "ok": True, "result": {}})
    if MODE == "not_json":
        return frame(b"hello")
    if MODE == "oversized":
        return b"\xff\xff\xff\xff"
    if MODE == "truncated":
        os.write(FD, (100).to_bytes(4, "big") + b"{")
        os._exit(0)
    if MODE == "raise":
        error = {
            "kind": "raised",
            "plugin": "p\x1b",
            "exception": "ValueError",
            "message": "no\nway",
        }
        return frame({"id": number, "ok": False, "error": error})
    if MODE == "exit":
        os._exit(3)
    if MODE == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if MODE == "close":
        os.close(FD)
        time.sleep(60)
    if MODE == "never":
        time.sleep(60)
    if MODE == "refused":
        error = {"kind": "raised", "exception": "PermissionError", "tried": "open('/etc/passwd')"}
        return frame({"id": number, "ok": False, "error": error})
    if MODE in ("daemon", "bare daemon"):
        # Leaves its parent, its group and its session, and at will its environment.
        inner = "import os, time; print('child', os.getpid(), flush=True); time.sleep(60)"
        outer = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {inner!r}],"
        outer += " start_new_session=True)"
        bare = {} if MODE == "bare daemon" else None
        subprocess.run([sys.executable, "-c", outer], env=bare, start_new_session=True)
        time.sleep(60)
    if MODE == "child":
        # A child that outlives its parent unless it is looked after.
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print("child", child.pid, flush=True)
        time.sleep(60)
    return None


def attempt(code, request):
    """Run code that puts what it got into `got`, and return what happened."""
    names = {"request": request}
    try:
        exec(code, names)
    except BaseException as error:
        return {"failed": type(error).__name__, "text": str(error)}
    return {"got": repr(names.get("got"))}


while True:
    request = json.loads(read(int.from_bytes(read(4), "big")))
    op = request["op"]
    if MODE == "print":
        print("to stdout")
        print("\x1b[31mto stderr", file=sys.stderr)
    if op == "hello":
        result = {
            "protocol": 1 if MODE == "protocol" else 2,
            "version": "0.0.1" if MODE == "version" else VERSION,
            "python": sys.version.split()[0],
            "executable": sys.executable,
        }
    elif op == "discover":
        if MODE.startswith("loading"):
            load(request)
        if MODE == "dies":
            os._exit(3)
        if MODE == "early":
            os.write(FD, frame({"id": request["id"] + 1, "ok": True, "result": {"valid": True}}))
        if MODE == "forged":
            # A list of its own; the host's follows, late enough to be missed by a short look.
            empty = {"plugins": [], "problems": []}
            os.write(FD, frame({"id": request["id"], "ok": True, "result": empty}))
            time.sleep(0.1)
        result = discover()
    else:
        if MODE.startswith("["):
            said = [attempt(code, request) for code in json.loads(MODE)]
            result = {"valid": False, "reason": json.dumps(said)}
            if op == "reduce":
                result = {"output_json": result["reason"]}
            elif op == "export":
                with open(request["output_path"], "w") as file:
                    file.write(result["reason"])
                result = {}
            os.write(FD, frame({"id": request["id"], "ok": True, "result": result}))
            continue
        instead = misbehave(request)
        if instead is not None:
            os.write(FD, instead)
            continue
        if op == "validate":
            result = {"valid": request["data"].get("ok") is True, "reason": "not\tok"}
            if "tried" in request["data"]:
                result["tried"] = request["data"]["tried"]
        elif op == "reduce":
            result = reduce(request)
        elif op == "export":
            with open(request["output_path"], "w") as file:
                file.write(request["vault_path"])
            result = {}
    reply = frame({"id": request["id"], "ok": True, "result": result})
    os.write(FD, reply)
    if MODE == "twice" and op == "validate":
        os.write(FD, reply)


def main():
    """What the executable calls once the stream has ended."""
