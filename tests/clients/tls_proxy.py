"""A proxy on loopback that ends TLS for one host and hands what is inside to the service: for clients that insist on the provider's
address. Connections to anywhere else are refused, so that nothing leaves the machine.

    tls_proxy.py HOST CERTIFICATE KEY TARGET_HOST TARGET_PORT

Prints its own port."""

import asyncio
import ssl
import sys

HOST, CERTIFICATE, KEY, TARGET_HOST, TARGET_PORT = sys.argv[1:]
TLS = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
TLS.load_cert_chain(CERTIFICATE, KEY)


async def pump(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


async def serve(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if head.split(" ")[:2] != ["CONNECT", f"{HOST}:443"]:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await writer.drain()
    await writer.start_tls(TLS)
    inner_reader, inner_writer = await asyncio.open_connection(TARGET_HOST, int(TARGET_PORT))
    await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer), return_exceptions=True)
    inner_writer.close()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
