"""A WebSocket server on the port given that sends every message back; it ends with its standard input."""

import asyncio
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass


async def main():
    options = {"max_size": None, "ping_interval": None, "compression": None}
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), **options):
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
