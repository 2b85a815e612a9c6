# A gRPC client: grpcio. Arguments: the address, the authority that signed. Exits with 0 if every call went as it should.
import sys
from concurrent import futures

import grpc

address, authority = sys.argv[1], open(sys.argv[2], "rb").read()
options = [("grpc.ssl_target_name_override", "a.example"), ("grpc.max_receive_message_length", 64 << 20)]
channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(authority), options)

unary = channel.unary_unary("/test.Echo/Unary")
for length in (0, 1, 100_000, 8 << 20):
    body = bytes(index % 251 for index in range(min(length, 251))) * (length // 251 + 1)
    answer, call = unary.with_call(body[:length], timeout=60)
    assert answer == body[:length], length
    assert ("x-length", str(length)) in [tuple(one) for one in call.trailing_metadata()]

calls = channel.stream_stream("/test.Echo/Both")


def converse(number):
    messages = [f"{number}-{index}".encode() for index in range(20)]
    sent = []

    def one_by_one():
        for message in messages:
            sent.append(message)
            yield message

    for index, answer in enumerate(calls(one_by_one(), timeout=60)):
        assert answer == messages[index][::-1], (number, index)
    assert len(sent) == 20


list(futures.ThreadPoolExecutor(16).map(converse, range(64)))

try:
    channel.unary_unary("/test.Echo/Fails")(b"", timeout=60)
    raise SystemExit("no error")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    assert error.details() == "no such thing: \u00e4", error
try:
    channel.unary_unary("/test.Echo/Nothing")(b"", timeout=60)
    raise SystemExit("no error")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
