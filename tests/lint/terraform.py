#!/usr/bin/env python3
"""terraform - what must hold of terraform/ without Terraform at hand: syntax and layout; everything declared is used,
everything used is declared, typed and described; arguments and blocks are the google provider's
(tests/terraform/google.json); the outputs that were promised are there; settings are the gateway's; the gateway's
permissions are those that docs/google-api.md gives a reason for; the machine's start-up script asks for metadata it gets."""
import collections
import json
import pathlib
import re
import sys

import hcl

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "tests/terraform/google.json").read_text())
META = {"count", "for_each", "depends_on", "provider", "lifecycle", "dynamic", "connection", "provisioner"}
VARIABLE, OUTPUT = {"description", "type", "default", "sensitive", "nullable"}, {"description", "value", "sensitive"}
KINDS = {"terraform", "provider", "variable", "locals", "resource", "module", "output"}
TERRAFORMS_OWN = {"var", "local", "each", "path", "count", "self", "string", "number", "bool", "any"}
PROMISED = ("project_id region vpc_network_name vpc_network_id vpc_connector_name vpc_connector_id dns_zone_name "
            "dns_zone_dns_name gcs_bucket_name gcs_bucket_url artifact_registry_repository_name "
            "artifact_registry_repository_url service_account_email service_account_id").split()
OUTPUTS = {"modules/cloudrun": PROMISED + ["gateway_env"], "environments/cloudrun/live": PROMISED + ["gateway_env"],
           "environments/cloudrun/simulator": PROMISED + ["gateway_env"]}
faults = []


def fault(where, line, what):
    faults.append(f"{where.relative_to(ROOT)}:{line}: {what}")


def refs_of(block):
    for expr, line in block.args.values():
        for ref in expr.refs:
            yield ref, line
    for inner in block.blocks:
        # The name of a dynamic block is bound inside it.
        bound = inner.labels[0] if inner.kind == "dynamic" else None
        for ref, line in refs_of(inner):
            if ref[0] != bound:
                yield ref, line


class Folder:
    """One root module or module: all its files."""

    def __init__(self, path):
        self.path, self.name = path, str(path.relative_to(ROOT / "terraform"))
        self.found = collections.defaultdict(dict)   # kind -> name -> (Block, file)
        self.locals, self.refs = {}, []
        for file in sorted(path.glob("*.tf")):
            layout(file)
            try:
                self.add(file, hcl.read(file.read_text()))
            except hcl.Bad as e:
                faults.append(f"{file.relative_to(ROOT)}: {e}")

    def add(self, file, body):
        for block in body.blocks:
            if block.kind not in KINDS:
                fault(file, block.line, f"a block {block.kind}")
            if block.kind == "locals":
                self.locals.update({n: (e, file, line) for n, (e, line) in block.args.items()})
            name = ".".join(block.labels)
            if name in self.found[block.kind] and block.kind != "locals":
                fault(file, block.line, f"{block.kind} {name} is there twice")
            self.found[block.kind][name or block.line] = (block, file)
            # A variable that only its own validation names is not used.
            own = ("var", name) if block.kind == "variable" else None
            self.refs += [(ref, file, line) for ref, line in refs_of(block) if ref != own]

    def of(self, kind):
        return ((name, block, file) for name, (block, file) in self.found[kind].items())


def layout(file):
    """Two blanks a level, and the equal signs of neighbouring one-line arguments in one column: as terraform fmt does."""
    depth, group = 0, []
    lines = file.read_text().split("\n")
    for n, line in enumerate(lines + [""], 1):
        bare = re.sub(r'"(?:[^"\\$]|\\.|\$(?!\{)|\$\{(?:[^{}"]|"[^"]*"|\{[^{}]*\})*\})*"', '""', line).split("#")[0].rstrip()
        closing = len(re.match(r"\s*([\]})]*)", bare)[1])
        if bare and len(line) - len(line.lstrip()) != 2 * (depth - (1 if closing else 0)) and not re.match(r"\s*\} : \{", bare):
            fault(file, n, "indentation")
        argument = re.match(r"(\s*)([\w-]+)( *)= \S", bare)
        opened = sum(bare.count(c) for c in "([{") - sum(bare.count(c) for c in ")]}")
        if argument and not opened:
            group.append((n, len(argument[1] + argument[2] + argument[3]), argument[2], argument[3]))
        else:
            if group:
                column = max(at - len(blanks) for _, at, _, blanks in group) + 1
                for m, at, name, _ in group:
                    if at != column:
                        fault(file, m, f"the equal sign of {name} is out of line")
            group = []
        depth += (opened > 0) - (opened < 0)
    if lines[-1] or (len(lines) > 1 and not lines[-2]):
        fault(file, len(lines), "ends with one newline")


def variables(folder):
    used = {ref[1] for ref, _, _ in folder.refs if ref[0] == "var" and len(ref) > 1}
    for name, block, file in folder.of("variable"):
        for needed in ("type", "description"):
            if needed not in block.args:
                fault(file, block.line, f"variable {name} has no {needed}")
        for extra in set(block.args) - VARIABLE:
            fault(file, block.line, f"variable {name}: {extra}")
        for check in block.blocks:
            if check.kind != "validation" or set(check.args) != {"condition", "error_message"}:
                fault(file, check.line, "not a validation with condition and error_message")
        if name not in used:
            fault(file, block.line, f"variable {name} is not used")
    for ref, file, line in folder.refs:
        if ref[0] == "var" and (len(ref) < 2 or ref[1] not in folder.found["variable"]):
            fault(file, line, f"{'.'.join(ref)} is not declared")


def names(folder, modules):
    used = {ref[1] for ref, _, _ in folder.refs if ref[0] == "local" and len(ref) > 1}
    for name, (_, file, line) in folder.locals.items():
        if name not in used:
            fault(file, line, f"local {name} is not used")
    for ref, file, line in folder.refs:
        dotted = ".".join(ref)
        if ref[0] == "local" and ref[1] not in folder.locals:
            fault(file, line, f"{dotted} is not declared")
        elif ref[0] == "module":
            module = folder.found["module"].get(ref[1])
            source = modules.get(module[0].args["source"][0].text.split("/")[-1]) if module else None
            if not source or (len(ref) > 2 and ref[2] not in source.found["output"]):
                fault(file, line, f"{dotted}: no such module or output")
        elif ref[0].startswith("google_"):
            resource = ".".join(ref[:2])
            if resource not in folder.found["resource"]:
                fault(file, line, f"{resource} is not declared")
            elif len(ref) > 2:
                known = SCHEMA["resources"].get(ref[0], {"attributes": {}, "blocks": {}})
                if ref[2] not in known["attributes"] and ref[2] not in known["blocks"]:
                    fault(file, line, f"{dotted}: the resource has no such attribute")
        elif ref[0] not in TERRAFORMS_OWN:
            fault(file, line, f"{dotted}: what is that?")


def block_against(block, known, file, meta=()):
    attributes, blocks = known["attributes"], known["blocks"]
    for name, (_, line) in block.args.items():
        if name in meta:
            continue
        if name not in attributes:
            fault(file, line, f"{block.kind} {'.'.join(block.labels)}: no argument {name}")
        elif attributes[name][1] == "c":
            fault(file, line, f"{name} is the provider's to fill in")
    given = collections.Counter()
    for inner in block.blocks:
        if inner.kind in meta and inner.kind != "dynamic":
            continue
        name, body = inner.kind, inner
        if inner.kind == "dynamic":
            name, body = inner.labels[0], next((b for b in inner.blocks if b.kind == "content"), inner)
        given[name] += 1
        if name not in blocks:
            fault(file, inner.line, f"no block {name} here")
            continue
        block_against(body, blocks[name][3], file, meta=("dynamic",))
        if blocks[name][1] == 1 and given[name] > 1:
            fault(file, inner.line, f"only one block {name} is allowed")
    for name, (_, mode) in attributes.items():
        if "r" in mode and name not in block.args:
            fault(file, block.line, f"{block.kind} {'.'.join(block.labels)}: {name} is required")
    for name, (_, _, required, _) in blocks.items():
        if required and not given[name]:
            fault(file, block.line, f"{block.kind} {'.'.join(block.labels)}: a block {name} is required")


def blocks(folder, modules):
    for name, block, file in folder.of("resource"):
        known = SCHEMA["resources"].get(block.labels[0])
        if known:
            block_against(block, known, file, META)
        else:
            fault(file, block.line, f"{block.labels[0]} is not in tests/terraform/google.json")
    for name, block, file in folder.of("provider"):
        block_against(block, SCHEMA["provider"], file)
    for name, block, file in folder.of("output"):
        if "description" not in block.args or "value" not in block.args or set(block.args) - OUTPUT:
            fault(file, block.line, f"output {name}: wants description and value")
    for name, block, file in folder.of("module"):
        source = block.args["source"][0].text
        target = (folder.path / source).resolve()
        module = modules.get(target.name)
        if not module or module.path != target:
            fault(file, block.line, f"module {name}: no module at {source}")
            continue
        wanted = module.found["variable"]
        for argument in set(block.args) - set(wanted) - {"source", "count", "for_each", "depends_on", "providers"}:
            fault(file, block.line, f"module {name} has no variable {argument}")
        for variable, (declared, _) in wanted.items():
            if "default" not in declared.args and variable not in block.args:
                fault(file, block.line, f"module {name}: {variable} is required")


def settings(folders):
    """Names that look like settings, wherever they stand, are in the gateway's table."""
    source = (ROOT / "gateway/config_settings.c").read_text()
    known = set(re.findall(r'\{"(SOCKERLESS_\w+)"', source)) | {f"SOCKERLESS_GCR_{n}" for n in re.findall(r'\{GCR "(\w+)"', source)}
    files = [f for folder in folders for f in folder.path.glob("*.tf")]
    files += [ROOT / "deploy/gateway.env.example", ROOT / "deploy/sockerless-gateway.service", ROOT / "docs/deploy.md"]
    for file in files:
        for n, line in enumerate(file.read_text().split("\n"), 1):
            for name in set(re.findall(r"\bSOCKERLESS_[A-Z_]+\b", line)) - known:
                fault(file, n, f"the gateway has no setting {name}")


# Calls of docs/google-api.md, by method and path, and what they need. First match counts.
CALLS = [
    (r"POST /v2/\S*/jobs\?jobId", "run.jobs.create"), (r"PATCH /v2/\S*/jobs/J\?allowMissing", "run.jobs.update"),
    (r"GET /v2/\S*/jobs/J$", "run.jobs.get"), (r"DELETE /v2/\S*/jobs/J$", "run.jobs.delete"),
    (r"GET /v2/\S*/jobs(\?|$)", "run.jobs.list"), (r"POST /v2/\S*/jobs/J:run$", "run.jobs.run"),
    (r"GET /v2/\S*/executions(\?|$)", "run.executions.list"), (r"GET /v2/\S*/executions/E$", "run.executions.get"),
    (r"POST /v2/\S*/executions/E:cancel$", "run.executions.cancel"), (r"DELETE /v2/\S*/executions/E$", "run.executions.delete"),
    (r"GET /v2/\S*/tasks(\?|$)", "run.tasks.list"), (r"GET /v2/\S*/operations/O$", "run.operations.get"),
    (r"POST /v2/entries:list$", "logging.logEntries.list"), (r"GET /storage/v1/b/B$", "storage.buckets.get"),
    (r"POST /v1/\S*:generateAccessToken$", None),   # a role on the other account: roles/iam.serviceAccountTokenCreator
    (r"POST /storage/v1/b\?project", None),   # the bucket is made by Terraform, so it is there
    (r"GET /storage/v1/b/B/o\?prefix", "storage.objects.list"), (r"DELETE /storage/v1/b/B/o/O$", "storage.objects.delete"),
    (r"GET /storage/v1/b/B/o/O\?alt=media$", "storage.objects.get"),
    (r"POST /upload/storage/v1/b/B/o\?uploadType", "storage.objects.create"),
]


def permissions(folder):
    """Each call that the document lists has its permission, each permission its reason there, and no more is given."""
    document = ROOT / "docs/google-api.md"
    text = document.read_text()
    reasons = set(re.findall(r"^\| `((?:run|logging|storage)\.\w+\.\w+)` \|", text, re.M))
    given = set()
    for name in ("gateway_permissions", "gateway_bucket_permissions"):
        expr, file, line = folder.locals[name]
        listed = [item.text for item in expr.items]
        given |= set(listed)
        if listed != sorted(listed):
            fault(file, line, f"{name} is not sorted")
    needed = {"run.jobs.create"}   # also for PATCH with allowMissing
    for row in re.finditer(r"^\| `((?:GET|POST|PUT|PATCH|DELETE) +/[^`]*)`", text, re.M):
        call = re.sub(" +", " ", row[1])
        found = [permission for pattern, permission in CALLS if re.match(pattern, call)]
        if found:
            needed |= set(found[:1]) - {None}
        else:
            fault(document, text.count("\n", 0, row.start()) + 1, f"which permission does {call} need? (CALLS)")
    for permission in sorted(needed - given):
        fault(file, line, f"{permission} is needed by a call in docs/google-api.md, and not given")
    for permission in sorted(given - needed):
        fault(file, line, f"{permission} is given, and no call in docs/google-api.md needs it")
    for permission in sorted(given ^ reasons):
        fault(document, 1, f"{permission}: the table of permissions and terraform/modules/cloudrun/iam.tf differ")


def metadata(folder):
    block, file = folder.found["resource"]["google_compute_instance.gateway"]
    given = {m.removeprefix("sockerless-") for m in block.args["metadata"][0].members if m.startswith("sockerless-")}
    script = folder.path / "startup.sh"
    asked = set(re.findall(r"\battribute ([a-z][a-z-]*)", script.read_text()))
    for name in sorted(asked ^ given):
        fault(script if name in asked else file, block.line, f"metadata sockerless-{name} is asked for or given, not both")


def main():
    folders = [Folder(p.parent) for p in sorted((ROOT / "terraform").rglob("versions.tf"))]
    modules = {f.path.name: f for f in folders if f.name.startswith("modules/")}
    if faults:   # what follows needs files that could be read
        return
    for folder in folders:
        variables(folder)
        names(folder, modules)
        blocks(folder, modules)
        for output in OUTPUTS.get(folder.name, []):
            if output not in folder.found["output"]:
                fault(folder.path, 1, f"the promised output {output} is missing")
    settings(folders)
    permissions(modules["cloudrun"])
    metadata(modules["gateway"])


if __name__ == "__main__":
    main()
    print("\n".join(faults) + f"\nterraform: {len(faults)} complaints")
    sys.exit(1 if faults else 0)
