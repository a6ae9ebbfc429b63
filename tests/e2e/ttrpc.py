# SPDX-License-Identifier: Apache-2.0
"""A ttrpc client, and as much protobuf as the agent's messages need. Written against the protocol, not against our C.

    agent = Agent.unix("/run/agent.sock")            # or Agent.hvsock(path, port), Agent(connected socket)
    agent.update_interface(name="eth0", hwAddr=mac, mtu=1500, addresses=["10.0.0.2/24"])
    agent.call("grpc.Health", "Check", b"")          # bytes in, bytes out; Error with .code and .message

Source: containerd/ttrpc PROTOCOL.md; field numbers of kata-containers src/libs/protocols/protos/.
"""

import socket
import struct

AGENT, HEALTH, DELTA = "grpc.AgentService", "grpc.Health", "netmon.Delta"
REQUEST, RESPONSE = 1, 2
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 3, 8, 12, 13
HELLO = 24


class Error(Exception):
    """An answer that is not ok."""

    def __init__(self, code, message):
        super().__init__(f"code {code}: {message}")
        self.code, self.message = code, message


# ---- protobuf: a schema is {field number: (name, kind)}; kind is "text", "number", "bytes", or a nested schema in a
# ---- list (repeated) or a tuple (single) ----

IP = {1: ("family", "number"), 2: ("address", "text"), 3: ("mask", "text")}
INTERFACE = {1: ("device", "text"), 2: ("name", "text"), 3: ("IPAddresses", [IP]), 4: ("mtu", "number"),
             5: ("hwAddr", "text"), 6: ("devicePath", "text"), 7: ("type", "text"), 8: ("raw_flags", "number")}
ROUTE = {1: ("dest", "text"), 2: ("gateway", "text"), 3: ("device", "text"), 4: ("source", "text"),
         5: ("scope", "number"), 6: ("family", "number"), 7: ("flags", "number"), 8: ("mtu", "number")}
NEIGHBOR = {1: ("toIPAddress", (IP,)), 2: ("device", "text"), 3: ("lladdr", "text"), 4: ("state", "number"),
            5: ("flags", "number")}
INTERFACES = {1: ("Interfaces", [INTERFACE])}
ROUTES = {1: ("Routes", [ROUTE])}
NEIGHBORS = {1: ("ARPNeighbors", [NEIGHBOR])}
NETWORK = {1: ("interfaces", (INTERFACES,)), 2: ("routes", (ROUTES,)), 3: ("neighbors", (NEIGHBORS,))}
UPDATE_INTERFACE = {1: ("interface", (INTERFACE,))}
UPDATE_ROUTES = {1: ("routes", (ROUTES,))}
ADD_NEIGHBORS = {1: ("neighbors", (NEIGHBORS,))}
DETAILS = {2: ("agent_details", ({1: ("version", "text"), 2: ("init_daemon", "number"),
                                  6: ("extra_features", ["text"])},))}
STATUS = {1: ("code", "number"), 2: ("message", "text")}
FRAME_REQUEST = {1: ("service", "text"), 2: ("method", "text"), 3: ("payload", "bytes"), 4: ("timeout_nano", "number")}
FRAME_RESPONSE = {1: ("status", (STATUS,)), 2: ("payload", "bytes")}
HEALTH_VERSION = {1: ("grpc_version", "text"), 2: ("agent_version", "text")}
HEALTH_CHECK = {1: ("status", "number")}


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 0x7f:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def take_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def encode_one(number, kind, value):
    if kind == "number":
        return varint(number << 3) + varint(value)
    if kind == "text":
        value = value.encode()
    elif kind != "bytes":
        value = encode(kind[0], value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def encode(schema, value):
    out = b""
    for number, (name, kind) in schema.items():
        if name not in value:
            continue
        if isinstance(kind, list):
            inner = kind[0] if isinstance(kind[0], str) else (kind[0],)
            out += b"".join(encode_one(number, inner, item) for item in value[name])
        else:
            out += encode_one(number, kind, value[name])
    return out


def decode_one(kind, value):
    if kind == "text":
        return value.decode()
    return value if kind in ("bytes", "number") else decode(kind[0], value)


def empty(kind):
    if isinstance(kind, list):
        return []
    return {"text": "", "number": 0, "bytes": b""}[kind] if isinstance(kind, str) else decode(kind[0], b"")


def decode(schema, data):
    result = {name: empty(kind) for name, kind in schema.values()}
    at = 0
    while at < len(data):
        key, at = take_varint(data, at)
        value, at = take_varint(data, at)
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        if key >> 3 not in schema:
            continue
        name, kind = schema[key >> 3]
        if isinstance(kind, list):
            result[name].append(decode_one(kind[0] if isinstance(kind[0], str) else (kind[0],), value))
        else:
            result[name] = decode_one(kind, value)
    return result


# ---- the connection ----


def receive_exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionError(f"closed after {len(data)} of {size} bytes")
        data += piece
    return bytes(data)


class Client:
    """One connection. Calls may be sent in a row and received in any order."""

    def __init__(self, sock, timeout=20):
        self.sock, self.stream, self.early = sock, -1, {}
        sock.settimeout(timeout)

    @classmethod
    def unix(cls, path, timeout=20):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(path)
        return cls(sock, timeout)

    @classmethod
    def hvsock(cls, path, port, timeout=20):
        client = cls.unix(path, timeout)
        client.sock.sendall(b"CONNECT %d\n" % port)
        line = b""
        while not line.endswith(b"\n"):
            line += receive_exactly(client.sock, 1)
        if not line.startswith(b"OK"):
            raise ConnectionError(f"hybrid vsock says {line!r}")
        return client

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def send(self, service, method, payload, timeout_nsec=0):
        """Returns the stream."""
        self.stream += 2
        body = encode(FRAME_REQUEST, {"service": service, "method": method, "payload": payload,
                                      **({"timeout_nano": timeout_nsec} if timeout_nsec else {})})
        self.sock.sendall(struct.pack(">IIBB", len(body), self.stream, REQUEST, 0) + body)
        return self.stream

    def receive(self, stream):
        """The payload of the answer to that stream."""
        while stream not in self.early:
            size, number, kind, _ = struct.unpack(">IIBB", receive_exactly(self.sock, 10))
            body = receive_exactly(self.sock, size)
            if kind != RESPONSE:
                raise ConnectionError(f"a frame of type {kind}")
            self.early[number] = body
        answer = decode(FRAME_RESPONSE, self.early.pop(stream))
        if answer["status"]["code"]:
            raise Error(answer["status"]["code"], answer["status"]["message"])
        return answer["payload"]

    def call(self, service, method, payload=b"", timeout_nsec=0):
        return self.receive(self.send(service, method, payload, timeout_nsec))


# ---- the agent's calls ----


def ip_value(text):
    """"10.0.0.2/24" or "10.0.0.2"."""
    address, _, mask = text.partition("/")
    return {"family": int(":" in address), "address": address, "mask": mask}


def interface_value(addresses=(), **fields):
    return {**fields, "IPAddresses": [ip_value(address) for address in addresses]}


def route_value(dest="", **fields):
    is_v6 = any(":" in fields.get(name, "") for name in ("gateway", "source")) or ":" in dest
    return {"dest": dest, "family": int(is_v6), **fields}


def neighbor_value(address, device, lladdr, **fields):
    return {"toIPAddress": ip_value(address), "device": device, "lladdr": lladdr, **fields}


class Agent(Client):
    def update_interface(self, addresses=(), **fields):
        payload = encode(UPDATE_INTERFACE, {"interface": interface_value(addresses, **fields)})
        return decode(INTERFACE, self.call(AGENT, "UpdateInterface", payload))

    def update_routes(self, *routes):
        payload = encode(UPDATE_ROUTES, {"routes": {"Routes": routes}})
        return decode(ROUTES, self.call(AGENT, "UpdateRoutes", payload))["Routes"]

    def add_neighbors(self, *neighbors):
        self.call(AGENT, "AddARPNeighbors", encode(ADD_NEIGHBORS, {"neighbors": {"ARPNeighbors": neighbors}}))

    def list_interfaces(self):
        return decode(INTERFACES, self.call(AGENT, "ListInterfaces"))["Interfaces"]

    def list_routes(self):
        return decode(ROUTES, self.call(AGENT, "ListRoutes"))["Routes"]

    def details(self):
        return decode(DETAILS, self.call(AGENT, "GetGuestDetails"))["agent_details"]

    def version(self):
        return decode(HEALTH_VERSION, self.call(HEALTH, "Version"))

    def check(self):
        return decode(HEALTH_CHECK, self.call(HEALTH, "Check"))["status"]

    def remove_interface(self, **fields):
        self.call(DELTA, "RemoveInterface", encode(INTERFACE, interface_value(**fields)))

    def remove_routes(self, *routes):
        self.call(DELTA, "RemoveRoutes", encode(ROUTES, {"Routes": routes}))

    def remove_neighbors(self, *neighbors):
        self.call(DELTA, "RemoveNeighbors", encode(NEIGHBORS, {"ARPNeighbors": neighbors}))

    def list_network(self):
        return decode(NETWORK, self.call(DELTA, "List"))
