"""The callback's certificate is replaced under load: the files on disk, then a reload (SIGHUP). Runs and new links go
on, and who connects after it sees the new certificate."""
import os
import signal
import socket
import ssl
import subprocess
import time

import engine
from checks import HANG_S, exec_echoes, exec_produces, piece, together
from world import MIB, PROJECT, wait_for

TITLE = "certificate rotation under load"


class Authority:
    def __init__(self, folder, host):
        self.folder, self.host = folder, host
        folder.mkdir()
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ca.key")
        self.openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=chaos", "-days", "2", "-out", "ca.pem")
        (folder / "san").write_text(f"subjectAltName=IP:{host}\n")

    def openssl(self, *argv):
        subprocess.run(["openssl", *argv], cwd=self.folder, check=True, capture_output=True)

    def certificate(self):
        """A new pair in place of the former, each file at once."""
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "new.key")
        self.openssl("req", "-new", "-key", "new.key", "-subj", "/CN=gateway", "-out", "new.csr")
        self.openssl("x509", "-req", "-in", "new.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                     "-extfile", "san", "-out", "new.pem")
        (self.folder / "new.key").rename(self.folder / "gateway.key")
        (self.folder / "new.pem").rename(self.folder / "gateway.pem")


def seen(world, authority):
    """The certificate that a new connection gets."""
    context = ssl.create_default_context(cafile=authority.folder / "ca.pem")
    with socket.create_connection((authority.host, world.proxy.port), 10) as plain, \
            context.wrap_socket(plain, server_hostname=authority.host) as tls:
        return tls.getpeercert(True)


def run(world, tally, rng, short):
    authority = Authority(world.dir / "pki", world.local["host_address"])
    authority.certificate()
    folder = world.dir / "agent-tls"
    subprocess.run([PROJECT / "deploy/agent-image.sh", folder, world.build / "bin/sockerless-agent"], check=True,
                   capture_output=True, env={**os.environ, "CA_CERTIFICATES": str(authority.folder / "ca.pem")})
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"oci:{folder}:latest",
                    f"docker://{world.local['registry']}/sockerless/agent:tls"], check=True)
    before = world.agent_image, world.callback_url, world.callback_flags
    world.halt()
    world.agent_image, world.callback_url = "agent:tls", world.callback_url.replace("http:", "https:")
    world.callback_flags = ["--callback-cert", authority.folder / "gateway.pem", "--callback-key", authority.folder / "gateway.key"]
    try:
        world.start()
        boxes = [world.container() for _ in range(2)]
        for _ in range(1 if short else 8):
            former = seen(world, authority)

            def rotate(_, former=former):
                time.sleep(rng.uniform(0, 0.5))
                authority.certificate()
                world.signal(signal.SIGHUP)
                wait_for(lambda: different(world, authority, former), HANG_S, "the new certificate")
                world.proxy.cut("")  # through TLS the proxy knows no container: every link is made anew

            def produces(box):
                exec_produces(tally, world, box, piece(rng, 8 * MIB, world.random), 8 * MIB, pause=1)

            def echoes(box):
                exec_echoes(tally, world, box, piece(rng, 4 * MIB, world.random), 4 * MIB, pace=0.1)

            together(lambda job: job[0](job[1]), [(rotate, None)] + [(work, box) for work in (produces, echoes) for box in boxes])
            tally.blame("other", int(not different(world, authority, former)), "the former certificate is still shown")
            tally.add(cuts=len(boxes))
        for box in boxes:
            world.remove(box)
    finally:
        world.halt()
        world.agent_image, world.callback_url, world.callback_flags = before
        world.start()


def different(world, authority, former):
    try:
        return seen(world, authority) != former
    except OSError:
        return False
