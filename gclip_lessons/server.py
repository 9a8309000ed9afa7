"""The websocket class that `course.py lab` names, so that a slider's reply leaves the server at once.

Jupyter Server leaves Nagle's algorithm on: a small reply then waits for the browser's delayed
acknowledgement. This module runs in the server's process and therefore imports nothing else of the package.
"""

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class NoDelayConnection(ZMQChannelsWebsocketConnection):
    """Jupyter Server's own connection to a kernel, with TCP_NODELAY set on the browser's side."""

    def connect(self) -> Any:
        """Open the channels to the kernel, as the parent class does, on a socket that does not wait."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()
