"""One query over DNS over QUIC with aioquic (RFC 9250): doq.py HOST PORT CERTIFICATE NAME QUERY

QUERY is a message in hexadecimal digits; prints the response in the same way. The server has to show
CERTIFICATE, for NAME.
"""

import asyncio
import sys

from aioquic.asyncio.client import connect
from aioquic.quic.configuration import QuicConfiguration


async def ask(host, port, certificate, name, query):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["doq"], server_name=name)
    configuration.load_verify_locations(cafile=certificate)
    async with connect(host, port, configuration=configuration) as client:
        reader, writer = await client.create_stream()
        # A length before each message, and the end of the stream after it (RFC 9250 section 4.2).
        writer.write(len(query).to_bytes(2, "big") + query)
        writer.write_eof()
        return await reader.read()


def main():
    host, port, certificate, name, query = sys.argv[1:]
    asked = ask(host, int(port), certificate, name, bytes.fromhex(query))
    framed = asyncio.run(asyncio.wait_for(asked, 20))
    if int.from_bytes(framed[:2], "big") != len(framed) - 2:
        sys.exit(f"not one message: {framed.hex()}")
    print(framed[2:].hex())


if __name__ == "__main__":
    main()
