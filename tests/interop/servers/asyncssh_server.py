"""A server of asyncssh, as a test has it. Arguments: host key, user key, port."""

import asyncio
import sys

import asyncssh


class Server(asyncssh.SSHServer):
    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        return True


async def carry(source, target):
    while data := await source.read(32768):
        target.write(data)
        await target.drain()


async def feed(source, target):
    try:
        await carry(source, target)
    except (BrokenPipeError, ConnectionResetError):
        pass  # The command has ended without reading all.
    target.close()


async def handle(process):
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(
        process.command, stdin=pipe, stdout=pipe, stderr=pipe
    )
    feeding = asyncio.create_task(feed(process.stdin, child.stdin))
    await asyncio.gather(
        carry(child.stdout, process.stdout), carry(child.stderr, process.stderr)
    )
    process.exit(await child.wait())
    feeding.cancel()


async def main():
    host_key, user_key, port = sys.argv[1:]
    await asyncssh.create_server(
        Server,
        "127.0.0.1",
        int(port),
        server_host_keys=[host_key],
        authorized_client_keys=user_key,
        process_factory=handle,
        encoding=None,
        sftp_factory=True,
    )
    await asyncio.Event().wait()


asyncio.run(main())
