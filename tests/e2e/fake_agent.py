# SPDX-License-Identifier: Apache-2.0
"""An agent as a guest would have it, in the test's own process: ttrpc over a unix socket, and a network that is a dict.

It is strict: what does not hold to the protocol (an unknown field, a family that is not the address's, a MAC in upper
case, host bits in a destination, a stream id that does not grow) is a violation, and a test ends with check().

Generations, as the live agents are: `declarative` (Kata 2.0 to 3.14: a list is the whole truth), `additive` (Kata
from 3.15: nothing is ever taken away), `delta` (ours: adds, and takes back by the netmon.Delta service). The lists of the first two
have the habits of Kata's: MACs in upper case, no device, the family enum swapped, the destination of gatewayed routes lost.

Source: kata-containers src/libs/protocols/protos/, src/agent/src/netlink.rs, rpc.rs; containerd/ttrpc PROTOCOL.md.
"""

import contextlib
import ipaddress
import os
import re
import socket
import struct
import threading

# ---- protobuf, as far as these messages need it ----

# {number: (name, type)}; a type is "string", "bytes", "varint", a message's name; "*" in front: repeated
MESSAGES = {
    "Request": {1: ("service", "string"), 2: ("method", "string"), 3: ("payload", "bytes"), 4: ("timeout_nano", "varint"),
                5: ("metadata", "*bytes")},
    "Status": {1: ("code", "varint"), 2: ("message", "string")},
    "Response": {1: ("status", "Status"), 2: ("payload", "bytes")},
    "Empty": {},
    "CheckRequest": {1: ("service", "string")},
    "CheckResponse": {1: ("status", "varint")},
    "VersionResponse": {1: ("grpc_version", "string"), 2: ("agent_version", "string")},
    "DetailsRequest": {1: ("mem_block_size", "varint"), 2: ("mem_hotplug_probe", "varint")},
    "AgentDetails": {1: ("version", "string"), 2: ("init_daemon", "varint"), 3: ("device_handlers", "*string"),
                     4: ("storage_handlers", "*string"), 5: ("supports_seccomp", "varint"), 6: ("extra_features", "*string")},
    "DetailsResponse": {1: ("mem_block_size_bytes", "varint"), 2: ("agent_details", "AgentDetails")},
    "IPAddress": {1: ("family", "varint"), 2: ("address", "string"), 3: ("mask", "string")},
    "Interface": {1: ("device", "string"), 2: ("name", "string"), 3: ("IPAddresses", "*IPAddress"), 4: ("mtu", "varint"),
                  5: ("hwAddr", "string"), 6: ("devicePath", "string"), 7: ("type", "string"), 8: ("raw_flags", "varint")},
    "Route": {1: ("dest", "string"), 2: ("gateway", "string"), 3: ("device", "string"), 4: ("source", "string"),
              5: ("scope", "varint"), 6: ("family", "varint"), 7: ("flags", "varint"), 8: ("mtu", "varint")},
    "ARPNeighbor": {1: ("toIPAddress", "IPAddress"), 2: ("device", "string"), 3: ("lladdr", "string"), 4: ("state", "varint"),
                    5: ("flags", "varint")},
    "Interfaces": {1: ("Interfaces", "*Interface")},
    "Routes": {1: ("Routes", "*Route")},
    "ARPNeighbors": {1: ("ARPNeighbors", "*ARPNeighbor")},
    "UpdateInterfaceRequest": {1: ("interface", "Interface")},
    "UpdateRoutesRequest": {1: ("routes", "Routes")},
    "AddARPNeighborsRequest": {1: ("neighbors", "ARPNeighbors")},
    "GetIPTablesRequest": {1: ("is_ipv6", "varint")},
    "GetIPTablesResponse": {1: ("data", "bytes")},
    "Network": {1: ("interfaces", "Interfaces"), 2: ("routes", "Routes"), 3: ("neighbors", "ARPNeighbors")},
}


def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(message, values):
    """Fields in the order of their numbers, defaults left out, as proto3 does it."""
    out = b""
    for number, (name, kind) in sorted(MESSAGES[message].items()):
        for value in values.get(name, []) if kind.startswith("*") else [values[name]] if values.get(name) else []:
            if kind == "varint":
                out += varint(number << 3) + varint(int(value))
                continue
            base = kind.lstrip("*")
            data = encode(base, value) if base in MESSAGES else value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def default_of(kind):
    return [] if kind.startswith("*") else {"string": "", "bytes": b"", "varint": 0}.get(kind)


def decode(message, data):
    """Strict: every field is known, of its type, and not cut."""
    fields = MESSAGES[message]
    values = {name: default_of(kind) for name, kind in fields.values()}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        name, kind = fields[tag >> 3]
        base = kind.lstrip("*")
        if tag & 7 != (0 if base == "varint" else 2):
            raise ValueError(f"{message}.{name}: wire type {tag & 7}")
        value, at = read_varint(data, at)
        if base != "varint":
            if at + value > len(data):
                raise ValueError(f"{message}.{name}: cut")
            value, at = data[at:at + value], at + value
            value = decode(base, value) if base in MESSAGES else value.decode() if base == "string" else value
        if kind.startswith("*"):
            values[name].append(value)
        else:
            values[name] = value
    return values


# ---- the agent ----

HEADER = struct.Struct(">IIBB")
REQUEST, RESPONSE = 1, 2
OK, INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, UNIMPLEMENTED, INTERNAL = 0, 3, 5, 7, 12, 13
FEATURE = "netmon.delta.v1"

# {(service, method): (request, response)}
KATA = {
    ("grpc.Health", "Check"): ("CheckRequest", "CheckResponse"),
    ("grpc.Health", "Version"): ("CheckRequest", "VersionResponse"),
    ("grpc.AgentService", "GetGuestDetails"): ("DetailsRequest", "DetailsResponse"),
    ("grpc.AgentService", "UpdateInterface"): ("UpdateInterfaceRequest", "Interface"),
    ("grpc.AgentService", "UpdateRoutes"): ("UpdateRoutesRequest", "Routes"),
    ("grpc.AgentService", "ListInterfaces"): ("Empty", "Interfaces"),
    ("grpc.AgentService", "ListRoutes"): ("Empty", "Routes"),
    ("grpc.AgentService", "AddARPNeighbors"): ("AddARPNeighborsRequest", "Empty"),
    ("grpc.AgentService", "GetIPTables"): ("GetIPTablesRequest", "GetIPTablesResponse"),
}
DELTA = {
    ("netmon.Delta", "RemoveInterface"): ("Interface", "Empty"),
    ("netmon.Delta", "RemoveRoutes"): ("Routes", "Empty"),
    ("netmon.Delta", "RemoveNeighbors"): ("ARPNeighbors", "Empty"),
    ("netmon.Delta", "List"): ("Empty", "Network"),
}
VERSIONS = {"declarative": "3.14.0", "additive": "4.1.0", "delta": "0.1.0"}


class Refusal(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


def family_of(text):
    return 1 if ":" in text else 0


class Link:
    """A NIC of the guest."""

    def __init__(self, name, addresses=(), mtu=1500):
        self.name, self.addresses, self.mtu, self.is_up = name, list(addresses), mtu, False


class FakeAgent:
    def __init__(self, path, generation="declarative"):
        self.path, self.generation, self.version = path, generation, VERSIONS[generation]
        self.links = {}        # {MAC in lower case: Link}
        self.routes = []       # [Route as a dict]
        self.foreign = []      # routes that the guest made itself; ours never touches or tells them as its own
        self.neighbours = []
        self.iptables = {False: b"", True: b""}
        self.serving = 1
        self.fail = {}         # {method: (code, message)}, as long as it is there
        self.refuse_dests = set()  # destinations of routes that no guest takes
        self.silent = set()    # methods that are never answered
        self.raw = {}          # {method: bytes}: a whole frame instead of the answer
        self.payload = {}      # {method: bytes}: this message instead of the true one
        self.calls, self.violations = [], []
        self.connections = 0
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(16)
        self.open = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    # -- for the test

    @property
    def url(self):
        return f"unix://{self.path}"

    def methods(self):
        with self.lock:
            return [method for method, _ in self.calls]

    def requests(self, method):
        with self.lock:
            return [request for name, request in self.calls if name == method]

    def wait_call(self, method, count=1, seconds=20):
        with self.changed:
            if not self.changed.wait_for(lambda: sum(name == method for name, _ in self.calls) >= count, seconds):
                raise AssertionError(f"{method} was not called {count} times: {[name for name, _ in self.calls]}")

    def plug(self, mac, name, *addresses):
        with self.lock:
            self.links[mac] = Link(name, addresses)

    def addresses(self, mac):
        with self.lock:
            return sorted(self.links[mac].addresses)

    def route_set(self):
        """{(dest, gateway, device)}"""
        with self.lock:
            return {(r["dest"], r["gateway"], r["device"]) for r in self.routes}

    def check(self):
        with self.lock:
            if self.violations:
                raise AssertionError("the agent was told what no agent takes: " + "; ".join(self.violations))

    def cut(self):
        """Every connection is lost; the next ones are taken."""
        with self.lock:
            for opened in self.open[1:]:
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)
                opened.close()
            del self.open[1:]

    def close(self):
        """shutdown() wakes the threads that wait in accept() and recv(); close() alone does not."""
        with self.lock:
            for opened in self.open:
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)
                opened.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind is None:
            self.check()

    # -- ttrpc

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def violate(self, text):
        self.violations.append(text)

    def require(self, truth, text):
        if not truth:
            self.violate(text)

    def serve(self, connection):
        last = 0
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while True:
                header = stream.read(HEADER.size)
                if len(header) < HEADER.size:
                    return
                size, stream_id, kind, flags = HEADER.unpack(header)
                body = stream.read(size)
                with self.changed:
                    self.require(size <= 4 << 20, f"a frame of {size} bytes")
                    self.require((kind, flags) == (REQUEST, 0), f"frame of type {kind} with flags {flags}")
                    self.require(stream_id % 2 == 1 and stream_id > last, f"stream id {stream_id} after {last}")
                    last = stream_id
                    try:
                        frame = self.handle(stream_id, body)
                    except Exception as error:  # of the fake itself: no test may go well then
                        self.violate(f"the fake failed: {error!r}")
                        return
                    finally:
                        self.changed.notify_all()
                if frame:
                    connection.sendall(frame)

    def handle(self, stream_id, body):
        """Return: the frame of the answer; None: there is none."""
        request = decode("Request", body)
        method = request["method"]
        self.require(request["timeout_nano"] > 0, f"{method} has no timeout")
        try:
            payload = self.call(request)
            # As servers in Go write it, and as those in Rust do.
            status = b"" if self.generation == "delta" else b"\x0a\x00"
            answer = status + encode("Response", {"payload": payload})
        except Refusal as refusal:
            answer = encode("Response", {"status": {"code": refusal.code, "message": refusal.message}})
        if method in self.silent:
            return None
        raw = self.raw.get(method)
        if raw is not None:
            return raw
        return HEADER.pack(len(answer), stream_id, RESPONSE, 0) + answer

    def call(self, request):
        service, method = request["service"], request["method"]
        table = {**KATA, **DELTA} if self.generation == "delta" else KATA
        if (service, method) not in table:
            if service not in {name for name, _ in table}:
                raise Refusal(INVALID_ARGUMENT, f"{service} service does not exist")
            raise Refusal(UNIMPLEMENTED, f"{service}/{method} is not supported")
        asked, answered = table[service, method]
        try:
            values = decode(asked, request["payload"])
        except (ValueError, KeyError, IndexError) as error:
            self.violate(f"{method}: {error!r}")
            raise Refusal(INVALID_ARGUMENT, "can't decode") from error
        self.calls.append((method, values))
        refusal = self.fail.get(method)  # a test may take it away between two looks
        if refusal:
            raise Refusal(*refusal)
        handler = getattr(self, "on_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", method).lower())
        answer = handler(values)
        return self.payload.get(method, encode(answered, answer))

    # -- methods

    def on_check(self, _):
        return {"status": self.serving}

    def on_version(self, _):
        return {"grpc_version": "0.0.1", "agent_version": self.version}

    def on_get_guest_details(self, _):
        features = [FEATURE] if self.generation == "delta" else ["guest-pull"]
        return {"agent_details": {"version": self.version, "init_daemon": 1, "extra_features": features,
                                  "device_handlers": ["blk", "scsi"], "supports_seccomp": 1}}

    def check_address(self, method, address):
        self.require(address["family"] == family_of(address["address"]), f"{method}: family of {address}")
        bits = ipaddress.ip_address(address["address"]).max_prefixlen
        self.require(address["mask"].isdigit() and int(address["mask"]) <= bits, f"{method}: mask of {address}")

    def find(self, method, interface):
        mac = interface["hwAddr"]
        self.require(re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", mac), f"{method}: MAC {mac!r}")
        for address in interface["IPAddresses"]:
            self.check_address(method, address)
        if mac not in self.links:
            raise Refusal(INTERNAL, f"update interface: Link not found (Address: {mac.upper()})")
        return self.links[mac]

    def on_update_interface(self, request):
        interface = request["interface"]
        link = self.find("UpdateInterface", interface)
        addresses = [f"{a['address']}/{a['mask']}" for a in interface["IPAddresses"]]
        if self.generation == "additive":
            addresses += [a for a in link.addresses if a not in addresses and family_of(a) == 0]
        if self.generation != "delta":
            self.routes = [r for r in self.routes if r["device"] != link.name]  # it was set down
        link.addresses, link.name = addresses, interface["name"] or link.name
        link.mtu, link.is_up = interface["mtu"] or link.mtu, True
        return interface

    def check_route(self, method, route):
        texts = [text for text in (route["dest"], route["gateway"], route["source"]) if text]
        self.require(all(family_of(text) == route["family"] for text in texts), f"{method}: family of {route}")
        if route["dest"]:
            try:
                ipaddress.ip_network(route["dest"])
            except ValueError as error:
                self.violate(f"{method}: {error}")
        zero = route["source"].endswith("/0")
        self.require(not route["source"] or zero == (self.generation != "delta"), f"{method}: source of {route}")

    def refuse_route(self, route):
        """In the words of Kata's netlink.rs and rpc.rs."""
        if route["device"] not in {link.name for link in self.links.values()}:
            raise Refusal(INTERNAL, f"Failed to update routes: Link not found (Name: {route['device']})")
        if route["dest"] in self.refuse_dests:
            raise Refusal(INTERNAL, "Failed to update routes: Received a netlink error message Invalid argument (os error 22)")

    def on_update_routes(self, request):
        self.require(request["routes"] is not None, "UpdateRoutes without its list")
        routes = (request["routes"] or {"Routes": []})["Routes"]
        for route in routes:
            self.check_route("UpdateRoutes", route)
        asked = routes
        if self.generation == "declarative":
            self.routes = []
        if self.generation != "delta":
            routes = sorted(routes, key=lambda route: bool(route["gateway"]))
        for route in routes:  # up to the first that is refused: the earlier ones stay
            self.refuse_route(route)
            key = route["family"], route["dest"]
            self.routes = [r for r in self.routes if (r["family"], r["dest"]) != key] + [route]
        return {"Routes": asked if self.generation == "declarative" else self.listed_routes()}

    def listed_routes(self):
        routes = []
        for route in self.routes + self.foreign:
            route = dict(route)
            if self.generation != "delta":
                route.update(family=0, flags=0, source="")
                if route["gateway"]:
                    route["dest"] = "::1" if ":" in route["gateway"] else "0.0.0.0"
            routes.append(route)
        return routes

    def on_list_routes(self, _):
        return {"Routes": self.listed_routes()}

    def on_list_interfaces(self, _):
        kata = self.generation != "delta"
        return {"Interfaces": [
            {"device": "" if kata else link.name, "name": link.name, "mtu": link.mtu, "hwAddr": mac.upper() if kata else mac,
             "raw_flags": 0x1043,
             "IPAddresses": [{"family": family_of(a) ^ kata, "address": a.split("/")[0], "mask": a.split("/")[1]}
                             for a in link.addresses]}
            for mac, link in self.links.items()]}

    def on_add_arpneighbors(self, request):
        for new in request["neighbors"]["ARPNeighbors"]:
            self.require(new["toIPAddress"]["mask"] == "", f"AddARPNeighbors: mask of {new}")
            key = new["device"], new["toIPAddress"]["address"]
            self.neighbours = [n for n in self.neighbours if (n["device"], n["toIPAddress"]["address"]) != key] + [new]
        return {}

    def on_get_iptables(self, request):
        return {"data": self.iptables[bool(request["is_ipv6"])]}

    def on_remove_interface(self, interface):
        link = self.find("RemoveInterface", interface)
        link.addresses, link.is_up = [], False
        self.routes = [r for r in self.routes if r["device"] != link.name]
        return {}

    def on_remove_routes(self, request):
        self.require(request["Routes"], "RemoveRoutes of nothing")
        for gone in request["Routes"]:
            key = gone["family"], gone["dest"], gone["gateway"], gone["device"]
            self.require(gone["dest"] not in [r["dest"] for r in self.foreign], f"RemoveRoutes of the guest's own: {gone}")
            self.require(any((r["family"], r["dest"], r["gateway"], r["device"]) == key for r in self.routes),
                         f"RemoveRoutes of what is not there: {gone}")
            self.routes = [r for r in self.routes if (r["family"], r["dest"], r["gateway"], r["device"]) != key]
        return {}

    def on_remove_neighbors(self, request):
        self.require(request["ARPNeighbors"], "RemoveNeighbors of nothing")
        gone = {(n["device"], n["toIPAddress"]["address"]) for n in request["ARPNeighbors"]}
        self.neighbours = [n for n in self.neighbours if (n["device"], n["toIPAddress"]["address"]) not in gone]
        return {}

    def on_list(self, _):
        return {"interfaces": self.on_list_interfaces({}), "routes": {"Routes": self.routes},
                "neighbors": {"ARPNeighbors": self.neighbours}}


class Shim:
    """The management socket of a shim that says where its agent is: GET /agent-url over HTTP."""

    def __init__(self, path, body, status="200 OK"):
        self.path, self.body, self.status = path, body, status
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.asked = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    data = connection.recv(4096)
                    if not data:
                        break
                    request += data
                self.asked.append(request.split(b"\r\n")[0].decode())
                connection.sendall(f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\n\r\n{self.body}".encode())

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
