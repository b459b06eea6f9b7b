#!/usr/bin/env python3
"""includes - who may include whom. Reads every #include below gateway, src, include and agent-proto and
reports those that the table in docs/ARCHITECTURE.md ("Layers") does not allow."""
import pathlib
import re
import sys

# layer: the layers it may use besides its own
LAYERS = {
    "base": [],
    "net": ["base"],
    "agent-proto": ["base"],
    "agent": ["base", "net", "agent-proto"],
    "ctl": ["base", "net"],
    "emulator": ["base", "net"],
    # inside the gateway; "gateway" is gateway.h and config.h, which hold no code
    "gateway": ["base"],
    "gateway/state": ["base", "net", "gateway"],
    "gateway/auth": ["base", "net", "gateway"],
    "gateway/image": ["base", "net", "gateway", "gateway/auth"],
    "gateway/agents": ["base", "net", "agent-proto", "gateway", "gateway/state"],
    "gateway/cloud": ["base", "net", "agent-proto", "gateway", "gateway/auth", "gateway/state",
                      "gateway/agents", "gateway/image"],
    "gateway/relay": ["base", "net", "agent-proto", "gateway", "gateway/state", "gateway/agents"],
    "gateway/api": ["base", "net", "agent-proto", "gateway", "gateway/state", "gateway/agents",
                    "gateway/image", "gateway/cloud", "gateway/relay"],
    "gateway/main": ["base", "net", "gateway", "gateway/auth", "gateway/state", "gateway/agents", "gateway/image",
                     "gateway/cloud", "gateway/relay", "gateway/api"],
}

# Files at the top of gateway/ by layer; others there are main's.
TOP = {"gateway.h": "gateway", "config.h": "gateway", "handover.h": "gateway", "relay": "gateway/relay", "relay_state.h": "gateway/relay", "relay_save": "gateway/relay",
       "stdcopy": "gateway/relay", "detach_keys": "gateway/relay", "health": "gateway/relay"}

# header (prefix): the files or folders it is confined to
CONFINED = {
    "libwebsockets.h": ["gateway/agents/callback.c"],
    # the last two: only its URL functions, no transfers
    "curl/": ["src/net/http_client.c", "src/ctl/", "gateway/cloud/run.c", "gateway/cloud/storage.c",
              "gateway/image/registry_url.c", "gateway/image/registry_token.c"],
    "archive.h": ["src/agent/tool_extract.c", "gateway/image/archive"],
    "archive_entry.h": ["src/agent/tool_extract.c", "gateway/image/archive"],
    "llhttp.h": ["src/net/http1.c"],
    "tunnel.pb-c.h": ["agent-proto/control.c"],
    "sqlite3.h": ["gateway/state/store_sqlite.c"],
    "openssl/": ["src/base/token.c", "src/net/tls.c", "src/net/tls_borrowed.c", "src/net/conn_tls.c", "gateway/auth/sign.c"],
    "jansson.h": ["agent-proto/dialect.c", "gateway/", "src/agent/", "src/ctl/", "src/emulator/"],
    "uv.h": ["gateway/", "src/agent/", "src/ctl/", "src/emulator/", "src/net/", "include/net/"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def layer(path):
    parts = path.parts
    if parts[0] in ("src", "include"):
        return parts[1]
    if parts[0] == "gateway":
        if len(parts) > 2:
            return f"gateway/{parts[1]}"
        return TOP.get(parts[1], TOP.get(path.stem, "gateway/main"))
    return parts[0]


def resolve(root, path, name):
    for folder in (path.parent, pathlib.Path("include"), pathlib.Path("agent-proto"), pathlib.Path("gateway")):
        if (root / folder / name).exists():
            return folder / name
    return None


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    complaints, seen = [], 0
    for top in ("gateway", "src", "include", "agent-proto"):
        for file in sorted((root / top).rglob("*.[ch]")):
            path = file.relative_to(root)
            own = layer(path)
            text = file.read_text()
            for m in INCLUDE.finditer(text):
                seen += 1
                name = m[2]
                where = f"{path}:{text.count(chr(10), 0, m.start()) + 1}"
                for header, places in CONFINED.items():
                    if name.startswith(header) and not any(str(path).startswith(p) for p in places):
                        complaints.append(f"{where}: <{name}> belongs to {', '.join(places)}")
                target = resolve(root, path, name) if m[1] == '"' else None
                if not target:
                    continue
                other = layer(target)
                if other != own and other not in LAYERS[own]:
                    complaints.append(f"{where}: {own} may not include {target} ({other})")
    print("\n".join(complaints))
    print(f"includes: {seen} read, {len(complaints)} not allowed")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
