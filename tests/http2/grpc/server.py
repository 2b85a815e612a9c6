# A gRPC server: grpcio, one service, bytes in and out. Arguments: a key, its certificate. Prints its port.
import sys
from concurrent import futures

import grpc


def unary(request, context):
    context.set_trailing_metadata((("x-length", str(len(request))),))
    return request


def both(requests, context):
    for request in requests:
        yield request[::-1]


def fails(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: \u00e4")


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Fails": grpc.unary_unary_rpc_method_handler(fails),
}
key, certificate = (open(path, "rb").read() for path in sys.argv[1:3])
server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", 64 << 20)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", METHODS),))
credentials = grpc.ssl_server_credentials(((key, certificate),))
print("port", server.add_secure_port("127.0.0.1:0", credentials), flush=True)
server.start()
server.wait_for_termination()
