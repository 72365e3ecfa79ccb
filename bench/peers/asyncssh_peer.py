"""asyncssh: as its documentation shows it, or set by hand. See kit.mjs."""

import asyncio
import json
import os
import sys
import time

import asyncssh

TASK = json.loads(sys.argv[1])
TUNED = TASK["isTuned"]


class Gate:
    """So many at once; what the server refuses is tried again."""

    def __init__(self, width):
        self.free = asyncio.Semaphore(width)

    async def run(self, work, refusals):
        async with self.free:
            pause = 0.001
            while True:
                try:
                    return await work()
                except refusals:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 0.5)


async def dial(host):
    options = {}
    if TUNED:
        options["encryption_algs"] = [
            "aes128-gcm@openssh.com",
            "chacha20-poly1305@openssh.com",
        ]
        options["config"] = None
        options["agent_path"] = None
    return await asyncssh.connect(
        host["hostname"],
        port=host["port"],
        username=host["user"],
        client_keys=[host["keyPath"]],
        known_hosts=host["knownHosts"],
        **options,
    )


async def opened(host):
    if not TUNED:
        return await dial(host)
    dropped = (ConnectionError, asyncssh.ConnectionLost)
    return await DIALS.run(lambda: dial(host), dropped)


async def run(client, command, encoding="utf-8"):
    def work():
        return client.run(command, check=True, encoding=encoding)

    if not TUNED:
        return (await work()).stdout
    return (await SESSIONS.run(work, (asyncssh.ChannelOpenError,))).stdout


async def right(client, text):
    found = (await run(client, f"echo {text}")).strip()
    if found != text:
        raise ValueError(f"{found} is not {text}")


class Tally:
    """What was well and what was not."""

    def __init__(self):
        self.samples = []
        self.failed = 0
        self.why = None

    async def count(self, work):
        started = time.perf_counter()
        try:
            await work()
            self.samples.append((time.perf_counter() - started) * 1000)
        except Exception as error:  # what fails is counted
            self.failed += 1
            self.why = self.why or f"{type(error).__name__}: {error}"

    def result(self, started):
        return {
            "samples": self.samples,
            "seconds": time.perf_counter() - started,
            "failed": self.failed,
            "why": self.why,
        }


async def warm_up():
    """So that what a first dial loads is not timed."""
    client = await opened(TASK["host"])
    await right(client, "warm")
    client.close()
    await client.wait_closed()


async def timed_dials():
    await warm_up()
    samples = []
    began = time.perf_counter()
    for _ in range(TASK["count"]):
        started = time.perf_counter()
        client = await opened(TASK["host"])
        samples.append((time.perf_counter() - started) * 1000)
        client.close()
        await client.wait_closed()
    return {"samples": samples, "seconds": time.perf_counter() - began}


async def timed_commands():
    client = await opened(TASK["host"])
    for _ in range(10):
        await run(client, "true")
    samples = []
    began = time.perf_counter()
    for _ in range(TASK["count"]):
        started = time.perf_counter()
        await run(client, "true")
        samples.append((time.perf_counter() - started) * 1000)
    return {"samples": samples, "seconds": time.perf_counter() - began}


async def burst():
    client = await opened(TASK["host"])
    await right(client, "warm")
    tally = Tally()
    numbers = iter(range(TASK["count"]))

    async def caller():
        for number in numbers:
            await tally.count(lambda: right(client, str(number)))

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(TASK["callers"])))
    return tally.result(started)


async def cold():
    await warm_up()
    tally = Tally()

    async def one(host):
        client = await opened(host)
        await right(client, host["hostname"])

    started = time.perf_counter()
    works = (tally.count(lambda host=host: one(host)) for host in TASK["hosts"])
    await asyncio.gather(*works)
    return tally.result(started)


async def rate(work):
    started = time.perf_counter()
    await work()
    seconds = time.perf_counter() - started
    return {
        "samples": [seconds * 1000],
        "seconds": seconds,
        "bytes": TASK["bytes"],
    }


async def bulk():
    client = await opened(TASK["host"])
    await run(client, "true")

    async def work():
        command = f"head -c {TASK['bytes']} /dev/zero"
        found = len(await run(client, command, None))
        if found != TASK["bytes"]:
            raise ValueError(f"{found} bytes")

    return await rate(work)


async def put():
    client = await opened(TASK["host"])

    async def work():
        async with client.start_sftp_client() as sftp:
            await sftp.put(TASK["here"], TASK["there"])

    return await rate(work)


async def get():
    client = await opened(TASK["host"])

    async def work():
        async with client.start_sftp_client() as sftp:
            await sftp.get(TASK["there"], TASK["here"])

    result = await rate(work)
    if os.stat(TASK["here"]).st_size != TASK["bytes"]:
        raise ValueError("the file is short")
    return result


TASKS = {
    "dial": timed_dials,
    "exec": timed_commands,
    "burst": burst,
    "cold": cold,
    "bulk": bulk,
    "put": put,
    "get": get,
}


async def main():
    global DIALS, SESSIONS
    DIALS, SESSIONS = Gate(8), Gate(8)
    print(json.dumps(await TASKS[TASK["name"]]()), flush=True)
    os._exit(0)


asyncio.run(main())
