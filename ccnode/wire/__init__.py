"""Bytes to messages and back, without I/O.

Read in this order: `serialize` (integers, counts, vectors), `framing` (where a message begins and ends), `message`
(what a message is), one module per family of messages, `factory` (which class reads which command). `address` is
about network addresses and `protocol` holds the numbers both sides agree on.

::

    transport = V1Transport(magic)
    transport.receive_data(sock.recv(65536))
    while (frame := transport.next_frame()) is not None:
        message = factory.decode(frame.command, frame.payload)
    sock.sendall(transport.frame(Ping.command, Ping(nonce).encode()))
"""
