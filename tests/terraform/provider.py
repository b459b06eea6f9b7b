#!/usr/bin/python3
"""provider - a stand-in for the google provider: it knows the schema (google.json) and nothing else. Terraform attaches to
it by TF_REATTACH_PROVIDERS, and so `terraform validate` and `terraform test` with a mocked provider check every argument,
type and expression without Google's provider, which is not to be had everywhere.

usage: provider.py SOCKET      prints the value of TF_REATTACH_PROVIDERS when it listens; ends with its stdin

It speaks Terraform's plugin protocol 5: gRPC, with messages put together here, since there are so few."""
import concurrent.futures
import json
import os
import pathlib
import sys

import grpc

SCHEMA = json.loads(pathlib.Path(__file__).with_name("google.json").read_text())
NESTING = {"single": 1, "list": 2, "set": 3}


# ---- protocol buffers: numbers and byte strings are all there is ----

def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def number(field, n):
    return varint(field << 3) + varint(n) if n else b""


def text(field, value):
    data = value if isinstance(value, bytes) else value.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data


def first_message(data):
    """Field 1 of a request, as it is: the value that is handed back as prepared."""
    length, shift, at = 0, 0, 1
    while True:
        length |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return data[at:at + length]


# ---- the schema, as messages ----

def attribute(name, kind, mode):
    return (text(1, name) + text(2, json.dumps(kind)) + number(4, "r" in mode) + number(5, "o" in mode)
            + number(6, "c" in mode))


def nested(name, nesting, most, required, inner):
    message = text(1, name) + text(2, block(inner)) + number(3, NESTING[nesting])
    return message if nesting == "single" else message + number(4, required) + number(5, most)


def block(b):
    return b"".join(text(2, attribute(n, *a)) for n, a in b["attributes"].items()) + \
        b"".join(text(3, nested(n, *x)) for n, x in b["blocks"].items())


def get_schema(_request, _context):
    out = text(1, text(2, block(SCHEMA["provider"])))
    for name, resource in SCHEMA["resources"].items():
        out += text(2, text(1, name) + text(2, text(2, block(resource))))
    return out


def prepare(request, _context):
    return text(1, first_message(request))


def nothing(_request, _context):
    return b""


HANDLERS = {
    "GetSchema": get_schema, "PrepareProviderConfig": prepare, "Configure": nothing, "Stop": nothing,
    "ValidateResourceTypeConfig": nothing, "ValidateDataSourceConfig": nothing,
}


def main():
    path = os.path.abspath(sys.argv[1])
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    methods = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in HANDLERS.items()}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("tfplugin5.Provider", methods)])
    if not server.add_insecure_port(f"unix:{path}"):
        sys.exit(f"provider: cannot listen at {path}")
    server.start()
    print(json.dumps({"registry.terraform.io/hashicorp/google": {
        "Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True,
        "Addr": {"Network": "unix", "String": path}}}), flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main()
