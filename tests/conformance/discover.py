"""Finds a server by mDNS, describes it, and sees it go. usage: discover.py PROGRAM ADDRESS

PROGRAM is started here; ADDRESS is this machine's on the one network there is.
"""

import asyncio
import queue
import signal
import subprocess
import sys

from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info
from zeroconf import ServiceBrowser, ServiceListener, Zeroconf

SERVICE_TYPE = "_wyoming._tcp.local."


class Seen(ServiceListener):
    """Puts what comes and goes into a queue."""

    def __init__(self):
        self.changes = queue.Queue()

    def add_service(self, zc, type_, name):
        self.changes.put(("added", name))

    def remove_service(self, zc, type_, name):
        self.changes.put(("removed", name))

    def update_service(self, zc, type_, name):
        pass

    def expect(self, change, instance):
        seen = self.changes.get(timeout=20)
        assert seen == (change, f"{instance}.{SERVICE_TYPE}"), seen


async def describe(host, port):
    async with AsyncTcpClient(host, port) as client:
        await client.write_event(Describe().event())
        return Info.from_event(await client.read_event())


def check(program, arguments, address, instance):
    """One server, from its announcement to its goodbye."""
    command = [program, "serve", "--uri", "tcp://0.0.0.0:0", "--admin", "off", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            seen = Seen()
            zc = Zeroconf(interfaces=[address])
            browser = ServiceBrowser(zc, SERVICE_TYPE, seen)
            seen.expect("added", instance)
            ready = next(line for line in server.stdout if line.startswith("ready: "))
            port = int(ready.split(",")[0].rsplit(":", 1)[1])
            found = zc.get_service_info(SERVICE_TYPE, f"{instance}.{SERVICE_TYPE}")
            addresses = found.parsed_addresses()
            assert (addresses, found.port) == ([address], port), (addresses, found.port, port)
            assert asyncio.run(describe(address, port)).asr[0].installed
            server.send_signal(signal.SIGTERM)
            seen.expect("removed", instance)
            browser.cancel()
            zc.close()
            assert server.wait(timeout=20) == 0
        finally:
            server.kill()


def main(program, address):
    check(program, ["--zeroconf", "Kitchen. 2nd floor"], address, "Kitchen. 2nd floor")
    check(program, ["--zeroconf", "hall", "--zeroconf-address", address], address, "hall")
    print("zeroconf: found, described, and gone with the server")


main(*sys.argv[1:])
