"""A server of paramiko, as a test has it. Arguments: host key, port."""

import os
import socket
import subprocess
import sys
import threading

import paramiko
from paramiko import SFTPAttributes, SFTPHandle, SFTPServer, SFTPServerInterface


def answered(call):
    try:
        return call()
    except OSError as error:
        return SFTPServer.convert_errno(error.errno)


def done(call):
    return answered(lambda: call() or paramiko.SFTP_OK)


class Handle(SFTPHandle):
    def stat(self):
        return answered(
            lambda: SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))
        )

    def chattr(self, attributes):
        return done(lambda: SFTPServer.set_file_attr(self.filename, attributes))


class Files(SFTPServerInterface):
    def list_folder(self, path):
        def attributes(name):
            stat = os.lstat(os.path.join(path, name))
            return SFTPAttributes.from_stat(stat, name)

        return answered(lambda: [attributes(name) for name in os.listdir(path)])

    def stat(self, path):
        return answered(lambda: SFTPAttributes.from_stat(os.stat(path)))

    def lstat(self, path):
        return answered(lambda: SFTPAttributes.from_stat(os.lstat(path)))

    def open(self, path, flags, attributes):
        def opened():
            mode = attributes.st_mode if attributes.st_mode is not None else 0o666
            fd = os.open(path, flags, mode)
            handle = Handle(flags)
            handle.filename = path
            kind = "rb+" if flags & os.O_RDWR else "wb" if flags & os.O_WRONLY else "rb"
            handle.readfile = handle.writefile = os.fdopen(fd, kind)
            return handle

        return answered(opened)

    def remove(self, path):
        return done(lambda: os.remove(path))

    def rename(self, old, new):
        return done(lambda: os.link(old, new) or os.remove(old))

    def posix_rename(self, old, new):
        return done(lambda: os.rename(old, new))

    def mkdir(self, path, attributes):
        return done(lambda: os.mkdir(path))

    def rmdir(self, path):
        return done(lambda: os.rmdir(path))

    def chattr(self, path, attributes):
        return done(lambda: SFTPServer.set_file_attr(path, attributes))


class Server(paramiko.ServerInterface):
    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username):
        return "publickey"

    def check_channel_request(self, kind, number):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=execute, args=(channel, command), daemon=True).start()
        return True

    def check_channel_direct_tcpip_request(self, number, origin, target):
        try:
            far = socket.create_connection(target)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        self.far = far
        return paramiko.OPEN_SUCCEEDED


def execute(channel, command):
    child = subprocess.Popen(
        command,
        shell=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def feed():
        with child.stdin:
            while data := channel.recv(32768):
                child.stdin.write(data)

    def carry(source, send):
        while data := source.read1(32768):
            send(data)

    threading.Thread(target=feed, daemon=True).start()
    error = threading.Thread(
        target=carry, args=(child.stderr, channel.sendall_stderr), daemon=True
    )
    error.start()
    carry(child.stdout, channel.sendall)
    error.join()
    channel.send_exit_status(child.wait())
    channel.close()


def carry_tunnel(channel, far):
    def back():
        while data := far.recv(32768):
            channel.sendall(data)
        channel.close()

    threading.Thread(target=back, daemon=True).start()
    while data := channel.recv(32768):
        far.sendall(data)
    far.close()


def serve(client, key):
    transport = paramiko.Transport(client)
    transport.add_server_key(key)
    transport.set_subsystem_handler("sftp", SFTPServer, Files)
    server = Server()
    transport.start_server(server=server)
    channels = []  # One that nobody holds is closed.
    while transport.is_active():
        channel = transport.accept(1)
        channels = [it for it in channels if not it.closed]
        if channel is not None:
            channels.append(channel)
        far = getattr(server, "far", None)
        if channel is not None and far is not None:
            server.far = None
            threading.Thread(
                target=carry_tunnel, args=(channel, far), daemon=True
            ).start()


key = paramiko.RSAKey(filename=sys.argv[1])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[2])))
listener.listen(100)
while True:
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=(client, key), daemon=True).start()
