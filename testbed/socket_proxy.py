"""A Docker socket proxy, as people put one between an updater and the daemon: TCP in, the socket out.

``python -m testbed.socket_proxy PORT`` runs until it is killed.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading

from testbed.contained import SOCKET


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Copies both ways until either side ends."""
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(SOCKET)
            back = threading.Thread(target=_copy, args=(daemon, self.request), daemon=True)
            back.start()
            _copy(self.request, daemon)
            back.join()


def _copy(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            to.sendall(piece)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


if __name__ == "__main__":
    with _Server(("0.0.0.0", int(sys.argv[1])), _Connection) as server:
        server.serve_forever()
