#!/usr/bin/env python3
"""schema - writes google.json, what the google provider knows of the resources we use: names of arguments,
their types, what is required, what only the provider fills in. Taken from the npm package @cdktf/provider-google, whose
classes are generated from the provider's own schema. Run by hand when a resource or a version is added:

    npm pack @cdktf/provider-google@16.12.1 && tar xzf cdktf-provider-google-16.12.1.tgz
    tests/terraform/schema.py package RESOURCE... >tests/terraform/google.json      (no RESOURCE: those in the file)

The file: {"version", "provider": BLOCK, "resources": {NAME: BLOCK}}; a BLOCK is {"attributes": {NAME: [TYPE, MODE]},
"blocks": {NAME: [NESTING, MAX, REQUIRED, BLOCK]}}; MODE holds r (required), o (optional), c (computed)."""
import json
import pathlib
import re
import sys

SIMPLE = {"string": "string", "number": "number", "boolean": "bool"}
READ = {"getStringAttribute": "string", "getNumberAttribute": "number", "getBooleanAttribute": "bool",
        "getListAttribute": ["list", "string"], "getStringMapAttribute": ["map", "string"]}
# Optional, and filled in by the provider when left out: the package does not say so. Those we read.
COMPUTED_TOO = {"google_compute_address.address", "google_compute_address.project", "google_storage_bucket.project"}
ENTRY = re.compile(r"^\s+(\w+): \{\n\s+value: ([^\n]*),\n\s+isBlock: (\w+),\n\s+type: \"(\w+)\",\n"
                   r"\s+storageClassType: \"(\w+)\"", re.M)
COMPUTED = re.compile(r"// (\w+) - computed: true, optional: false, required: false\n\s*([^\n]*\n[^\n]*)")


def pieces(text, pattern):
    """What begins with the pattern, by its first group, up to the next."""
    starts = list(re.finditer(pattern, text, re.M))
    ends = [m.start() for m in starts[1:]] + [len(text)]
    return {m[1]: text[m.start():end] for m, end in zip(starts, ends)}


class Source:
    """The generated file of one resource: classes and tables from the JavaScript, required or not from the interfaces."""

    def __init__(self, folder):
        text = (folder / "index.js").read_text()
        self.kind, self.version = (re.search(rf"{key}: '([^']+)'", text)[1]
                                   for key in ("terraformResourceType", "providerVersion"))
        self.classes = pieces(text, r"^class (\w+) extends cdktf\.")
        self.tables = {name: code.split("\n}\n")[0] for name, code in pieces(text, r"^function (\w+)ToHclTerraform\(").items()}
        self.interfaces = pieces((folder / "index.d.ts").read_text(), r"^export interface (\w+) ")
        self.main = re.search(r"^class (\w+) extends cdktf\.Terraform", text, re.M)[1]

    def block(self, table, cls, interface):
        attributes, blocks = {}, {}
        declared = self.interfaces.get(interface, "")
        for name, value, is_block, nesting, kind in ENTRY.findall(table):
            camel = re.findall(r"(?:this\._|struct\.|struct!\.)(\w+)", value)[-1]
            mode = "r" if re.search(rf"readonly {camel}:", declared) else "o"
            if is_block == "true":
                struct = next(n for n in re.findall(r"(\w+)ToHclTerraform", value))
                one = re.search(rf'new \w+OutputReference\(this, "{name}"', cls)
                pascal = struct[0].upper() + struct[1:]
                inner = self.block(self.tables[struct], self.classes.get(pascal + "OutputReference", ""), pascal)
                kind = "single" if nesting == "struct" else nesting
                blocks[name] = [kind, 1 if one else 0, mode == "r", inner]
            elif nesting == "simple":
                attributes[name] = [SIMPLE[kind], mode]
            else:
                element = SIMPLE[kind.removesuffix("List").removesuffix("Map")] if kind[0].islower() else "dynamic"
                attributes[name] = [[nesting, element], mode]
        for name, code in COMPUTED.findall(cls):
            kind = next((t for call, t in READ.items() if f".{call}(" in code), "dynamic")
            attributes.setdefault(name, [["map", "string"] if "StringMap(" in code else kind, "c"])
        return {"attributes": attributes, "blocks": blocks}

    def whole(self):
        table = self.classes[self.main]
        block = self.block(table[table.index("synthesizeHclAttributes"):], table, self.main + "Config")
        for name in block["attributes"]:
            if name == "id" or f"{self.kind}.{name}" in COMPUTED_TOO:
                block["attributes"][name][1] = "oc"
        return block


def main():
    package, wanted = pathlib.Path(sys.argv[1]), sys.argv[2:]
    here = pathlib.Path(__file__).with_name("google.json")
    wanted = wanted or list(json.loads(here.read_text())["resources"])
    resources = {}
    for name in sorted(set(wanted)):
        source = Source(package / "lib" / name.removeprefix("google_").replace("_", "-"))
        assert source.kind == name, (source.kind, name)
        resources[name] = source.whole()
    provider = Source(package / "lib" / "provider")
    text = json.dumps({"version": provider.version, "provider": provider.whole(), "resources": resources}, separators=(",", ":"))
    print(re.sub(r'("google_\w+":)', r"\n\1", text))


if __name__ == "__main__":
    main()
