// Cases of 90-node.sh with testcontainers: containers for a test, with everything its wait strategies ask for.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { GenericContainer, Network, Wait } = require("testcontainers");

const idle = () => new GenericContainer("busybox").withCommand(["sh", "-c", "echo ready; sleep 1000"])
  .withWaitStrategy(Wait.forLogMessage("ready"));
const server = (text) => new GenericContainer("busybox")
  .withCommand(["sh", "-c", `mkdir -p /www; echo '${text}' >/www/index.html; exec httpd -f -v -p 8080 -h /www`])
  .withExposedPorts(8080);

async function text(stream) {
  let out = "";
  for await (const piece of stream) out += piece;
  return out;
}

async function fetchText(c) {
  const answer = await fetch(`http://${c.getHost()}:${c.getMappedPort(8080)}/`);
  assert.equal(answer.status, 200);
  return (await answer.text()).trim();
}

const cases = {
  async logs() {
    const c = await new GenericContainer("busybox").withCommand(["sh", "-c", "echo one; echo two; sleep 1000"])
      .withWaitStrategy(Wait.forLogMessage("two")).start();
    const stream = await c.logs();
    let seen = "";
    for await (const piece of stream) {
      seen += piece;
      if (seen.includes("two")) break;
    }
    assert.match(seen, /one\n[^]*two/);
    await c.stop();
  },

  async exec() {
    const c = await idle().start();
    const r = await c.exec(["sh", "-c", "echo out; echo err >&2; pwd; echo $A; exit 5"], { workingDir: "/tmp", env: { A: "b" } });
    assert.equal(r.exitCode, 5);
    assert.equal(r.stdout, "out\n/tmp\nb\n");
    assert.equal(r.stderr, "err\n");
    await c.stop();
  },

  async files_before_start() {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), "tc-"));
    fs.writeFileSync(path.join(dir, "f"), "from a file\n", { mode: 0o600 });
    const c = await new GenericContainer("busybox")
      .withCopyContentToContainer([{ content: "content\n", target: "/etc/app/config" }])
      .withCopyFilesToContainer([{ source: path.join(dir, "f"), target: "/srv/f", mode: 0o755 }])
      .withCopyDirectoriesToContainer([{ source: dir, target: "/srv/dir" }])
      .withCommand(["sh", "-c", "cat /etc/app/config /srv/f /srv/dir/f; ls -l /srv/f; echo done; sleep 1000"])
      .withWaitStrategy(Wait.forLogMessage("done")).start();
    const seen = (await c.exec(["sh", "-c", "cat /etc/app/config /srv/f /srv/dir/f; stat -c %a /srv/f"])).stdout;
    assert.equal(seen, "content\nfrom a file\nfrom a file\n755\n");
    await c.stop();
    fs.rmSync(dir, { recursive: true });
  },

  async files_after() {
    const c = await idle().start();
    await c.copyContentToContainer([{ content: "later\n", target: "/tmp/later" }]);
    assert.equal((await c.exec(["cat", "/tmp/later"])).stdout, "later\n");
    const tar = await text(await c.copyArchiveFromContainer("/tmp/later"));
    assert.ok(tar.includes("later\n"));
    await c.stop();
  },

  async environment() {
    const c = await new GenericContainer("busybox").withEnvironment({ KEY: "value" }).withWorkingDir("/srv").withUser("nobody")
      .withLabels({ l: "x" }).withName("named-one").withCommand(["sh", "-c", "echo $KEY $PWD $(id -un); sleep 1000"])
      .withWaitStrategy(Wait.forLogMessage("value /srv nobody")).start();
    assert.equal(c.getName(), "/named-one");
    assert.equal(c.getLabels().l, "x");
    await c.stop();
  },

  async restart() {
    const c = await idle().start();
    await c.restart();
    assert.equal((await c.exec(["true"])).exitCode, 0);
    await c.stop();
  },

  async health() {
    const c = await new GenericContainer("busybox").withCommand(["sh", "-c", "sleep 0.5; touch /tmp/up; sleep 1000"])
      .withHealthCheck({ test: ["CMD-SHELL", "test -e /tmp/up"], interval: 200, timeout: 1000, retries: 30, startPeriod: 0 })
      .withWaitStrategy(Wait.forHealthCheck()).start();
    assert.equal((await c.exec(["ls", "/tmp/up"])).exitCode, 0);
    await c.stop();
  },

  async reuse_name() {
    for (let i = 0; i < 2; i++) await (await idle().withName("again").start()).stop();
  },

  async stop() {
    const c = await idle().start();
    const stopped = await c.stop({ remove: false, timeout: 1000 });
    assert.ok(stopped.getId());
    const again = await idle().start();
    await again.stop({ removeVolumes: true });
  },

  async port_of_a_server() {
    const c = await server("hello").start(); // waits for the port, outside and inside
    assert.equal(await fetchText(c), "hello");
    await c.stop();
  },

  async http_wait() {
    const c = await server("up").withWaitStrategy(Wait.forHttp("/", 8080).forStatusCode(200)).start();
    assert.equal(await fetchText(c), "up");
    await c.stop();
  },

  async several() {
    const all = await Promise.all(["a", "b", "c"].map((x) => server(x).start()));
    assert.deepEqual(await Promise.all(all.map(fetchText)), ["a", "b", "c"]);
    await Promise.all(all.map((c) => c.stop()));
  },

  async network() {
    const network = await new Network().start();
    const c = await idle().withNetwork(network).withNetworkAliases("one").start();
    assert.ok(c.getNetworkNames().includes(network.getName()));
    await c.stop();
    await network.stop();
  },
};

cases[process.argv[2]]().then(
  () => process.exit(0),
  (e) => { console.error(e); process.exit(1); });
