"""paho-mqtt against a broker: one line `ok CASE` or `fail CASE reason` per case, exit code 0 always.

Called as: paho_client.py HOST PORT VERSION PREFIX, VERSION being 3.1, 3.1.1 or 5.0. Every topic and client
id begins with PREFIX, so that several runs can share a broker. No case waits longer than LIMIT seconds. TRANSPORT in
the environment is tcp, tls, ws or wss; for tls and wss, CA is the file of the authority that the broker's certificate is
from.
"""

import os
import queue
import socket
import sys
import time
import traceback

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv31, MQTTv311, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

LIMIT = 20
# Publications without their acknowledgement; no broker has to take more than its receive maximum.
WINDOW = 20
TRANSPORT = os.environ.get("TRANSPORT", "tcp")
PROTOCOLS = {"3.1": MQTTv31, "3.1.1": MQTTv311, "5.0": MQTTv5}


class Peer:
    """One connected client whose messages wait in a queue."""

    def __init__(self, run, name, clean=True, will=None):
        self.v5 = run.protocol == MQTTv5
        self.messages = queue.Queue()
        self.connacks = queue.Queue()
        self.subacks = queue.Queue()
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{run.prefix}{name}",
            protocol=run.protocol,
            reconnect_on_failure=False,
            transport="websockets" if TRANSPORT.startswith("ws") else "tcp",
            **({} if self.v5 else {"clean_session": clean}),
        )
        self.client.max_inflight_messages_set(WINDOW)
        self.client.on_connect = lambda _c, _u, flags, reason, _p: self.connacks.put((flags, reason))
        self.client.on_subscribe = lambda _c, _u, mid, reasons, _p: self.subacks.put((mid, reasons))
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        if TRANSPORT.startswith("ws"):
            self.client.ws_set_options(path="/mqtt")
        if TRANSPORT in ("tls", "wss"):
            self.client.tls_set(os.environ["CA"])
        if will:
            self.client.will_set(*will)
        extra = {}
        if self.v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if clean else 3600
            extra = {"clean_start": clean, "properties": properties}
        self.client.connect(run.host, run.port, keepalive=30, **extra)
        self.client.loop_start()
        flags, reason = self.connacks.get(timeout=LIMIT)
        assert not reason.is_failure, f"CONNACK says {reason}"
        self.session_present = flags.session_present

    def subscribe(self, topic, qos, **options):
        if self.v5:
            _, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos), **options)
        else:
            _, mid = self.client.subscribe(topic, qos)
        acknowledged, reasons = self.subacks.get(timeout=LIMIT)
        assert acknowledged == mid, "SUBACK for another packet id"
        assert [r.value for r in reasons] == [qos], f"SUBACK grants {reasons}, asked for {qos}"
        return self

    def publish(self, topic, payload, qos=0, retain=False, wait=True, **options):
        sent = self.client.publish(topic, payload, qos, retain, **options)
        if wait:
            sent.wait_for_publish(LIMIT)
            assert sent.is_published(), f"{topic} was not acknowledged within {LIMIT} s"
        return sent

    def next(self):
        try:
            return self.messages.get(timeout=LIMIT)
        except queue.Empty:
            raise AssertionError(f"no message within {LIMIT} s") from None

    def until(self, last):
        """Payloads up to and without the sentinel `last`."""
        payloads = []
        while (payload := self.next().payload.decode()) != last:
            payloads.append(payload)
        return payloads

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()

    def crash(self):
        """Closes the socket without a DISCONNECT."""
        # A WebSocket has no shutdown of its own, but the socket beneath it has.
        with socket.socket(fileno=os.dup(self.client.socket().fileno())) as beneath:
            beneath.shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()


class Run:
    """The arguments, and one method per case."""

    def __init__(self, host, port, version, prefix):
        self.host, self.port, self.prefix = host, int(port), prefix
        self.protocol = PROTOCOLS[version]

    def at_qos(self, qos):
        topic = f"{self.prefix}/qos{qos}"
        subscriber = Peer(self, "s").subscribe(topic, qos)
        publisher = Peer(self, "p")
        for number in range(20):
            publisher.publish(topic, f"{number}", qos)
        publisher.publish(topic, "end", qos)
        for number in range(20):
            message = subscriber.next()
            assert (message.payload.decode(), message.qos) == (f"{number}", qos), f"{message.payload} {message.qos}"
            assert not message.retain, "a live message came with the retain flag"
        assert subscriber.until("end") == [], "a message came twice"
        subscriber.end()
        publisher.end()

    def qos0(self):
        self.at_qos(0)

    def qos1(self):
        self.at_qos(1)

    def qos2(self):
        self.at_qos(2)

    def retained(self):
        topic = f"{self.prefix}/retained"
        publisher = Peer(self, "p")
        publisher.publish(f"{topic}/a", "old", 1, retain=True)
        publisher.publish(f"{topic}/a", "new", 1, retain=True)
        first = Peer(self, "s1").subscribe(f"{topic}/+", 1)
        message = first.next()
        assert (message.payload, message.retain) == (b"new", True), f"{message.payload} {message.retain}"
        publisher.publish(f"{topic}/a", "", 1, retain=True)
        assert first.next().payload == b"", "the clearing message reaches a live subscriber"
        second = Peer(self, "s2").subscribe(f"{topic}/+", 1)
        publisher.publish(f"{topic}/b", "end", 1)
        assert second.until("end") == [], "a cleared message was delivered"
        for peer in (publisher, first, second):
            peer.end()

    def will(self):
        topic = f"{self.prefix}/will"
        watcher = Peer(self, "w").subscribe(f"{topic}/#", 1)
        Peer(self, "polite", will=(f"{topic}/polite", "no", 1, False)).end()
        Peer(self, "crash", will=(f"{topic}/crash", "gone", 1, True)).crash()
        message = watcher.next()
        assert (message.topic, message.payload) == (f"{topic}/crash", b"gone"), f"{message.topic}"
        late = Peer(self, "late").subscribe(f"{topic}/crash", 1)
        message = late.next()
        assert message.retain and message.payload == b"gone", "the will was not retained"
        late.publish(f"{topic}/crash", "", 1, retain=True)
        late.end()
        watcher.end()

    def shared(self):
        topic = f"{self.prefix}/shared"
        members = [Peer(self, f"m{n}").subscribe(f"$share/g/{topic}", 1) for n in (1, 2)]
        publisher = Peer(self, "p")
        for number in range(100):
            publisher.publish(topic, f"{number}", 1)
        got = [[], []]
        deadline = time.monotonic() + LIMIT
        while sum(map(len, got)) < 100 and time.monotonic() < deadline:
            for member, payloads in zip(members, got):
                while not member.messages.empty():
                    payloads.append(int(member.messages.get().payload))
            time.sleep(0.005)
        for number, (member, payloads) in enumerate(zip(members, got)):
            member.subscribe(f"{topic}/end{number}", 1)
            publisher.publish(f"{topic}/end{number}", "end", 1)
            payloads += map(int, member.until("end"))
        assert sorted(got[0] + got[1]) == list(range(100)), f"{len(got[0])} + {len(got[1])} messages"
        assert got[0] and got[1], f"one member got all: {len(got[0])} + {len(got[1])}"
        for peer in (*members, publisher):
            peer.end()

    def session(self):
        topic = f"{self.prefix}/session"
        Peer(self, "x").end()
        first = Peer(self, "x", clean=False).subscribe(topic, 2)
        assert not first.session_present, "session present for a new session"
        first.end()
        publisher = Peer(self, "p")
        for number in range(20):
            publisher.publish(topic, f"{number}", 1 + number % 2)
        publisher.publish(topic, "end", 2)
        second = Peer(self, "x", clean=False)
        # MQTT 3.1 has no such flag: its first CONNACK byte is reserved.
        assert second.session_present or self.protocol == MQTTv31, "session not present"
        got = second.until("end")
        # A QoS 2 message surfaces at its PUBREL, so order holds within a QoS only.
        assert sorted(map(int, got)) == list(range(20)), f"offline messages {got}"
        for parity in (0, 1):
            same = [int(n) for n in got if int(n) % 2 == parity]
            assert same == sorted(same), f"offline order {got}"
        second.end()
        third = Peer(self, "x")
        assert not third.session_present, "a clean start found a session"
        publisher.publish(topic, "stale", 1)
        third.subscribe(f"{topic}/end", 1)
        publisher.publish(f"{topic}/end", "end", 1)
        assert third.until("end") == [], "a clean start kept a subscription"
        third.end()
        publisher.end()

    def wildcard(self):
        topic = f"{self.prefix}/wild"
        subscriber = Peer(self, "s").subscribe(f"{topic}/+/x", 1).subscribe(f"{topic}/deep/#", 1)
        publisher = Peer(self, "p")
        names = ["a/x", "a/y", "b/x", "a/b/x", "deep", "deep/1", "deep/1/2/3", "deeper", "a", "end/x"]
        for name in names:
            publisher.publish(f"{topic}/{name}", name, 1)
        got = []
        while (message := subscriber.next()).payload != b"end/x":
            assert message.topic == f"{topic}/{message.payload.decode()}"
            got.append(message.payload.decode())
        assert got == ["a/x", "b/x", "deep", "deep/1", "deep/1/2/3"], f"{got}"
        subscriber.end()
        publisher.end()

    def large(self):
        topic = f"{self.prefix}/large"
        payload = bytes(n * 7 % 251 for n in range(200_000))
        subscriber = Peer(self, "s").subscribe(topic, 2)
        publisher = Peer(self, "p")
        for qos in (0, 1, 2):
            publisher.publish(topic, payload, qos)
            assert subscriber.next().payload == payload, f"the payload changed at QoS {qos}"
        subscriber.end()
        publisher.end()

    def order(self):
        topic = f"{self.prefix}/order"
        subscriber = Peer(self, "s").subscribe(topic, 2)
        publisher = Peer(self, "p")
        for qos in (1, 2):
            for number in range(1000):
                publisher.publish(topic, f"{number}", qos, wait=False)
            publisher.publish(topic, "end", qos)
            got = subscriber.until("end")
            assert got == [f"{n}" for n in range(1000)], f"QoS {qos}: {len(got)} messages, {got[:5]}…"
        subscriber.end()
        publisher.end()

    def properties(self):
        if self.protocol != MQTTv5:
            return "skip"
        topic = f"{self.prefix}/properties"
        identifier = Properties(PacketTypes.SUBSCRIBE)
        identifier.SubscriptionIdentifier = 77
        subscriber = Peer(self, "s").subscribe(topic, 1, properties=identifier)
        publisher = Peer(self, "p")
        sent = Properties(PacketTypes.PUBLISH)
        sent.UserProperty = [("b", "1"), ("a", "2"), ("b", "3")]
        sent.ContentType = "text/plain"
        sent.ResponseTopic = f"{topic}/answer"
        sent.CorrelationData = b"\x00\xff"
        sent.PayloadFormatIndicator = 1
        sent.MessageExpiryInterval = 1000
        publisher.publish(topic, "payload", 1, properties=sent)
        got = subscriber.next().properties
        assert got.UserProperty == sent.UserProperty, f"{got.UserProperty}"
        assert (got.ContentType, got.ResponseTopic) == (sent.ContentType, sent.ResponseTopic), f"{got}"
        assert got.CorrelationData == sent.CorrelationData, f"{got.CorrelationData}"
        assert got.PayloadFormatIndicator == 1 and 990 <= got.MessageExpiryInterval <= 1000, f"{got}"
        assert got.SubscriptionIdentifier == [77], f"{got.SubscriptionIdentifier}"
        subscriber.end()
        publisher.end()


def main():
    run = Run(*sys.argv[1:])
    for case in "qos0 qos1 qos2 retained will shared session wildcard large order properties".split():
        try:
            print("skip" if getattr(run, case)() == "skip" else "ok", case, flush=True)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = str(error) or type(error).__name__
            print("fail", case, f"{where.name}:{where.lineno}: {reason}".replace("\n", " "), flush=True)
    # Threads of clients that a failed case left connected must not keep this process alive.
    sys.stdout.flush()
    os._exit(0)


main()
