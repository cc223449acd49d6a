import asyncio
import socket

from relsim.web.server import listen
from relsim.web.settings import ServerSettings


def test_answers_are_sent_without_waiting_for_acknowledgements():
    async def accepted():
        delays = []

        class Connection(asyncio.Protocol):
            def connection_made(self, transport):
                delays.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        listening = listen(ServerSettings(port=0))
        async with await asyncio.get_running_loop().create_server(Connection, sock=listening):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            await reader.read()
            writer.close()
        return delays

    assert asyncio.run(accepted()) == [1]
