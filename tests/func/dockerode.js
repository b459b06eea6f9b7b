// Cases of 90-node.sh with dockerode: the ways its users call it, streams included.
"use strict";
const assert = require("node:assert/strict");
const { PassThrough } = require("node:stream");
const Docker = require("dockerode");

const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace("unix://", "") });

async function text(stream) {
  let out = "";
  for await (const piece of stream) out += piece;
  return out;
}

// [stdout, stderr] of a framed stream, read to its end.
async function demux(stream) {
  const out = new PassThrough(), err = new PassThrough();
  docker.modem.demuxStream(stream, out, err);
  stream.on("end", () => { out.end(); err.end(); });
  return Promise.all([text(out), text(err)]);
}

async function box(options = {}) {
  const c = await docker.createContainer({ Image: "busybox", Cmd: ["sleep", "1000"], ...options });
  await c.start();
  return c;
}

const cases = {
  async version() {
    assert.equal((await docker.ping()).toString(), "OK");
    const v = await docker.version();
    assert.equal(v.Os, "linux");
    assert.ok(v.ApiVersion >= "1.41");
    const info = await docker.info();
    assert.equal(info.OSType, "linux");
    assert.ok(info.NCPU > 0 && info.MemTotal > 0);
  },

  async lifecycle() {
    const c = await docker.createContainer({ Image: "busybox", Cmd: ["sh", "-c", "exit 7"], name: "life" });
    assert.equal((await c.inspect()).State.Status, "created");
    await c.start();
    assert.equal((await c.wait()).StatusCode, 7);
    const state = (await c.inspect()).State;
    assert.equal(state.Status, "exited");
    assert.equal(state.ExitCode, 7);
    await c.rename({ name: "life2" });
    assert.equal((await docker.getContainer("life2").inspect()).Id, c.id);
    await c.remove();
    await assert.rejects(c.inspect(), (e) => e.statusCode === 404 && e.reason === "no such container");
  },

  // dockerode's hijack: the query is repeated as a JSON body.
  async attach_hijack() {
    const c = await docker.createContainer({
      Image: "busybox", Cmd: ["sh", "-c", "cat; echo bad >&2"], OpenStdin: true, StdinOnce: true, AttachStdin: true,
    });
    const stream = await c.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    const output = demux(stream);
    await c.start();
    stream.write("one\n");
    stream.end("two\n");
    assert.deepEqual(await output, ["one\ntwo\n", "bad\n"]);
    assert.equal((await c.wait()).StatusCode, 0);
    await c.remove();
  },

  async exec_upgraded() {
    const c = await box();
    const e = await c.exec({ Cmd: ["sh", "-c", "cat; exit 3"], AttachStdin: true, AttachStdout: true, AttachStderr: true });
    const stream = await e.start({ hijack: true, stdin: true });
    const output = demux(stream);
    stream.end("typed\n");
    assert.deepEqual(await output, ["typed\n", ""]);
    assert.equal((await e.inspect()).ExitCode, 3);
    await c.remove({ force: true });
  },

  // Without an upgrade: 200 and a raw body.
  async exec_plain() {
    const c = await box();
    const e = await c.exec({ Cmd: ["sh", "-c", "echo out; echo err >&2; exit 4"], AttachStdout: true, AttachStderr: true });
    assert.deepEqual(await demux(await e.start({})), ["out\n", "err\n"]);
    assert.equal((await e.inspect()).ExitCode, 4);
    await c.remove({ force: true });
  },

  // As testcontainers does it: stdin without hijack.
  async exec_stdin() {
    const c = await box();
    const e = await c.exec({ Cmd: ["echo", "there"], AttachStdout: true, AttachStderr: true });
    const stream = await e.start({ stdin: true, Detach: false, Tty: false });
    assert.deepEqual(await demux(stream), ["there\n", ""]);
    await c.remove({ force: true });
  },

  async exec_inspect() {
    const c = await box();
    const e = await c.exec({ Cmd: ["true"], AttachStdout: true });
    const before = await e.inspect();
    assert.equal(before.ExitCode, null);
    assert.equal(before.Running, false);
    await text(await e.start({}));
    const after = await e.inspect();
    assert.equal(after.ExitCode, 0);
    assert.equal(after.ContainerID, c.id);
    await c.remove({ force: true });
  },

  async archive() {
    const c = await box();
    const file = Buffer.from("content of the file\n");
    const header = Buffer.alloc(512);
    header.write("hello.txt", 0);
    header.write("0000640\0", 100);
    header.write("0000000\0", 108);
    header.write("0000000\0", 116);
    header.write(file.length.toString(8).padStart(11, "0") + "\0", 124);
    header.write("00000000000\0", 136);
    header.write("        ", 148);
    header.write("0", 156);
    header.write("ustar\0" + "00", 257);
    header.write([...header].reduce((a, b) => a + b, 0).toString(8).padStart(6, "0") + "\0 ", 148);
    const tar = Buffer.concat([header, file, Buffer.alloc(512 - (file.length % 512)), Buffer.alloc(1024)]);
    await c.putArchive(tar, { path: "/tmp" });
    const stat = await c.infoArchive({ path: "/tmp/hello.txt" });
    const said = JSON.parse(Buffer.from(stat.headers["x-docker-container-path-stat"], "base64"));
    assert.equal(said.name, "hello.txt");
    assert.equal(said.size, file.length);
    const back = [];
    for await (const piece of await c.getArchive({ path: "/tmp/hello.txt" })) back.push(piece);
    assert.ok(Buffer.concat(back).includes(file));
    await assert.rejects(c.getArchive({ path: "/nothing" }), (e) => e.statusCode === 404);
    await c.remove({ force: true });
  },

  async logs_follow() {
    const c = await box({ Cmd: ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done; echo end >&2"] });
    assert.deepEqual(await demux(await c.logs({ follow: true, stdout: true, stderr: true })), ["1\n2\n3\n", "end\n"]);
    const all = await c.logs({ stdout: true, stderr: false, tail: 1, follow: false });
    assert.equal(all.subarray(8).toString(), "");
    await c.remove();
  },

  async events() {
    const since = Math.floor(Date.now() / 1000) - 1;
    const stream = await docker.getEvents({ since, filters: JSON.stringify({ type: ["container"], event: ["create", "start", "die", "destroy"] }) });
    const c = await docker.createContainer({ Image: "busybox", Cmd: ["true"] });
    await c.start();
    await c.wait();
    await c.remove();
    const seen = [];
    let rest = "";
    for await (const piece of stream) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const e = JSON.parse(line);
        if (e.Actor.ID === c.id) seen.push(e.Action);
      }
      if (seen.includes("destroy")) break;
    }
    assert.deepEqual(seen, ["create", "start", "die", "destroy"]);
  },

  async stats() {
    const c = await box({ Cmd: ["sh", "-c", "while :; do :; done"] });
    const one = await c.stats({ stream: false });
    assert.ok(one.cpu_stats.cpu_usage.total_usage > one.precpu_stats.cpu_usage.total_usage);
    assert.ok(one.memory_stats.usage > 0);
    const stream = await c.stats({ stream: true });
    let samples = 0;
    for await (const piece of stream) {
      samples += piece.toString().split("\n").filter(Boolean).length;
      if (samples >= 2) break;
    }
    await c.remove({ force: true });
  },

  async top_processes() {
    const c = await box();
    const top = await c.top();
    const command = top.Titles.indexOf("CMD");
    assert.ok(top.Titles.includes("PID") && command >= 0);
    assert.ok(top.Processes.some((p) => p[command] === "sleep 1000"));
    await c.remove({ force: true });
  },

  async wait_removed() {
    const c = await docker.createContainer({ Image: "busybox", Cmd: ["sh", "-c", "exit 9"], HostConfig: { AutoRemove: true } });
    const gone = c.wait({ condition: "removed" });
    await c.start();
    assert.equal((await gone).StatusCode, 9);
    await assert.rejects(c.inspect(), (e) => e.statusCode === 404);
  },

  async list_filters() {
    const c = await box({ Labels: { suite: "node", case: "list" }, name: "listed" });
    const list = async (filters, all = false) => (await docker.listContainers({ all, filters })).map((x) => x.Names[0]);
    assert.deepEqual(await list({ label: ["suite=node", "case=list"] }), ["/listed"]);
    assert.deepEqual(await list({ label: ["suite=other"] }), []);
    assert.deepEqual(await list({ name: ["^/listed$"], status: ["running"] }), ["/listed"]);
    await c.stop({ t: 0 });
    assert.deepEqual(await list({ name: ["listed"] }), []);
    assert.deepEqual(await list({ name: ["listed"] }, true), ["/listed"]);
    await c.remove();
  },

  async pull_progress() {
    if (process.env.ENGINE === "dockerd") return; // its images were loaded: it has no registry here
    const stream = await docker.pull("busybox:latest");
    const lines = await new Promise((resolve, reject) =>
      docker.modem.followProgress(stream, (e, all) => (e ? reject(e) : resolve(all))));
    assert.match(lines.at(-1).status, /^Status: /);
    await assert.rejects(docker.pull("no/such/image:at-all"), (e) => e.statusCode === 404 || e.statusCode === 500);
    assert.ok((await docker.listImages()).some((i) => i.RepoTags.includes("busybox:latest")));
    assert.equal((await docker.getImage("busybox").inspect()).Os, "linux");
  },

  async networks() {
    if (process.env.ENGINE === "dockerd") return; // started with --bridge=none
    const n = await docker.createNetwork({ Name: "net-node", CheckDuplicate: true, Labels: { a: "b" } });
    const c = await box({ HostConfig: { NetworkMode: "net-node" }, NetworkingConfig: { EndpointsConfig: { "net-node": { Aliases: ["me"] } } } });
    assert.ok((await c.inspect()).NetworkSettings.Networks["net-node"]);
    assert.ok(Object.keys((await n.inspect()).Containers).includes(c.id));
    await assert.rejects(docker.createNetwork({ Name: "net-node", CheckDuplicate: true }), (e) => e.statusCode === 409);
    await c.remove({ force: true });
    await n.remove();
    await assert.rejects(n.inspect(), (e) => e.statusCode === 404);
  },

  async volumes() {
    const v = await docker.createVolume({ Name: "vol-node", Labels: { a: "b" } });
    assert.equal((await docker.getVolume("vol-node").inspect()).Labels.a, "b");
    assert.ok((await docker.listVolumes()).Volumes.some((x) => x.Name === "vol-node"));
    await docker.getVolume(v.Name || v.name).remove();
    await assert.rejects(docker.getVolume("vol-node").inspect(), (e) => e.statusCode === 404);
  },

  async errors() {
    await assert.rejects(docker.createContainer({ Image: "no-such-image" }), (e) => e.statusCode === 404 && /No such image/.test(e.message));
    const c = await docker.createContainer({ Image: "busybox", Cmd: ["true"], name: "twice" });
    await assert.rejects(docker.createContainer({ Image: "busybox", name: "twice" }), (e) => e.statusCode === 409);
    await assert.rejects(c.kill(), (e) => e.statusCode === 409);
    await assert.rejects(c.stop(), (e) => e.statusCode === 304);
    await c.remove();
  },
};

cases[process.argv[2]]().then(
  () => process.exit(0),
  (e) => { console.error(e); process.exit(1); });
